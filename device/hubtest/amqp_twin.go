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

// amqpRequest is a message of a device, understood.
type amqpRequest struct {
	*amqpLine
	request
	correlation any // echoed with its type
}

// request is a request of the line's device that has no more than its kind.
func (l *amqpLine) request(op Op) *amqpRequest {
	return &amqpRequest{amqpLine: l, request: request{msg: Message{Device: l.id, Op: op}}}
}

// twinRequest understands a message on the twin's link.
func (l *amqpLine) twinRequest(m *amqpwire.Message) *amqpRequest {
	req := l.request(0)
	if m.Properties != nil {
		req.correlation = m.Properties.CorrelationID
	}
	req.msg.RequestID = correlationText(req.correlation)
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

// perform implements passage.
func (r *amqpRequest) perform(mute bool) error {
	if r.msg.Op == PatchReported {
		r.patch(mute)
		return nil
	}
	l, h := r.amqpLine, r.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !l.live() {
		return nil
	}
	m := Message{Op: r.msg.Op, Status: statusOK}
	switch r.msg.Op {
	case Disconnect:
		l.leave()
		return nil
	case Telemetry:
		l.who.record.active = now
		return nil
	case MethodAnswer:
		h.answered(l, r.msg)
		return nil
	case Subscribe:
		l.desired = true
	case Unsubscribe:
		l.desired = false
	case GetTwin:
		m.Body = l.who.twin.Document()
	default:
		h.faultCount++
		m.Status, m.Body = r.bad.Status(), r.bad.Body(h.faultCount, h.opts.Now())
	}
	if !mute {
		r.reply(outgoing{msg: m})
	}
	return nil
}

// patch merges into the reported properties, or refuses the whole patch.
func (r *amqpRequest) patch(mute bool) {
	h := r.hub
	patch, f := h.opts.rules().Parse(r.msg.Body, true)
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.patched(r.who, &r.request, patch, f, now)
	if !ok || mute {
		return
	}
	if m.Status == 204 {
		m.Status = statusOK // over AMQP
	}
	r.reply(outgoing{msg: m})
}

// reply pushes the answer to a request, if there is anybody to hear it. hub.mu
// is held.
func (r *amqpRequest) reply(item outgoing) {
	if !r.live() {
		return
	}
	item.msg.Device, item.msg.RequestID, item.msg.FromHub = r.id, r.msg.RequestID, true
	item.form = amqpForm{amqpLine: r.amqpLine, correlation: r.correlation}
	r.push(item)
}

// repeat implements passage: the request is performed twice.
func (r *amqpRequest) repeat() error { return r.perform(false) }

// hold implements passage.
func (r *amqpRequest) hold(act Action) error { return r.later(act, r) }

// edit implements passage.
func (r *amqpRequest) edit(act Action) { r.hub.edit(&r.msg, act) }

// answer implements passage.
func (r *amqpRequest) answer(act Action) error {
	switch r.msg.Op {
	case Subscribe, Unsubscribe, GetTwin, PatchReported:
		item := amqpForm{amqpLine: r.amqpLine}.replace(outgoing{msg: Message{Op: r.msg.Op}, asIs: true}, act)
		r.hub.mu.Lock()
		defer r.hub.mu.Unlock()
		r.reply(item)
	}
	return nil
}

// amqpForm is what AMQP adds to a message to the device.
type amqpForm struct {
	*amqpLine
	correlation any    // of an answer
	text        string // of the answer to a put-token
}

// end implements form.
func (f amqpForm) end() error { return nil }

// spare implements form.
func (f amqpForm) spare(err error) bool {
	if err == errEnded {
		return false
	}
	f.close(err.Error())
	return !f.ended.Load()
}

// replace implements form.
func (f amqpForm) replace(item outgoing, act Action) outgoing {
	op := item.msg.Op
	if op == Subscribe || op == Unsubscribe {
		op = GetTwin // they are requests like any other
	}
	item = f.hub.replace(item, op, act)
	if op == Connect {
		item.msg.Status = amqpStatus(act.status)
	}
	return item
}

// write implements form. It sends a message to a device, and what else the engine
// has to say.
func (f amqpForm) write(item outgoing) error {
	l, a := f.amqpLine, f.amqpConn
	if l.lost() {
		return a.flush()
	}
	a.trace(item.msg)
	payload, err := amqpwire.EncodeMessage(f.message(item))
	if err != nil {
		return err
	}
	a.hub.mu.Lock()
	link := a.cbs[amqpwire.Receiver]
	a.hub.mu.Unlock()
	out := amqpwire.Outgoing{Payload: payload}
	a.mu.Lock()
	if item.msg.Op != Connect {
		link, out.Settled = l.links[end{nodeOf(item.msg.Op), amqpwire.Receiver}].link, true
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

// nodeOf is where a message is sent.
func nodeOf(op Op) node {
	switch op {
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
func (f amqpForm) message(o outgoing) *amqpwire.Message {
	if o.msg.Op == Method {
		return f.callMessage(o)
	}
	m := &amqpwire.Message{}
	if o.msg.Op == Connect {
		m.Properties = &amqpwire.MessageProperties{CorrelationID: f.correlation}
		m.ApplicationProperties = map[string]any{"status-code": int32(o.msg.Status), "status-description": f.text}
		o.askForPause(m)
		return m
	}
	o.askForPause(m)
	m.Annotations = amqpwire.Annotations{}
	if o.msg.Op == Desired {
		m.Annotations[noteResource] = resourceDesired
	} else {
		m.Properties = &amqpwire.MessageProperties{CorrelationID: f.correlation}
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
