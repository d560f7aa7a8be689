package amqp

import (
	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/transport"
)

// Message is how a frame becomes a message.
func Message(f transport.Frame) (*amqp.Message, error) { return message(f) }

// Parse is how a message becomes a frame.
func Parse(m *amqp.Message) (transport.Frame, bool) { return parse(m) }

// Condition is how go-amqp's error becomes one of ours.
func Condition(e *amqp.Error) *ConditionError { return conditionError(e) }

// TokenRefused is how a put-token's answer becomes an error.
func TokenRefused(status int, text string) error { return tokenRefused(status, text) }

// Repair passes a stream through the repair in pieces of a size, after transfers
// on our channel 0 were sent.
func Repair(stream []byte, piece, transfers int) []byte {
	r := newRepair()
	for range transfers {
		r.sent([]byte{0, 0, 0, 11, 2, 0, 0, 0, 0, 0x53, codeMove})
	}
	var out []byte
	for len(stream) > 0 {
		n := min(piece, len(stream))
		r.feed(stream[:n])
		stream = stream[n:]
		out = append(out, r.ready...)
		r.ready = r.ready[len(r.ready):]
	}
	return out
}
