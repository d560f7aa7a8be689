package hubtest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// formatBatch is the message-format of a transfer with several messages, each in
// a section of data.
const formatBatch = 0x80013700

// Conditions with which the hub rejects telemetry.
const (
	condTooLarge = "amqp:link:message-size-exceeded"
	condDecode   = "amqp:decode-error"
	condArgument = "com.microsoft:argument-error"
)

// Why a transfer is rejected that a client of the right version would not send.
var (
	errFormat = errors.New("the message-format is neither 0 nor that of a batch")
	errBody   = errors.New("the body is not in sections of data")
	errSize   = fmt.Errorf("more than %d bytes", maxEvent)
	errBatch  = fmt.Errorf("a batch without messages, or of more than %d", maxBatch)
)

// takeTelemetry takes a transfer on the link for telemetry.
func (l *amqpLine) takeTelemetry(d *amqpwire.Delivery) error {
	r := l.request(Telemetry)
	if !d.Settled {
		r.settles = func(o amqpwire.Outcome) outgoing {
			return outgoing{form: amqpSettle{amqpForm: amqpForm{amqpLine: l}, link: d.Link, id: d.ID, outcome: o}}
		}
	}
	events, err := transferred(d.Format, d.Payload)
	if err != nil {
		l.hub.log.Warn("telemetry rejected", "device", l.id, "reason", err)
		r.settle(rejected(l.hub.rejection(err)))
		return nil
	}
	d.Payload, r.events, r.msg.RequestID = nil, events, events[0].ID
	if len(events) == 1 {
		r.msg.Body = events[0].Body
	}
	return l.take(r)
}

// transferred are the messages of one transfer.
func transferred(format uint32, payload []byte) ([]TelemetryMessage, error) {
	outer, err := amqpwire.DecodeMessage(payload)
	switch {
	case err != nil:
		return nil, err
	case format == 0:
		m, size, err := eventOf(outer)
		if err == nil && size > maxEvent {
			err = errSize
		}
		return []TelemetryMessage{m}, err
	case format != formatBatch:
		return nil, errFormat
	case outer.Value != nil || len(outer.Sequence) > 0:
		return nil, errBody
	case len(outer.Data) == 0 || len(outer.Data) > maxBatch:
		return nil, errBatch
	}
	all := make([]TelemetryMessage, 0, len(outer.Data))
	total := 0
	for _, b := range outer.Data {
		inner, err := amqpwire.DecodeMessage(b)
		if err != nil {
			return nil, err
		}
		m, size, err := eventOf(inner)
		if err != nil {
			return nil, err
		}
		if total += size; total > maxEvent {
			return nil, errSize
		}
		all = append(all, m)
	}
	return all, nil
}

// eventOf is a message as AMQP says it, and its size as the hub counts.
func eventOf(m *amqpwire.Message) (e TelemetryMessage, size int, err error) {
	if m.Value != nil || len(m.Sequence) > 0 {
		return e, 0, errBody
	}
	e.Body = bytes.Join(m.Data, nil)
	size = len(e.Body)
	for name, value := range m.Annotations {
		switch name, _ := name.(string); name {
		case sysComponent, "iothub-interface-id", "Diagnostic-Id", "Correlation-Context":
			size += e.setSystem(name, propertyText(value))
		}
	}
	if p := m.Properties; p != nil {
		set := func(name string, value any) { size += e.setSystem(name, propertyText(value)) }
		for name, value := range map[string]*string{
			"to": p.To, "subject": p.Subject, "reply-to": p.ReplyTo, sysContentType: p.ContentType,
			sysContentEncoding: p.ContentEncoding, "group-id": p.GroupID, "reply-to-group-id": p.ReplyToGroupID,
		} {
			if value != nil {
				set(name, *value)
			}
		}
		for name, value := range map[string]*time.Time{"absolute-expiry-time": p.AbsoluteExpiryTime, "creation-time": p.CreationTime} {
			if value != nil {
				set(name, *value)
			}
		}
		if p.MessageID != nil {
			set(sysID, p.MessageID)
		}
		if p.CorrelationID != nil {
			set(sysCorrelationID, p.CorrelationID)
		}
		if p.UserID != nil {
			set("user-id", p.UserID)
		}
	}
	for name, value := range m.ApplicationProperties {
		switch name {
		case sysOutput, "iothub-message-schema":
			size += e.setSystem(name, propertyText(value))
		default:
			size += e.setProperty(name, propertyText(value))
		}
	}
	return e, size, nil
}

// propertyText is the value of a property as text.
func propertyText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.999Z")
	}
	return fmt.Sprint(v)
}

// keep stores the messages of a transfer and accepts it, unless it is mute.
func (r *amqpRequest) keep(mute bool) {
	h := r.hub
	now := h.opts.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.store(r.who, r.edited(), now) && !mute {
		r.settleLocked(amqpwire.Outcome{State: amqpwire.Accepted})
	}
}

func (r *amqpRequest) settle(o amqpwire.Outcome) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	r.settleLocked(o)
}

// settleLocked tells the client how a transfer ended, if it wants to know. hub.mu
// is held.
func (r *amqpRequest) settleLocked(o amqpwire.Outcome) {
	if r.settles == nil || r.hub.closed || r.who == nil {
		return
	}
	item := r.settles(o)
	item.msg = Message{Device: r.id, Op: Ack, FromHub: true, RequestID: r.msg.RequestID}
	r.who.held.push(r.conn, item)
}

// rejected is the outcome of telemetry that is rejected.
func rejected(err *amqpwire.Error) amqpwire.Outcome {
	return amqpwire.Outcome{State: amqpwire.Rejected, Error: err}
}

// rejection says in AMQP's words why the hub does not take a transfer.
func (h *Hub) rejection(why error) *amqpwire.Error {
	condition := condArgument
	switch {
	case why == errSize:
		condition = condTooLarge
	case errors.Is(why, amqpwire.ErrMessage):
		condition = condDecode
	}
	return &amqpwire.Error{Condition: condition, Description: oneLine(why.Error())}
}

// outcomeOf is what Intercept wants of telemetry that is answered: a condition or
// an outcome in words, or else a fault.
func (l *amqpLine) outcomeOf(act Action) amqpwire.Outcome {
	switch act.body {
	case "released":
		return amqpwire.Outcome{State: amqpwire.Released}
	case "modified":
		return amqpwire.Outcome{State: amqpwire.Modified}
	}
	f := fault.Usual(act.code)
	if act.code == 0 {
		f = fault.Usual(act.status*1000 + 1)
	}
	err := &amqpwire.Error{Condition: condition(f), Description: string(l.hub.errorBody(f))}
	switch {
	case act.body != "":
		err.Condition = act.body
	case f.Status() == 400:
		err.Condition = condArgument
	case f.Status() == 413:
		err.Condition = condTooLarge
	case f.Code == 403002:
		err.Condition = condLimit
	}
	return rejected(err)
}

// amqpSettle is the settlement of a transfer, as a message to the device.
type amqpSettle struct {
	amqpForm
	link    *amqpwire.Link
	id      uint32
	outcome amqpwire.Outcome
}

// write implements form.
func (f amqpSettle) write(item outgoing) error {
	a := f.amqpConn
	if !f.lost() {
		a.trace(item.msg)
		a.mu.Lock()
		f.link.Settle(f.id, f.outcome)
		a.mu.Unlock()
	}
	return a.flush()
}

// replace implements form.
func (f amqpSettle) replace(item outgoing, act Action) outgoing {
	f.outcome = f.outcomeOf(act)
	item.form = f
	return item
}
