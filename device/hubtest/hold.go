package hubtest

import (
	"slices"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// maxHeld is how many acknowledgements are held of a device. One more ends its
// connection.
const maxHeld = 10_000

// heldAcks are the acknowledgements of a device's telemetry that wait. hub.mu
// guards them.
type heldAcks struct {
	on   bool
	acks []heldAck
}

// heldAck is an acknowledgement on its connection.
type heldAck struct {
	conn *conn
	item outgoing
}

// push sends an acknowledgement, unless it is to wait. hub.mu is held, of a hub
// that is not closed.
func (a *heldAcks) push(c *conn, item outgoing) {
	if len(a.acks) == maxHeld { // those of connections that have ended go
		a.acks = slices.DeleteFunc(a.acks, func(h heldAck) bool { return h.conn.ended.Load() })
	}
	switch {
	case !a.on:
		c.push(item)
	case len(a.acks) < maxHeld:
		a.acks = append(a.acks, heldAck{c, item})
	default:
		c.hub.wg.Go(func() { c.close("too much telemetry waits for HoldTelemetry(false)") })
	}
}

// HoldTelemetry makes the hub withhold its acknowledgements of a device's
// telemetry, as a throttled hub does, or releases them in their order. Messages
// are stored all the same. Over MQTT the PUBACKs wait. Over AMQP the outcomes
// wait, the hub takes back the link's credit, and a link that the device attaches
// meanwhile gets none. An acknowledgement that waits is lost with its connection.
// An unknown device is ErrUnknown.
func (d Device) HoldTelemetry(on bool) error {
	return d.change(func(who *identity) error {
		if d.hub.closed {
			return ErrClosed
		}
		acks := who.held.acks
		who.held = heldAcks{on: on}
		if on {
			who.held.acks = acks
		}
		if l, ok := who.conn.(*amqpLine); ok {
			l.withhold(on)
		}
		if !on {
			for _, a := range acks {
				a.conn.push(a.item)
			}
		}
		return nil
	})
}

// withhold takes the credit of the links for telemetry, or gives it. hub.mu is
// held.
func (l *amqpLine) withhold(on bool) {
	l.mu.Lock()
	for _, link := range l.others {
		if l.nodes[link].node == nodeEvents && link.Role() == amqpwire.Sender {
			link.Withhold(on)
		}
	}
	l.mu.Unlock()
	l.push(outgoing{form: amqpNudge{l.amqpConn}, asIs: true})
}
