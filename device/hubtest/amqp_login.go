package hubtest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// amqpRequest is what AMQP adds to a request.
type amqpRequest struct {
	correlation any // echoed with its type

	// Of a put-token.
	host, token string
	refused     error        // why it is refused before it is looked at
	full        *fault.Fault // the connection takes no more

	// Of the link that shows a certificate.
	attaching *amqpwire.Attaching
	node      node
}

// cbsCredit is what a real hub grants on $cbs.
const cbsCredit = 100

// attaching answers the wish for a link.
func (a *amqpConn) attaching(ev *amqpwire.Attaching) error {
	link := ev.Link
	text := ev.Target
	if link.Role() == amqpwire.Receiver {
		text = ev.Source
	}
	at, err := parseAddress(text)
	if err != nil {
		a.refuseLink(link, condNotFound, string(a.hub.errorBody(fault.New(fault.NoAddress, "%v", err))))
		return nil
	}
	if at.node == nodeCBS {
		a.attachCBS(link)
		return nil
	}
	now := a.hub.opts.Now()
	a.hub.mu.Lock()
	id := a.resolveLink(at.device, at.module, now)
	l, full := a.show(id)
	live := full == nil && l.live()
	if live && ev.Properties[propModel] != "" {
		l.who.modelID = ev.Properties[propModel]
	}
	a.hub.mu.Unlock()
	switch {
	case full != nil:
		a.refuseLink(link, condLimit, string(a.hub.errorBody(full)))
		return nil
	case live:
		a.accept(l, ev, at.node)
		return nil
	}
	return a.knock(l, request{
		msg:  Message{Device: id, Op: Connect},
		from: &amqpRequest{attaching: ev, node: at.node},
	})
}

// Properties of links.
const (
	propModel = "com.microsoft:model-id"
	propPair  = "com.microsoft:channel-correlation-id"
)

// attachCBS accepts one pair of links for tokens.
func (a *amqpConn) attachCBS(link *amqpwire.Link) {
	a.hub.mu.Lock()
	taken := a.cbs[link.Role()] != nil
	a.hub.mu.Unlock()
	if taken {
		a.refuseLink(link, condNotAllowed, "there is a $cbs link in that direction already")
		return
	}
	a.hub.mu.Lock()
	a.cbs[link.Role()] = link
	a.nodes[link] = attached{node: nodeCBS}
	a.hub.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	link.Accept(cbsCredit)
}

func (a *amqpConn) refuseLink(link *amqpwire.Link, condition, text string) {
	a.hub.log.Warn("link refused", "link", link.Name(), "condition", condition, "reason", text)
	a.mu.Lock()
	defer a.mu.Unlock()
	link.Refuse(&amqpwire.Error{Condition: condition, Description: text})
}

// accept makes a link one of the line's.
func (a *amqpConn) accept(l *amqpLine, ev *amqpwire.Attaching, n node) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	a.nodes[ev.Link] = attached{n, l}
	l.adopt(ev.Link, n, ev.Properties[propPair])
	if n == nodeMethods && l.live() {
		l.who.touch() // a method may wait for its listener
	}
}

// delivery takes a message from the client.
func (a *amqpConn) delivery(d *amqpwire.Delivery) error {
	a.hub.mu.Lock()
	at := a.nodes[d.Link]
	a.hub.mu.Unlock()
	l := at.line
	if !d.Settled {
		// It has arrived; what becomes of it is told by the answer.
		a.mu.Lock()
		d.Link.Settle(d.ID, amqpwire.Outcome{State: amqpwire.Accepted})
		a.mu.Unlock()
	}
	switch at.node {
	case nodeCBS:
		return a.putToken(d.Payload)
	case nodeEvents:
		return l.take(request{msg: Message{Device: l.id, Op: Telemetry, Body: d.Payload}, from: &amqpRequest{}})
	case nodeMethods:
		answer, err := methodAnswerOf(l.id, d.Payload)
		if err != nil {
			return l.blame(err)
		}
		return l.take(answer)
	case nodeTwin:
		m, err := amqpwire.DecodeMessage(d.Payload)
		if err != nil {
			return l.blame(err)
		}
		return l.take(twinRequest(l.id, m))
	}
	return nil
}

// putToken reads a put-token; one that names no identity is refused at once.
func (a *amqpConn) putToken(payload []byte) error {
	m, err := amqpwire.DecodeMessage(payload)
	if err != nil {
		return err
	}
	from := &amqpRequest{}
	if m.Properties != nil {
		from.correlation = m.Properties.MessageID
	}
	text := func(name string) string { s, _ := m.ApplicationProperties[name].(string); return s }
	from.token, _ = m.Value.(string)
	host, device, module, err := parseAudience(text("name"))
	switch {
	case err != nil:
	case text("operation") != "put-token":
		err = fmt.Errorf("operation %.100q; known is put-token", text("operation"))
	case text("type") != "servicebus.windows.net:sastoken":
		err = fmt.Errorf("type %.100q; known is servicebus.windows.net:sastoken", text("type"))
	case from.token == "":
		err = errors.New("there is no token in the body")
	}
	from.host, from.refused = host, err
	now := a.hub.opts.Now()
	a.hub.mu.Lock()
	id := a.resolveLogin(device, module, from.token, now)
	var l *amqpLine
	if device != "" {
		l, from.full = a.show(id)
	}
	if l != nil {
		l.named = joinID(device, module)
	}
	if l == nil {
		l = &amqpLine{amqpConn: a} // somebody who is nobody
	}
	a.hub.mu.Unlock()
	return a.knock(l, request{msg: Message{Device: id, Op: Connect}, from: from})
}

