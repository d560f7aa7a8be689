package hubtest

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// amqpLogin is a login: a token that is put, or a link of who shows a
// certificate, or has put a token before.
type amqpLogin struct {
	*amqpLine
	request

	// Of a put-token.
	correlation any // echoed with its type
	host, token string
	refused     error        // why it is refused before it is looked at
	full        *fault.Fault // the connection takes no more

	// Of a link.
	attaching *amqpwire.Attaching // nil for a put-token
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
	return l.knock(&amqpLogin{amqpLine: l, request: request{msg: Message{Device: id, Op: Connect}}, attaching: ev, node: at.node})
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
	if n == nodeTwin && a.hub.opts.quirks.NoTwinLinks {
		a.refuseLink(ev.Link, condNotAllowed, "there are no twins in this tier")
		return
	}
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
	if !d.Settled && at.node != nodeEvents {
		// It has arrived; what becomes of it is told by the answer.
		a.mu.Lock()
		d.Link.Settle(d.ID, amqpwire.Outcome{State: amqpwire.Accepted})
		a.mu.Unlock()
	}
	switch at.node {
	case nodeCBS:
		return a.putToken(d.Payload)
	case nodeEvents:
		return l.takeTelemetry(d)
	case nodeMethods:
		answer, err := l.methodAnswer(d.Payload)
		if err != nil {
			return l.blame(err)
		}
		return l.take(answer)
	case nodeTwin:
		m, err := amqpwire.DecodeMessage(d.Payload)
		if err != nil {
			return l.blame(err)
		}
		return l.take(l.twinRequest(m))
	}
	return nil
}

// putToken reads a put-token; one that names no identity is refused at once.
func (a *amqpConn) putToken(payload []byte) error {
	m, err := amqpwire.DecodeMessage(payload)
	if err != nil {
		return err
	}
	login := &amqpLogin{}
	if m.Properties != nil {
		login.correlation = m.Properties.MessageID
	}
	text := func(name string) string { s, _ := m.ApplicationProperties[name].(string); return s }
	login.token, _ = m.Value.(string)
	host, device, module, err := parseAudience(text("name"))
	switch {
	case err != nil:
	case text("operation") != "put-token":
		err = fmt.Errorf("operation %.100q; known is put-token", text("operation"))
	case text("type") != "servicebus.windows.net:sastoken":
		err = fmt.Errorf("type %.100q; known is servicebus.windows.net:sastoken", text("type"))
	case login.token == "":
		err = errors.New("there is no token in the body")
	}
	login.host, login.refused = host, err
	now := a.hub.opts.Now()
	a.hub.mu.Lock()
	id := a.resolveLogin(device, module, login.token, now)
	var l *amqpLine
	if device != "" {
		l, login.full = a.show(id)
	}
	if l != nil {
		l.named = joinID(device, module)
	}
	if l == nil {
		l = &amqpLine{amqpConn: a} // somebody who is nobody
	}
	a.hub.mu.Unlock()
	login.amqpLine, login.msg = l, Message{Device: id, Op: Connect}
	return l.knock(login)
}

// knock lets a login pass the line and Intercept, and judges it.
func (l *amqpLine) knock(login *amqpLogin) error {
	l.hub.mu.Lock()
	down := l.hub.down[l.id]
	l.knocking = true
	l.hub.mu.Unlock()
	if down {
		return l.blame(errLineDown)
	}
	return l.take(login)
}

// take lets a request pass the line and Intercept, and performs it.
func (l *amqpLine) take(p passage) error {
	if !l.passGate() {
		return errEnded
	}
	if l.lost() {
		return nil
	}
	return l.blame(l.handle(p))
}

// perform implements passage: it judges a token, or the certificate of the
// stream.
func (l *amqpLogin) perform(mute bool) error {
	old, err := l.enter(mute)
	supersede(old)
	switch {
	case err == errEnded:
	case err != nil:
		l.refuse(err, fault.Usual(fault.Refused), mute)
	case l.attaching != nil:
		l.accept(l.amqpLine, l.attaching, l.node)
		l.nudge()
	}
	return nil
}

// repeat implements passage.
func (l *amqpLogin) repeat() error { return l.perform(false) }

// hold implements passage.
func (l *amqpLogin) hold(act Action) error { return l.later(act, l) }

// edit implements passage.
func (l *amqpLogin) edit(act Action) { l.hub.edit(&l.msg, act) }

// answer implements passage.
func (l *amqpLogin) answer(act Action) error {
	f := fault.Usual(act.code)
	if act.code == 0 {
		f = fault.Usual(amqpStatus(act.status)*1000 + 1)
	}
	f.Pause = act.pause()
	l.refuse(errors.New("intercepted"), f, false)
	return nil
}

