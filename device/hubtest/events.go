package hubtest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A TelemetryMessage is a message from a device or module as the hub has stored
// it.
type TelemetryMessage struct {
	// Received is the message. Sequence counts the messages of its device from 1.
	// Properties has no iothub-creation-time-utc if Created is set.
	transport.Received
	// System are the system properties, by the names that routing queries and
	// Event Hubs have for them: those that the device set, such as "message-id",
	// "content-type" and "dt-subject", and those that the hub stamps, such as
	// "iothub-enqueuedtime", "iothub-connection-device-id",
	// "iothub-connection-auth-method" and "dt-dataschema".
	System map[string]string
	// Repeat is how many messages with this ID the device had sent before. They
	// were delivered too, for a hub does not look for duplicates. The hub knows
	// an ID as long as it keeps a message with it.
	Repeat int
}

// System properties by their names.
const (
	sysID              = "message-id"
	sysCorrelationID   = "correlation-id"
	sysContentType     = "content-type"
	sysContentEncoding = "content-encoding"
	sysComponent       = "dt-subject"
	sysOutput          = "iothub-outputname"

	sysEnqueued   = "iothub-enqueuedtime"
	sysDevice     = "iothub-connection-device-id"
	sysModule     = "iothub-connection-module-id"
	sysGeneration = "iothub-connection-auth-generation-id"
	sysAuth       = "iothub-connection-auth-method"
	sysModel      = "dt-dataschema"
)

// Application properties that the hub adds.
const (
	propRetain      = "mqtt-retain"
	propMessageType = "iothub-MessageType"
)

// setSystem sets a system property and returns what it counts of the message's
// size. What only a hub stamps is counted and lost.
func (m *TelemetryMessage) setSystem(name, value string) int {
	switch name {
	case sysID:
		m.ID = value
	case sysCorrelationID:
		m.CorrelationID = value
	case sysContentType:
		m.ContentType = value
	case sysContentEncoding:
		m.ContentEncoding = value
	case sysComponent:
		m.Component = value
	case sysOutput:
		m.Output = value
	case transport.PropertyCreated:
		m.Created, _ = createdTime(value)
	case sysEnqueued, sysDevice, sysModule, sysGeneration, sysAuth, sysModel:
		return len(value)
	}
	if m.System == nil {
		m.System = map[string]string{}
	}
	m.System[name] = value
	return len(value)
}

// setProperty is setSystem of an application property. The time of creation is
// one that the hub reads, if it is in UTC.
func (m *TelemetryMessage) setProperty(name, value string) int {
	if name == transport.PropertyCreated {
		if _, ok := createdTime(value); ok {
			return len(name) + m.setSystem(name, value)
		}
	}
	if m.Properties == nil {
		m.Properties = map[string]string{}
	}
	m.Properties[name] = value
	return len(name) + len(value)
}

// createdTime reads a time in UTC, with Z and no offset.
func createdTime(text string) (time.Time, bool) {
	t, err := time.Parse("2006-01-02T15:04:05.999999999Z", text)
	return t, err == nil
}

// clone is a copy that shares nothing with the message.
func (m TelemetryMessage) clone() TelemetryMessage {
	m.Body, m.Properties, m.System = bytes.Clone(m.Body), maps.Clone(m.Properties), maps.Clone(m.System)
	return m
}

// cost is what a message costs in memory, roughly.
func (m *TelemetryMessage) cost() int {
	n := itemCost + len(m.Body) + len(m.ID)
	for _, all := range []map[string]string{m.Properties, m.System} {
		for name, value := range all {
			n += itemCost + len(name) + len(value)
		}
	}
	return n
}

// eventLog is what the hub keeps of the messages of one identity. hub.mu guards
// it.
type eventLog struct {
	kept  []TelemetryMessage // in the order of Sequence, without a gap
	bytes int
	last  int64               // the youngest Sequence
	ids   map[string]*idCount // of the messages that are kept
}

// idCount counts the messages with one id.
type idCount struct{ seen, kept int }

// add keeps a message, at the cost of the oldest ones, of which it returns how
// many went. again is 1 when another message has the same id, else 0.
func (e *eventLog) add(m TelemetryMessage, maxCount, maxBytes int) (again, dropped int) {
	e.last++
	m.Sequence = e.last
	if m.ID != "" {
		if e.ids == nil {
			e.ids = map[string]*idCount{}
		}
		n := e.ids[m.ID]
		if n == nil {
			n = &idCount{}
			e.ids[m.ID] = n
		}
		m.Repeat, again = n.seen, min(n.seen, 1)
		n.seen++
		n.kept++
	}
	e.kept = append(e.kept, m)
	e.bytes += m.cost()
	for len(e.kept) > maxCount || e.bytes > maxBytes && len(e.kept) > 1 {
		e.dropOldest()
		dropped++
	}
	return again, dropped
}

