package device

import (
	"errors"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/courier"
	"github.com/devicetwin/devicetwin-go/transport"
)

// The lane of telemetry sends what the client's courier has, as far as its window
// goes. What waits outlives the connection; the lane does not.
type telemetryLane struct {
	c    *Client
	last string // ID of the frame that next returned last
	busy bool   // the Conn has no room until it says Ready
}

func (l *telemetryLane) next(now time.Duration) (f transport.Frame, ok bool) {
	if l.busy {
		return f, false
	}
	c := l.c
	wall := c.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	it, ok := c.courier.Next(now, wall)
	if !ok {
		return f, false
	}
	l.last = c.nextIDLocked()
	c.courier.Named(it, l.last)
	return transport.Frame{Kind: transport.Telemetry, ID: l.last, Message: &it.Message, Again: it.Again()}, true
}

func (l *telemetryLane) due(now time.Duration) time.Duration {
	c := l.c
	wall := c.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.courier.Due(now, wall)
}

func (l *telemetryLane) idle() bool {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.c.courier.Idle()
}

// sent notes that the last byte of the message has left.
func (l *telemetryLane) sent(now time.Duration) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.courier.Sent(l.last, now)
}

func (l *telemetryLane) noRoom() {
	l.busy = true
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.courier.Unsent(l.last)
}

// failed takes the Conn's word that it cannot carry the message.
func (l *telemetryLane) failed(err error) { l.refused(l.last, err) }

func (l *telemetryLane) refused(id string, err error) {
	c := l.c
	c.with(func() {
		if c.courier.Refused(id, err) {
			c.noteLocked(func() { c.log.Warn("a message was refused", "cause", err) })
		}
		c.drainedLocked()
	})
}

func (l *telemetryLane) took(f transport.Frame, now time.Duration) (ours bool) {
	c := l.c
	switch f.Kind {
	case transport.Ready:
		if f.Feature == transport.Events {
			l.busy, ours = false, true
		}
	case transport.Accepted:
		c.with(func() {
			if ours = c.courier.Accepted(f.ID, now); ours {
				c.telemetryPace.backoff.reset()
				c.drainedLocked()
			}
		})
	case transport.Response:
		c.with(func() { ours = c.courier.Has(f.ID) })
		if ours {
			l.answered(f)
		}
	}
	return ours
}

// answered takes the hub's word on a message that it did not take.
func (l *telemetryLane) answered(f transport.Frame) {
	c := l.c
	err := statusError(f)
	if errors.Is(err, transport.ErrRejected) {
		l.refused(f.ID, err)
		return
	}
	c.log.Warn("a message was put off", "cause", err)
	c.putOff(&c.telemetryPace, err)
	c.with(func() { c.courier.PutOff(f.ID, c.telemetryPace.notBefore) })
}

func (l *telemetryLane) expire(now time.Duration) error {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.c.courier.Silent(now) {
		return errNoAnswer
	}
	return nil
}

func (l *telemetryLane) ended(err error, alone bool) {
	c := l.c
	now := c.opts.Elapsed()
	var poison []*courier.Item
	c.with(func() {
		poison = c.courier.Cut(now, errors.Is(err, transport.ErrLost), alone)
		c.drainedLocked()
	})
	for _, it := range poison {
		c.log.Error("a message was given up: the hub ends the connection at it", "id", it.Message.ID)
	}
}

// drainedLocked tells a Shutdown that there is nothing to send any more.
func (c *Client) drainedLocked() {
	if c.courier.Empty() {
		c.wakeDrainsLocked()
	}
}
