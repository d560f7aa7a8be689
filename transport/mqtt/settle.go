package mqtt

import (
	"context"
	"fmt"
	"slices"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/transport"
)

// maxUnsettled bounds the messages that wait for a Settle, or for their PUBACK
// to leave. It is more than a hub keeps for a device (50).
const maxUnsettled = 128

// deliveries are the messages of QoS 1 that are on their way to a PUBACK. A
// conn's mu guards them.
type deliveries struct {
	last      uint64     // the number given last
	unsettled []delivery // received, in the order of arrival
	acks      []uint16   // settled: the packet ids that PUBACK is owed for
}

// A delivery is one message that the hub waits for.
type delivery struct {
	number   uint64
	packetID uint16
}

// deliver numbers a message of QoS 1. It reports false for one that must not
// reach the receiver: a repetition of one that waits, or one too many, which the
// hub delivers again later since nobody acknowledges it.
func (c *conn) deliver(packetID uint16) (number uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.deliveries
	// A packet id is in use until its PUBACK [MQTT-2.3.1-4].
	repeated := slices.Contains(d.acks, packetID) ||
		slices.ContainsFunc(d.unsettled, func(u delivery) bool { return u.packetID == packetID })
	if repeated || len(d.unsettled)+len(d.acks) >= maxUnsettled {
		return 0, false
	}
	d.last++
	d.unsettled = append(d.unsettled, delivery{d.last, packetID})
	return d.last, true
}

// settle takes the receiver's word on a delivery. The keeper writes the PUBACK,
// so settle never waits for the line.
func (c *conn) settle(f transport.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.deliveries
	i := slices.IndexFunc(d.unsettled, func(u delivery) bool { return u.number == f.Delivery })
	switch {
	case i < 0:
		return fmt.Errorf("%w: delivery %d does not wait to be settled", transport.ErrUnsupported, f.Delivery)
	case f.Outcome == transport.Complete:
		d.acks = append(d.acks, d.unsettled[i].packetID)
		select {
		case c.owed <- struct{}{}:
		default:
		}
	case f.Outcome == transport.Release: // without PUBACK the hub delivers it again
	default:
		return fmt.Errorf("%w: outcome %d; MQTT can only complete and release", transport.ErrUnsupported, f.Outcome)
	}
	d.unsettled = slices.Delete(d.unsettled, i, i+1)
	return nil
}

// takeAcks returns the PUBACKs that are owed, as they go over the wire.
func (c *conn) takeAcks() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b []byte
	for _, id := range c.deliveries.acks {
		b = append(b, packets.Puback<<4, 2, byte(id>>8), byte(id))
	}
	c.deliveries.acks = c.deliveries.acks[:0]
	return b
}

// sendAcks writes the PUBACKs that are owed.
func (c *conn) sendAcks() error {
	return c.write(context.Background(), nil, c.takeAcks)
}
