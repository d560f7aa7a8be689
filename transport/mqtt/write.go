package mqtt

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// writeLimit is what one piece of a packet may take to leave.
	writeLimit = 10 * time.Second
	// pieceSize is large enough for nearly every packet to be one write, and
	// small enough for a slow modem to move it within writeLimit.
	pieceSize = 16 << 10
)

// Send implements transport.Conn. A frame that MQTT cannot say, or that no hub
// would read, matches transport.ErrUnsupported and leaves the connection as it
// was.
func (c *conn) Send(ctx context.Context, f transport.Frame) error {
	if err := c.err(); err != nil {
		return err
	}
	if f.Kind == transport.Open {
		return c.sendOpen(ctx, f)
	}
	p, err := requestPacket(f)
	if err != nil {
		return err
	}
	return c.send(ctx, p)
}

// sendOpen subscribes; the packet id stands for the frame's ID until SUBACK.
func (c *conn) sendOpen(ctx context.Context, f transport.Frame) error {
	p, err := openPacket(f)
	if err != nil {
		return err
	}
	// Before it is sent, for SUBACK may be received before Send returns.
	if p.MessageID, err = c.reserve(f.ID); err != nil {
		return err
	}
	err = c.send(ctx, p)
	if err != nil {
		c.settle(p.MessageID)
	}
	return err
}

// reserve finds a packet id that is not in use [MQTT-2.3.1-2].
func (c *conn) reserve(id string) (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.opened) == math.MaxUint16 {
		return 0, fmt.Errorf("%w: %d Open frames wait for the hub", transport.ErrUnsupported, len(c.opened))
	}
	for {
		c.lastID++
		if _, used := c.opened[c.lastID]; !used && c.lastID != 0 {
			c.opened[c.lastID] = id
			return c.lastID, nil
		}
	}
}

// settle gives a packet id back and returns the frame's ID that it stood for.
func (c *conn) settle(packetID uint16) (id string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok = c.opened[packetID]
	delete(c.opened, packetID)
	return id, ok
}

// send writes one packet when its turn comes.
func (c *conn) send(ctx context.Context, p packets.ControlPacket) error {
	b, err := mqttwire.Encode(p)
	if err != nil {
		return fmt.Errorf("%w: %w", transport.ErrUnsupported, err)
	}
	if len(b) > hubproto.MaxPacket {
		return fmt.Errorf("%w: a packet of %d bytes; no hub reads more than %d", transport.ErrUnsupported, len(b), hubproto.MaxPacket)
	}
	if err := c.fate.TakeTurn(ctx); err != nil {
		return err
	}
	defer c.fate.PassTurn()
	if err := c.put(b); err != nil {
		c.fail(lineError(err))
		return c.err()
	}
	return nil
}

// put writes a whole packet. Its caller holds the turn, or is alone.
func (c *conn) put(b []byte) error {
	for len(b) > 0 {
		if err := c.stream.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		n := min(len(b), pieceSize)
		if _, err := c.stream.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	c.sent.Store(c.now())
	// TLS writes on its own too, and must not meet a deadline of the past.
	return c.stream.SetWriteDeadline(time.Time{})
}