func (e *eventLog) dropOldest() {
	m := e.kept[0]
	e.kept[0] = TelemetryMessage{} // let its body go
	e.kept = e.kept[1:]
	e.bytes -= m.cost()
	if n := e.ids[m.ID]; n != nil {
		if n.kept--; n.kept == 0 {
			delete(e.ids, m.ID)
		}
	}
}

// after returns the first kept message behind a Sequence.
func (e *eventLog) after(sequence int64) (TelemetryMessage, bool) {
	if len(e.kept) == 0 || sequence >= e.last {
		return TelemetryMessage{}, false
	}
	first := e.kept[0].Sequence
	return e.kept[max(sequence+1-first, 0)], true
}

// store keeps messages of a device, as the hub stamps them. It reports false when
// the identity is gone. h.mu is held.
func (h *Hub) store(who *identity, messages []TelemetryMessage, now time.Time) bool {
	if who == nil || h.identities[who.id] != who {
		return false
	}
	who.record.active = now
	for _, m := range messages {
		m = m.clone()
		m.Enqueued, m.From = now.UTC(), who.id
		who.stamp(&m)
		again, dropped := who.events.add(m, h.opts.KeptMessages, h.opts.KeptBytes)
		h.count(who.id, func(s *Stats) {
			s.Repeats += again
			s.Forgotten += dropped
		})
	}
	who.touch()
	return true
}

// stamp adds the system properties that no device sets. hub.mu is held.
func (id *identity) stamp(m *TelemetryMessage) {
	set := func(name, value string) {
		if value == "" {
			return
		}
		if m.System == nil {
			m.System = map[string]string{}
		}
		m.System[name] = value
	}
	set(sysEnqueued, m.Enqueued.Format("2006-01-02T15:04:05.000Z"))
	set(sysDevice, id.device)
	set(sysModule, id.module)
	set(sysGeneration, id.record.generation)
	set(sysAuth, id.method)
	set(sysModel, id.modelID)
}

// authMethod is how a proof that is good let an identity in, as messages tell it.
func (id *identity) authMethod(p proof) string {
	scope, kind := "device", "sas"
	if id.module != "" {
		scope = "module"
	}
	if id.proof.kind != authSAS {
		kind = "x509"
	} else if c, err := parseToken(p.token); err == nil && c.policy != "" {
		scope = "hub"
	}
	return `{"scope":"` + scope + `","type":"` + kind + `","issuer":"iothub"}`
}

// Messages yields the messages that the device or module has sent, in the order
// in which they arrived: first those that the hub keeps, then each one when it
// arrives. It ends when the loop does, or with an error: ctx's, ErrUnknown when
// there is no such device any more, or ErrClosed. The messages that are kept at
// that time are yielded before the error, so a ctx that has ended reads what is
// there and does not wait:
//
//	for m, err := range dev.Messages(ctx) {
//		if err != nil {
//			t.Fatal(err)
//		}
//		if m.Properties["alert"] == "true" {
//			break
//		}
//	}
//
// Every loop begins with the oldest message, and reading takes none away. The
// hub keeps as many as Options say. Of those that had to go, Stats.Forgotten
// counts how many, and a gap in Sequence shows them.
func (d Device) Messages(ctx context.Context) iter.Seq2[TelemetryMessage, error] {
	return func(yield func(TelemetryMessage, error) bool) {
		var who *identity
		limit := int64(-1) // the last to yield, once ctx has ended
		for at := int64(0); ; {
			m, next, err := d.messageAfter(&who, at)
			if limit < 0 && ctx.Err() != nil && err == nil {
				limit = next.youngest
			}
			switch {
			case err != nil:
				yield(TelemetryMessage{}, err)
				return
			case limit >= 0 && (!next.ready || at >= limit):
				yield(TelemetryMessage{}, ctx.Err())
				return
			case next.ready:
				if !yield(m, nil) {
					return
				}
				at = m.Sequence
			default:
				select {
				case <-next.changed:
				case <-ctx.Done():
				case <-d.hub.done:
				}
			}
		}
	}
}

// following is what follows a message.
type following struct {
	ready    bool
	youngest int64
	changed  <-chan struct{} // closed when it is time to look again
}

// messageAfter returns a copy of the message behind a Sequence. who is the
// identity that is read, found when it is nil.
func (d Device) messageAfter(who **identity, sequence int64) (m TelemetryMessage, next following, err error) {
	h := d.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if *who == nil {
		if *who, err = d.found(); err != nil {
			return m, next, err
		}
	}
	e := &(*who).events
	next.youngest, next.changed = e.last, (*who).changed
	if m, next.ready = e.after(sequence); next.ready {
		return m.clone(), next, nil
	}
	if h.closed {
		return m, next, ErrClosed
	}
	if now, err := d.found(); err != nil || now != *who {
		return m, next, fmt.Errorf("%w: %s was removed", ErrUnknown, d.id)
	}
	return m, next, nil
}