// enter makes this the line of its identity, if the proof is good, and returns
// the one that it takes over from.
func (l *amqpLogin) enter(mute bool) (old presence, err error) {
	h := l.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	l.knocking = false
	switch {
	case l.ended.Load(): // while the login was delayed
		return nil, errEnded
	case l.full != nil:
		return nil, errFull
	case l.refused != nil:
		return nil, l.refused
	}
	p := proof{token: l.token, peer: l.peer}
	again := l.attaching != nil && l.amqpLine.token != ""
	switch {
	case again && !now.Before(l.tokenEnd):
		return nil, errTokenEnd
	case again: // it is good for the connection, whatever became of links
		p.token = l.amqpLine.token
	case l.attaching == nil:
		if err := h.isHere(l.host, "audience"); err != nil {
			return nil, err
		}
	}
	who, expires, err := h.authenticate(l.id, p, now)
	if err != nil {
		return nil, err
	}
	if !again {
		l.amqpLine.token, l.tokenEnd = p.token, tokenEnd(expires, now, h.opts.quirks.TokenGrace)
	}
	if who.conn != presence(l.amqpLine) {
		old = h.welcome(who, l.amqpLine, now)
		l.who, l.desired, l.left = who, false, make(chan struct{})
		h.log.Info("connected", "device", who.id, "over", l.over(AMQP))
	}
	if l.attaching != nil {
		who.modelID = l.attaching.Properties[propModel]
	} else if !mute {
		l.replyToken(statusOK, "OK", 0)
	}
	_ = l.readBy(time.Now()) // so that the reading goroutine looks at the token's end
	who.touch()
	return old, nil
}

// replyToken answers a put-token. hub.mu is held.
func (l *amqpLogin) replyToken(status int, text string, pause int) {
	l.push(outgoing{
		msg:  Message{Device: l.id, Op: Connect, FromHub: true, Status: status},
		form: amqpForm{amqpLine: l.amqpLine, correlation: l.correlation, text: text},

		pause: pause,
	})
}

// refuse answers a login that the hub does not accept. The reason stays in the
// hub's log.
func (l *amqpLogin) refuse(why error, f *fault.Fault, mute bool) {
	h := l.hub
	switch {
	case l.full != nil:
		f = l.full
	case l.refused != nil:
		f = fault.New(fault.Invalid, "%v", l.refused)
	}
	h.refused(l.id, f.Code, why)
	if l.attaching != nil {
		l.refuseLink(l.attaching.Link, condition(f), string(h.errorBody(f)))
		l.nudge()
		return
	}
	text := f.Text
	if f.Code == fault.TooManyTokens { // as recorded from a real hub
		text = string(h.errorBody(f))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !mute {
		l.replyToken(f.Status(), text, f.Pause)
	}
}

// errFull says that a connection has as many tokens as there can be.
var errFull = errors.New("the connection has as many tokens as there can be")

// resolve finds which identity ids mean that some SDKs encode and others do not:
// the one that they name decoded, or else as they are. Where both are there, it
// is the first that fits, and else the decoded one, for the documentation asks
// to encode. h.mu is held.
func (h *Hub) resolve(device, module string, fits ...func(*identity) bool) string {
	plain := h.identities[joinID(device, module)]
	d, err1 := url.PathUnescape(device)
	m, err2 := url.PathUnescape(module)
	if err1 != nil || err2 != nil {
		return joinID(device, module)
	}
	decoded := h.identities[joinID(d, m)]
	switch {
	case plain == nil || decoded == plain:
		return joinID(d, m)
	case decoded == nil:
		return plain.id
	}
	for _, fit := range fits {
		for _, who := range []*identity{decoded, plain} {
			if fit(who) {
				return who.id
			}
		}
	}
	return decoded.id
}

// resolveLogin is resolve for a put-token: the token names its owner, by its
// scope's very words before any other reading of them.
func (a *amqpConn) resolveLogin(device, module, token string, now time.Time) string {
	good := func(who *identity) bool {
		_, err := a.hub.judge(who, proof{token: token, peer: a.peer}, now)
		return err == nil
	}
	return a.hub.resolve(device, module, func(who *identity) bool {
		c, err := parseToken(token)
		return err == nil && c.names(who) && good(who)
	}, good)
}

// resolveLink is resolve for a link: it belongs to who was named so on this
// connection, to who is on it, or to whose certificate it has.
func (a *amqpConn) resolveLink(device, module string, now time.Time) string {
	named := joinID(device, module)
	return a.hub.resolve(device, module,
		func(who *identity) bool { l := a.lines[who.id]; return l != nil && l.named == named },
		func(who *identity) bool { l := a.lines[who.id]; return l != nil && l.live() },
		func(who *identity) bool { _, err := a.hub.judge(who, proof{peer: a.peer}, now); return err == nil },
	)
}
