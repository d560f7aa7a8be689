package amqp

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// maxEvents is how many messages may wait to be sent.
	maxEvents = 16
	// maxUnanswered is how many messages may be without an answer that was received.
	maxUnanswered = 4 * maxEvents
	// maxBatch bounds the messages that one transfer carries, in bytes: a hub's
	// limit for a batch.
	maxBatch = transport.MaxMessage
)

// events is a device's telemetry. Its link is attached for the first message.
type events struct {
	address    string
	properties map[string]any  // of the link
	life       context.Context // ends before the session is ended
	stop       context.CancelFunc
	work       chan struct{} // capacity 1: something waits

	// Owned by carry, and by closeParts after its end.
	sender *amqp.Sender // nil while there is no link
	link   *amqpwire.GuardedLink

	// Guarded by line.mu.
	carried    chan struct{}     // closed when carry has ended, nil until it begins
	suspects   []event           // of a batch that was rejected: each is sent alone, before what waits
	waiting    []event           // in order
	answers    []transport.Frame // for Receive
	unanswered int               // taken by Send, the answer not yet returned by Receive
	busy       bool              // Send returned ErrBusy, and Receive owes Ready
}

// An event is a message on its way.
type event struct {
	id   string // the frame's
	m    *transport.Message
	size int // at least that of its encoding
}

// sendEvent queues a message for carry.
func (c *conn) sendEvent(ctx context.Context, f transport.Frame) error {
	if err := checkEvent(f); err != nil {
		return err
	}
	if end := ctx.Err(); end != nil {
		return fmt.Errorf("send: %w", end)
	}
	e := &c.events
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if len(e.waiting) >= maxEvents || e.unanswered >= maxUnanswered {
		e.busy = true
		return fmt.Errorf("%w: %d messages wait to be sent, %d for an answer to be received", transport.ErrBusy, len(e.waiting), e.unanswered)
	}
	if e.carried == nil {
		carried := make(chan struct{})
		if !c.line.startLocked(func() { defer close(carried); c.carry() }) {
			return c.line.cause
		}
		e.carried = carried
	}
	e.waiting = append(e.waiting, event{f.ID, keep(f.Message), encodedSize(f.Message)})
	e.unanswered++
	poke(e.work)
	return nil
}

// checkEvent refuses what AMQP cannot say.
func checkEvent(f transport.Frame) error {
	m := f.Message
	if m == nil {
		return fmt.Errorf("%w: telemetry without a message", transport.ErrUnsupported)
	}
	if err := fate.CheckID(f); err != nil {
		return err
	}
	if n := m.Size(); n > transport.MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes; the limit is %d", transport.ErrTooLarge, n, transport.MaxMessage)
	}
	valid := utf8.ValidString(m.ID) && utf8.ValidString(m.CorrelationID) && utf8.ValidString(m.ContentType) &&
		utf8.ValidString(m.ContentEncoding) && utf8.ValidString(m.Component) && utf8.ValidString(m.Output)
	for name, value := range m.Properties {
		valid = valid && utf8.ValidString(name) && utf8.ValidString(value)
	}
	if !valid {
		return fmt.Errorf("%w: a message whose texts are not UTF-8", transport.ErrUnsupported)
	}
	return nil
}

const (
	// propertyCreatedInBatch is how the hub reads transport.PropertyCreated in a
	// batch.
	propertyCreatedInBatch = "iothub-app-" + transport.PropertyCreated
	propertyOutput         = "iothub-outputname"
	noteComponent          = "dt-subject"
	// formatBatch marks a message whose data sections are messages.
	formatBatch = 0x80013700
)

// encodedSize is at least what a message has in a transfer: sections, fields and the
// names above take less than 256 bytes, and each property 10.
func encodedSize(m *transport.Message) int { return m.Size() + 256 + 10*len(m.Properties) }

// keep returns a copy of a message that shares no memory with it.
func keep(m *transport.Message) *transport.Message {
	kept := *m
	kept.Body, kept.Properties = bytes.Clone(m.Body), maps.Clone(m.Properties)
	return &kept
}

