package hubtest

import (
	"errors"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
)

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

// callMessage is a call as AMQP says it. It always has a body, for C's SDK
// refuses a call without one.
func (f amqpForm) callMessage(o outgoing) *amqpwire.Message {
	return &amqpwire.Message{
		Properties:            &amqpwire.MessageProperties{CorrelationID: f.correlation},
		ApplicationProperties: map[string]any{propMethodName: o.msg.Method},
		Data:                  [][]byte{o.msg.Body},
	}
}

const (
	statusOK           = 200
	statusUnauthorized = 401
	statusUnavailable  = 503
)

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
