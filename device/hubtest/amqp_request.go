package hubtest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
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

	settles func(amqpwire.Outcome) outgoing // Telemetry that is to be settled, or nil
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
	if r.msg.Op == Telemetry {
		r.keep(mute)
		return nil
	}
	l, h := r.amqpLine, r.hub
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

// repeat implements passage: the request is performed twice. Telemetry is settled
// once all the same.
func (r *amqpRequest) repeat() error { return r.perform(r.msg.Op == Telemetry) }

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
	case Telemetry:
		r.settle(r.outcomeOf(act))
	}
	return nil
}

// Application properties of direct methods, in the spelling of the hub and of
// every SDK.
const (
	propMethodName   = "IoThub-methodname"
	propMethodStatus = "IoThub-status"
)

// invoke implements presence: over AMQP a device listens to every method, as
// soon as it has both links for them.
func (l *amqpLine) invoke(n uint64, m Message) *call {
	if !l.paired(nodeMethods) {
		return nil
	}
	correlation := callUUID(n)
	m.RequestID = correlation.String()
	l.push(outgoing{msg: m, form: amqpForm{amqpLine: l, correlation: correlation}})
	return newCall(m.RequestID, l, l.left)
}

// callUUID is the hub's nth call as a UUID. It has the form of a random one:
// to any other Node's SDK answers with a text.
func callUUID(n uint64) amqpwire.UUID {
	var u amqpwire.UUID
	binary.BigEndian.PutUint64(u[8:], n)
	u[6], u[8] = 0x40, 0x80
	return u
}

// methodAnswer understands a message on the link for answers. An error ends
// the line, as a topic without status or $rid does over MQTT.
func (l *amqpLine) methodAnswer(payload []byte) (*amqpRequest, error) {
	m, err := amqpwire.DecodeMessage(payload)
	if err != nil {
		return nil, err
	}
	if m.Properties == nil {
		return nil, errors.New("answer to a method without correlation-id")
	}
	call, ok := m.Properties.CorrelationID.(amqpwire.UUID)
	if !ok {
		return nil, fmt.Errorf("answer to a method whose correlation-id is a %T, and not the UUID of the call", m.Properties.CorrelationID)
	}
	status, ok := m.ApplicationProperties[propMethodStatus].(int32)
	if !ok {
		return nil, fmt.Errorf("answer to a method whose %s is a %T, and not an int", propMethodStatus, m.ApplicationProperties[propMethodStatus])
	}
	if len(m.Data) > 1 || m.Value != nil || len(m.Sequence) > 0 {
		return nil, errors.New("answer to a method whose body is not one section of data")
	}
	req := l.request(MethodAnswer)
	req.msg.RequestID, req.msg.Status = call.String(), int(status)
	if len(m.Data) == 1 {
		req.msg.Body = m.Data[0]
	}
	return req, nil
}