// batch returns the message of a transfer.
func batch(all []event) *amqp.Message {
	if len(all) == 1 {
		return single(all[0].m)
	}
	m := &amqp.Message{Format: formatBatch, Data: make([][]byte, len(all))}
	for i, e := range all {
		m.Data[i] = appendEvent(make([]byte, 0, e.size), e.m)
	}
	return m
}

// single returns a message that is in no batch.
func single(m *transport.Message) *amqp.Message {
	out := &amqp.Message{Data: [][]byte{m.Body}, ApplicationProperties: applicationProperties(m, transport.PropertyCreated)}
	if m.Component != "" {
		out.Annotations = amqp.Annotations{noteComponent: m.Component}
	}
	p := amqp.MessageProperties{ContentType: text(m.ContentType), ContentEncoding: text(m.ContentEncoding)}
	if m.ID != "" {
		p.MessageID = m.ID
	}
	if m.CorrelationID != "" {
		p.CorrelationID = m.CorrelationID
	}
	if p.MessageID != nil || p.CorrelationID != nil || p.ContentType != nil || p.ContentEncoding != nil {
		out.Properties = &p
	}
	return out
}

// text is a field that is left out when it is empty.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// applicationProperties are the application's own and those that the hub reads, nil
// for none. The creation time has the given name.
func applicationProperties(m *transport.Message, nameOfCreated string) map[string]any {
	created := m.CreatedText()
	if len(m.Properties) == 0 && created == "" && m.Output == "" {
		return nil
	}
	all := make(map[string]any, len(m.Properties)+2)
	for name, value := range m.Properties {
		if name == transport.PropertyCreated {
			name = nameOfCreated
		}
		all[name] = value
	}
	if created != "" {
		all[nameOfCreated] = created
	}
	if m.Output != "" {
		all[propertyOutput] = m.Output
	}
	return all
}

// chooseLocked returns what leaves next: one suspect, or of what waits as much as
// one transfer carries.
func (e *events) chooseLocked() []event {
	if len(e.suspects) > 0 {
		return e.suspects[:1]
	}
	n, size := 0, 0
	for n < len(e.waiting) {
		size += e.waiting[n].size
		if n > 0 && (size > maxBatch || !e.link.Takes(size)) {
			break
		}
		n++
	}
	return e.waiting[:n]
}

// removeLocked takes out what was chosen.
func (c *conn) removeLocked(chosen []event) []event {
	e := &c.events
	from := &e.waiting
	if len(e.suspects) > 0 {
		from = &e.suspects
	}
	n := len(chosen)
	chosen = slices.Clone(chosen)
	*from = slices.Delete(*from, 0, n)
	c.eventsReadyLocked()
	return chosen
}

// answerLocked gives Receive the answer to frames, Accepted for status 0.
func (c *conn) answerLocked(w word, all ...event) {
	for _, e := range all {
		f := transport.Frame{Kind: transport.Accepted, ID: e.id}
		if w.status != 0 {
			f.Kind, f.Status, f.Body = transport.Response, w.status, bytes.Clone(w.body)
		}
		c.events.answers = append(c.events.answers, f)
	}
	poke(c.wake)
}

// eventsReadyLocked gives Receive a Ready if Send returned ErrBusy and there is a
// place again.
func (c *conn) eventsReadyLocked() {
	e := &c.events
	if e.busy && len(e.waiting) < maxEvents && e.unanswered < maxUnanswered {
		e.busy = false
		e.answers = append(e.answers, transport.Frame{Kind: transport.Ready, Feature: transport.Events})
		poke(c.wake)
	}
}

// nextEvent takes the oldest answer to telemetry.
func (c *conn) nextEvent() (f transport.Frame, ok bool) {
	e := &c.events
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if len(e.answers) == 0 {
		return f, false
	}
	f = e.answers[0]
	if e.answers = e.answers[1:]; len(e.answers) == 0 {
		e.answers = nil
	}
	if f.Kind != transport.Ready {
		e.unanswered--
		c.eventsReadyLocked()
	}
	return f, true
}
