package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

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

// Send implements transport.Conn. It never returns transport.ErrBusy: requests
// have QoS 0, and telemetry has no window but its sender's.
func (c *conn) Send(ctx context.Context, f transport.Frame) error {
	if err := c.err(); err != nil {
		return err
	}
	switch f.Kind {
	case transport.Open, transport.Close:
		return c.sendOpen(ctx, f)
	case transport.Telemetry:
		return c.sendEvent(ctx, f)
	case transport.Complete, transport.Release:
		if end := ctx.Err(); end != nil {
			return fmt.Errorf("transport: send: %w", end)
		}
		return c.settle(f)
	}
	p, err := requestPacket(f)
	if err != nil {
		return err
	}
	b, err := encode(p)
	if err != nil {
		return err
	}
	if f.Kind == transport.GetTwin {
		return c.write(ctx, b, c.takeTidy)
	}
	return c.write(ctx, b, nil)
}

// sendOpen subscribes or unsubscribes. The packet id maps to the frame's ID
// until SUBACK or UNSUBACK.
func (c *conn) sendOpen(ctx context.Context, f transport.Frame) error {
	filter, err := featureFilter(f)
	if err != nil {
		return err
	}
	answer := byte(packets.Suback)
	if f.Kind == transport.Close {
		answer = packets.Unsuback
	}
	// Before it is sent, for the answer may be received before Send returns.
	id, err := c.reserve(request{id: f.ID, kind: answer})
	if err != nil {
		return err
	}
	b, err := encode(featurePacket(f.Kind, filter, id))
	if err == nil {
		err = c.write(ctx, b, nil)
	}
	if err != nil {
		c.answered(id, answer)
	}
	return err
}

// A request waits for the hub's SUBACK, UNSUBACK or PUBACK.
type request struct {
	id   string // the frame's ID, empty for what no frame asked for
	kind byte   // of the packet that answers it
}

// reserve finds a packet id that is not in use [MQTT-2.3.1-2].
func (c *conn) reserve(r request) (uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.asked) == math.MaxUint16 {
		return 0, fmt.Errorf("%w: %d frames wait for the hub", transport.ErrUnsupported, len(c.asked))
	}
	for {
		c.lastID++
		if _, used := c.asked[c.lastID]; !used && c.lastID != 0 {
			c.asked[c.lastID] = r
			return c.lastID, nil
		}
	}
}

// answered gives a packet id back and returns the frame's ID that it mapped to.
// It reports false if a packet of that kind answers no frame.
func (c *conn) answered(packetID uint16, kind byte) (id string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.asked[packetID]
	if !ok || r.kind != kind {
		return "", false
	}
	delete(c.asked, packetID)
	return r.id, r.id != ""
}

// encode returns a packet as it goes over the wire.
func encode(p packets.ControlPacket) ([]byte, error) {
	b, err := mqttwire.Encode(p)
	if err == nil {
		return b, nil
	}
	sentinel := transport.ErrUnsupported
	if errors.Is(err, mqttwire.ErrTooLarge) {
		sentinel = transport.ErrTooLarge
	}
	return nil, fmt.Errorf("%w: %w", sentinel, err)
}

// write writes packets when its turn comes, and in the same piece what beside
// returns then. beside may be nil.
func (c *conn) write(ctx context.Context, b []byte, beside func() []byte) error {
	if err := c.fate.TakeTurn(ctx); err != nil {
		return err
	}
	defer c.fate.PassTurn()
	if beside != nil {
		b = append(b, beside()...)
	}
	if err := c.put(b); err != nil {
		c.fail(lineError(err))
		return c.err()
	}
	return nil
}

// put writes whole packets. Its caller holds the turn, or is alone.
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
