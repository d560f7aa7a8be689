package mqtt

import (
	"fmt"
	"slices"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/transport"
)

// maxUnsettled bounds the messages that wait for a Settle, or for their PUBACK
// to leave. It is more than a hub keeps for a device (50).
const maxUnsettled = 128

// A delivery is a message of QoS 1 whose PUBACK has not left.
type delivery struct {
	number   uint64
	packetID uint16
	settled  bool // PUBACK is owed
}

// deliver numbers a message of QoS 1. It reports false for one that must not
// reach the receiver: a repetition of one that waits, or one too many, which the
// hub delivers again later since nobody acknowledges it.
func (c *conn) deliver(packetID uint16) (number uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.deliveries {
		if d.packetID == packetID { // in use until its PUBACK [MQTT-2.3.1-4]
			return 0, false
		}
	}
	if len(c.deliveries) == maxUnsettled {
		return 0, false
	}
	c.lastNumber++
	c.deliveries = append(c.deliveries, delivery{number: c.lastNumber, packetID: packetID})
	return c.lastNumber, true
}

// settle takes the receiver's word on a delivery. The keeper writes the PUBACK,
// so settle never waits for the line.
func (c *conn) settle(f transport.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, d := range c.deliveries {
		switch {
		case d.number != f.Delivery || d.settled:
		case f.Kind == transport.Complete:
			c.deliveries[i].settled = true
			select {
			case c.owed <- struct{}{}:
			default:
			}
			return nil
		case f.Kind == transport.Release: // without PUBACK the hub delivers it again
			c.deliveries = slices.Delete(c.deliveries, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("%w: %v of delivery %d, which does not wait for it",
		transport.ErrUnsupported, f.Kind, f.Delivery)
}

// takeAcks returns the PUBACKs that are owed, as they go over the wire, in the
// order of arrival [MQTT-4.6.0-2].
func (c *conn) takeAcks() (b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.deliveries[:0]
	for _, d := range c.deliveries {
		if d.settled {
			b = append(b, packets.Puback<<4, 2, byte(d.packetID>>8), byte(d.packetID))
		} else {
			waiting = append(waiting, d)
		}
	}
	c.deliveries = waiting
	return b
}
