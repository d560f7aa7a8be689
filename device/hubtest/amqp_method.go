package hubtest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

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

// callMessage is a call as AMQP says it. It always has a body, for C's SDK
// refuses a call without one.
func (f amqpForm) callMessage(o outgoing) *amqpwire.Message {
	return &amqpwire.Message{
		Properties:            &amqpwire.MessageProperties{CorrelationID: f.correlation},
		ApplicationProperties: map[string]any{propMethodName: o.msg.Method},
		Data:                  [][]byte{o.msg.Body},
	}
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
