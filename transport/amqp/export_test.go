package amqp

import (
	"net"
	"time"

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

// DevicesOn is how many devices a pool puts on a stream.
func DevicesOn(stream net.Conn) int { return newLine(stream, 0).devices() }

// Lines is how many lines a pool has.
func (p *Pool) Lines() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range p.lines {
		n += len(all)
	}
	return n
}

// Hold keeps everybody from what the pool's mutex guards, until release lets them
// go on, in turn: a mutex is handed from one to the next once somebody who has
// waited for over a millisecond finds it taken again.
func (p *Pool) Hold() (release func()) {
	p.mu.Lock()
	return func() {
		p.mu.Unlock()
		p.mu.Lock()
		AwaitTurn()
		p.mu.Unlock()
	}
}

// AwaitTurn gives somebody time to begin to wait for a mutex, and to have waited
// for that long. Nothing else tells of it.
func AwaitTurn() { <-time.After(2 * time.Millisecond) }

// BatchForm is a message as a batch holds it, and the size that it is taken for.
func BatchForm(m *transport.Message) (b []byte, size int) {
	return appendEvent(nil, m), encodedSize(m)
}

// Single is a message that is in no batch.
func Single(m *transport.Message) *amqp.Message { return single(m) }

// Unwritten is how many bytes wait to be written on the pool's lines.
func (p *Pool) Unwritten() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range p.lines {
		for _, s := range all {
			s.line.mu.Lock()
			n += int(s.line.wire.queued - s.line.wire.written)
			s.line.mu.Unlock()
		}
	}
	return n
}
