package hubtest

import (
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

// Words of the twin's messages.
const (
	noteOperation = "operation"
	noteResource  = "resource"
	noteVersion   = "version"
	noteStatus    = "status"

	resourceReported = "/properties/reported"
	resourceDesired  = "/properties/desired"
	resourceChanges  = "/notifications/twin/properties/desired"
)

// twinRequest understands a message on the twin's link.
func twinRequest(id string, m *amqpwire.Message) request {
	from := &amqpRequest{}
	if m.Properties != nil {
		from.correlation = m.Properties.CorrelationID
	}
	req := request{msg: Message{Device: id, RequestID: correlationText(from.correlation)}, from: from}
	note := func(name string) string { s, _ := m.Annotations[name].(string); return s }
	resource := note(noteResource)
	switch operation := note(noteOperation); {
	case operation == "GET":
		req.msg.Op = GetTwin
	case operation == "PATCH" && resource == resourceReported:
		req.msg.Op = PatchReported
		if len(m.Data) > 0 {
			req.msg.Body = m.Data[0]
		}
		if v, ok := m.Annotations[noteVersion]; ok && v != nil {
			req.msg.Version, req.expects = wholeNumber(v)
			if !req.expects {
				req.bad = fault.New(fault.Invalid, "version is not a whole number")
			}
		}
	case operation == "PUT" && resource == resourceChanges:
		req.msg.Op, req.msg.Topics = Subscribe, []string{resource}
	case operation == "DELETE" && resource == resourceChanges:
		req.msg.Op, req.msg.Topics = Unsubscribe, []string{resource}
	default:
		req.bad = fault.New(fault.Invalid, "there is no operation %.100q on %.200q", operation, resource)
	}
	return req
}

// correlationText is a correlation id as Intercept shows it.
func correlationText(id any) string {
	switch id := id.(type) {
	case nil:
		return ""
	case string:
		return id
	case amqpwire.UUID:
		return id.String()
	}
	return fmt.Sprint(id)
}

// wholeNumber reads an annotation as the SDKs send it: a number of any width.
func wholeNumber(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case uint64:
		return int64(v), v < 1<<63
	case uint32:
		return int64(v), true
	}
	return 0, false
}

// perform implements performer.
func (l *amqpLine) perform(req request) error {
	switch req.msg.Op {
	case Connect:
		l.connect(req)
		return nil
	case PatchReported:
		l.patch(req)
		return nil
	}
	h := l.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !l.live() {
		return nil
	}
	m := Message{Op: req.msg.Op, Status: statusOK}
	switch req.msg.Op {
	case Disconnect:
		l.leave()
		return nil
	case Telemetry:
		l.who.record.active = now
		return nil
	case MethodAnswer:
		h.answered(l, req.msg)
		return nil
	case Subscribe:
		l.desired = true
	case Unsubscribe:
		l.desired = false
	case GetTwin:
		m.Body = l.who.twin.Document()
	default:
		h.faultCount++
		m.Status, m.Body = req.bad.Status(), req.bad.Body(h.faultCount, h.opts.Now())
	}
	l.reply(req, outgoing{msg: m})
	return nil
}

// patch is conn.patch over AMQP.
func (l *amqpLine) patch(req request) {
	h := l.hub
	patch, f := h.opts.rules().Parse(req.msg.Body, true)
	if req.bad != nil {
		f = req.bad
	}
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.who == nil || h.identities[l.id] != l.who {
		return // removed since
	}
	item := h.patched(l.who, req, patch, f, now)
	if item.msg.Status == 204 {
		item.msg.Status = statusOK // over AMQP
	}
	l.reply(req, item)
}

// reply pushes the answer to a request, if there is anybody to hear it. hub.mu
// is held.
func (l *amqpLine) reply(req request, item outgoing) {
	if req.mute || !l.live() {
		return
	}
	item.msg.Device, item.msg.RequestID, item.msg.FromHub = l.id, req.msg.RequestID, true
	item.by = &amqpOutgoing{line: l, correlation: req.from.correlation}
	l.push(item)
}

// answer implements performer.
func (l *amqpLine) answer(req request, act Action) {
	switch req.msg.Op {
	case Connect:
		f := fault.Usual(act.code)
		if act.code == 0 {
			f = fault.Usual(amqpStatus(act.status)*1000 + 1)
		}
		f.Pause = act.pause()
		l.refuseLogin(req, errors.New("intercepted"), f)
	case Subscribe, Unsubscribe, GetTwin, PatchReported:
		item := l.hub.replace(outgoing{msg: Message{Op: req.msg.Op}, asIs: true, by: &amqpOutgoing{}}, act)
		l.hub.mu.Lock()
		defer l.hub.mu.Unlock()
		l.reply(req, item)
	}
}

// amqpOutgoing is what AMQP adds to a message to the device.
type amqpOutgoing struct {
	line        *amqpLine // nil when there is nothing but the engine's output
	correlation any       // of an answer
	text        string    // of the answer to a put-token
}

// write sends a message to a device, and what else the engine has to say.
func (a *amqpConn) write(item outgoing) error {
	l := item.by.line
	if l == nil || l.lost() {
		return a.flush()
	}
	a.trace(item.msg)
	payload, err := amqpwire.EncodeMessage(item.message())
	if err != nil {
		return err
	}
	a.hub.mu.Lock()
	link := a.cbs[amqpwire.Receiver]
	a.hub.mu.Unlock()
	out := amqpwire.Outgoing{Payload: payload}
	a.mu.Lock()
	if item.msg.Op != Connect {
		link, out.Settled = l.links[end{item.node(), amqpwire.Receiver}].link, true
	}
	if link != nil {
		err = link.Send(out)
	}
	a.mu.Unlock()
	if errors.Is(err, amqpwire.ErrGone) {
		err = nil // nobody hears it
	}
	return errors.Join(err, a.flush())
}

// node is where a message is sent.
func (o outgoing) node() node {
	switch o.msg.Op {
	case Connect:
		return nodeCBS
	case Method:
		return nodeMethods
	}
	return nodeTwin
}

// askForPause adds the pause that the device is asked for.
func (o outgoing) askForPause(m *amqpwire.Message) {
	if o.pause == 0 {
		return
	}
	if m.ApplicationProperties == nil {
		m.ApplicationProperties = map[string]any{}
	}
	m.ApplicationProperties[hubproto.RetryAfter] = int32(o.pause)
}

// message is the message as AMQP says it, with the types that the SDKs insist
// on: status an int, version a long, keys symbols.
func (o outgoing) message() *amqpwire.Message {
	if o.msg.Op == Method {
		return o.callMessage()
	}
	m := &amqpwire.Message{}
	if o.msg.Op == Connect {
		m.Properties = &amqpwire.MessageProperties{CorrelationID: o.by.correlation}
		m.ApplicationProperties = map[string]any{"status-code": int32(o.msg.Status), "status-description": o.by.text}
		o.askForPause(m)
		return m
	}
	o.askForPause(m)
	m.Annotations = amqpwire.Annotations{}
	if o.msg.Op == Desired {
		m.Annotations[noteResource] = resourceDesired
	} else {
		m.Properties = &amqpwire.MessageProperties{CorrelationID: o.by.correlation}
		m.Annotations[noteStatus] = int32(o.msg.Status)
	}
	if o.msg.Version != 0 {
		m.Annotations[noteVersion] = o.msg.Version
	}
	if len(o.msg.Body) > 0 {
		m.Data = [][]byte{o.msg.Body}
	}
	return m
}