// knock lets a login pass the line and Intercept, and judges it.
func (a *amqpConn) knock(l *amqpLine, req request) error {
	a.hub.mu.Lock()
	down := a.hub.down[l.id]
	l.knocking = true
	a.hub.mu.Unlock()
	if down {
		return l.blame(errLineDown)
	}
	return l.take(req)
}

// take lets a request pass the line and Intercept, and performs it.
func (l *amqpLine) take(req request) error {
	if !l.passGate() {
		return errEnded
	}
	if l.lost() {
		return nil
	}
	return l.blame(l.handleBy(l, req))
}

// connect judges a login: a token, or the certificate of the stream.
func (l *amqpLine) connect(req request) {
	old, err := l.enter(req)
	if old != nil {
		old.close("taken over by a newer connection")
	}
	if err == errEnded {
		return
	}
	if err != nil {
		l.refuseLogin(req, err, fault.Usual(fault.Refused))
		return
	}
	if ev := req.from.attaching; ev != nil {
		l.accept(l, ev, req.from.node)
		l.nudge()
	}
}

// enter makes this the line of its identity, if the proof is good, and returns
// the one that it takes over from.
func (l *amqpLine) enter(req request) (old presence, err error) {
	h, from := l.hub, req.from
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	l.knocking = false
	switch {
	case l.ended.Load(): // while the login was delayed
		return nil, errEnded
	case from.full != nil:
		return nil, errFull
	case from.refused != nil:
		return nil, from.refused
	}
	if from.attaching == nil && !strings.EqualFold(from.host, h.opts.Host) {
		return nil, fmt.Errorf("audience: the hub %q is not this one", from.host)
	}
	who, err := h.enabled(l.id)
	if err != nil {
		return nil, err
	}
	p := proof{token: from.token, peer: l.peer}
	again := from.attaching != nil && l.token != ""
	if again { // it is good for the connection, whatever became of links
		p.token = l.token
		if !now.Before(l.tokenEnd) {
			return nil, errTokenEnd
		}
	}
	expires, err := h.judge(who, p, now)
	if err != nil {
		return nil, err
	}
	if !again {
		l.token, l.tokenEnd = p.token, tokenEnd(expires, now, h.opts.TokenGrace)
	}
	if who.conn != presence(l) {
		if old = who.conn; old != nil {
			h.count(who.id, func(s *Stats) { s.Takeovers++ })
			old.leave()
		}
		who.came(now)
		l.who, who.conn, l.desired, l.left = who, l, false, make(chan struct{})
		h.count(who.id, func(s *Stats) { s.Connects++ })
		h.log.Info("connected", "device", who.id, "over", l.over(AMQP))
	}
	if from.attaching != nil {
		who.modelID = from.attaching.Properties[propModel]
	}
	if !req.mute && from.attaching == nil {
		l.replyToken(req, statusOK, "OK", 0)
	}
	_ = l.readBy(time.Now()) // so that the reading goroutine looks at the token's end
	who.touch()
	return old, nil
}

const (
	statusOK           = 200
	statusUnauthorized = 401
	statusUnavailable  = 503
)

// replyToken answers a put-token. hub.mu is held.
func (l *amqpLine) replyToken(req request, status int, text string, pause int) {
	l.push(outgoing{
		msg: Message{Device: l.id, Op: Connect, FromHub: true, Status: status},
		by:  &amqpOutgoing{line: l, correlation: req.from.correlation, text: text},

		pause: pause,
	})
}

// refuseLogin answers a login that the hub does not accept. A device is told no
// more than that.
func (l *amqpLine) refuseLogin(req request, why error, f *fault.Fault) {
	h := l.hub
	switch from := req.from; {
	case from.full != nil:
		f = from.full
	case from.refused != nil:
		f = fault.New(fault.Invalid, "%v", from.refused)
	}
	h.log.Warn("login refused", "device", l.id, "code", f.Code, "reason", why)
	text := f.Text
	if f.Code == fault.TooManyTokens { // which stands nowhere else
		text = string(h.errorBody(f))
	}
	h.mu.Lock()
	h.count(l.id, func(s *Stats) { s.Refused++ })
	if req.from.attaching == nil && !req.mute {
		l.replyToken(req, f.Status(), text, f.Pause)
	}
	h.mu.Unlock()
	if ev := req.from.attaching; ev != nil {
		l.refuseLink(ev.Link, condition(f), string(h.errorBody(f)))
		l.nudge()
	}
}

// errFull says that a connection has as many tokens as there can be.
var errFull = errors.New("the connection has as many tokens as there can be")

// condition is the fault in AMQP's words.
func condition(f *fault.Fault) string {
	switch status := f.Status(); {
	case status == 429:
		return "com.microsoft:device-container-throttled"
	case status >= 500:
		return "amqp:internal-error"
	case status == 404:
		return condNotFound
	}
	return condUnauthorized
}

// amqpStatus is a login's status: HTTP-like, or CONNACK's code translated.
func amqpStatus(status int) int {
	switch {
	case status == 3:
		return statusUnavailable
	case status < 100:
		return statusUnauthorized
	}
	return status
}
