package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strconv"

	"github.com/devicetwin/devicetwin-go/device/internal/courier"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A Message is what Send and SendLater send. See transport.Message.
type Message = transport.Message

// What becomes of a message that does not reach the hub.
var (
	// ErrQueueFull says that TelemetryOptions.QueueBytes has no room for a
	// message: it is larger, or WhenFull is Refuse.
	ErrQueueFull = courier.ErrFull
	// ErrPoison says that six times the hub ended the connection within 2 s of a
	// message, with nothing else under way. It is not sent again. Over MQTT a hub
	// has no other word for a message that it refuses.
	ErrPoison = courier.ErrPoison
	// ErrUnknownOutcome says that the waiting for a message ended when it had been
	// sent: the hub may have it or not. It is not sent again. The error matches
	// the context's, too.
	ErrUnknownOutcome = courier.ErrUnknownOutcome
)

// WhenFull is what goes when the queue of SendLater is full.
type WhenFull = courier.Full

// The choices. Messages that are not urgent go before urgent ones. What goes is
// counted (LaneStats.DroppedFull) and logged.
const (
	DropOldest = courier.DropOldest // the message that waits longest
	DropNewest = courier.DropNewest // the message that came last
	Refuse     = courier.Refuse     // none: SendLater returns ErrQueueFull
)

// TelemetryOptions shape Send and SendLater.
type TelemetryOptions struct {
	// QueueBytes bounds what SendLater keeps in memory: the sizes of the messages
	// (see transport.Message.Size) and 256 bytes for each. The up to 16 messages
	// that are under way come on top. 0 means 1 MiB; from 1 KiB on.
	QueueBytes int
	// WhenFull says what goes when there is no room; DropOldest unless set.
	WhenFull WhenFull
	// MaxPerSecond and MaxPerDay bound what is sent, in the hub's units: a message
	// costs one for each 4 KiB that it begins. A day begins at midnight UTC, by
	// Options.Now. What is over the budget waits. 0 means no bound.
	MaxPerSecond, MaxPerDay int
}

// The bounds of QueueBytes.
const (
	defaultQueueBytes = 1 << 20
	minQueueBytes     = 1 << 10
)

func (o *TelemetryOptions) check() error {
	switch {
	case o.QueueBytes < minQueueBytes:
		return invalid("Telemetry.QueueBytes", o.QueueBytes, "want 1024 or more, or 0 for 1 MiB")
	case o.WhenFull > Refuse:
		return invalid("Telemetry.WhenFull", o.WhenFull, "want DropOldest, DropNewest or Refuse")
	case o.MaxPerSecond < 0:
		return invalid("Telemetry.MaxPerSecond", o.MaxPerSecond, "want a number of units of 4 KiB, or 0 for no bound")
	case o.MaxPerDay < 0:
		return invalid("Telemetry.MaxPerDay", o.MaxPerDay, "want a number of units of 4 KiB, or 0 for no bound")
	}
	return nil
}

// Send sends a message to the hub and returns once the hub has it. Many may be
// under way at once: up to 16 are sent before the first is answered, in the order
// of the calls, urgent ones first (of eight, at least one is not urgent). A
// message that the connection took with it is sent again on the next one, with
// the same ID, before newer ones: the hub gets it at least once.
//
// A message that no hub takes is refused at once: see transport.Message.Check.
// Offline or throttled Send waits. When ctx ends, or Options.CallTimeout where it
// has no deadline, a message that was not sent yet is withdrawn, and the error is
// the context's. One that was sent matches ErrUnknownOutcome as well. Over AMQP a
// message counts as sent, too, while it waits for the hub's credit.
//
// One that the hub refuses for good fails with its words (AMQP), or with
// ErrPoison (MQTT).
func (c *Client) Send(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	defer c.leave(ctx)()
	if err := c.awaitStart(ctx); err != nil {
		return err
	}
	it, err := c.item(m)
	if err != nil {
		return err
	}
	it.Answer = make(chan error, 1)
	now := c.about()
	c.with(func() {
		if err = c.usable(); err == nil {
			_, err = c.telemetryLocked().courier.Offer(it, now)
		}
	})
	if err != nil {
		return err
	}
	poke(c.work)
	select {
	case err := <-it.Answer:
		return err
	case <-ctx.Done():
	}
	answer := it.Answer
	var unknown bool
	c.with(func() {
		unknown = c.telemetryLocked().courier.Withdraw(it)
		c.wakeDrainsLocked()
	})
	select {
	case err := <-answer: // it came in the same moment
		return err
	default:
	}
	err = fmt.Errorf("device: send: %w", contextError(ctx, errtext.Bare("device", c.reason())))
	if unknown {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, errtext.Bare("device", err))
	}
	return err
}

// SendLater queues a message in memory and returns at once: the client sends it
// when the line allows, in order with those of Send. It works before Connect,
// too. TelemetryOptions bound the queue and say what goes when it is full. The
// queue does not outlive the client: Shutdown sends what it holds.
//
// A message that no hub takes is refused: see transport.Message.Check. What the
// hub refuses for good later is logged and counted (LaneStats).
func (c *Client) SendLater(ctx context.Context, m Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	it, err := c.item(m)
	if err != nil {
		return err
	}
	now := c.about()
	c.with(func() {
		if c.life.Err() != nil {
			err = c.closedLocked()
			return
		}
		var dropped int
		if dropped, err = c.telemetryLocked().courier.Offer(it, now); dropped > 0 {
			c.noteLocked(func() { c.log.Warn("messages were dropped: the queue is full", "count", dropped) })
		}
	})
	poke(c.work)
	return err
}

// item checks a message, and copies what its caller may change.
func (c *Client) item(m Message) (*courier.Item, error) {
	m.Body, m.Properties = bytes.Clone(m.Body), maps.Clone(m.Properties)
	if m.ID == "" {
		m.ID = c.messageID()
	}
	if err := m.Check(c.id); err != nil {
		return nil, err
	}
	return &courier.Item{Message: m}, nil
}

// messageID makes the ID of a message: 12 random characters that are this
// client's, and a number. It has 22 bytes at most.
func (c *Client) messageID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.messagePrefix == "" {
		c.messagePrefix = rand.Text()[:12] + "-"
	}
	c.lastMessage++
	return c.messagePrefix + strconv.FormatUint(c.lastMessage&(1<<46-1), 36)
}
