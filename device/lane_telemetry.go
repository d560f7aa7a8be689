package device

import (
	"errors"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/courier"
	"github.com/devicetwin/devicetwin-go/transport"
)

// telemetry is all that a client has to send. It is made by the first Send or
// SendLater, so that firmware without telemetry does not link it.
type telemetry struct {
	c       *Client
	courier courier.Courier // guarded by the client's mutex
	pace    pacer           // the supervisor's: what the hub wished outlives a connection
}

// An outgoing is a telemetry. Only the first Send names its type. Its methods need
// the client's mutex.
type outgoing interface {
	laneLocked() lane // for one more session
	emptyLocked() bool
	leftLocked() int
	endLocked(cause error)
	countsLocked(now time.Duration) LaneStats
}

// telemetryLocked is the client's, made at its first use.
func (c *Client) telemetryLocked() *telemetry {
	if t, ok := c.telemetry.(*telemetry); ok {
		return t
	}
	o := c.opts.Telemetry
	t := &telemetry{c: c, courier: courier.New(courier.Limits{Bytes: o.QueueBytes, WhenFull: o.WhenFull, PerSecond: o.MaxPerSecond, PerDay: o.MaxPerDay})}
	c.telemetry = t
	return t
}

func (t *telemetry) laneLocked() lane {
	if t.c.twinUsed {
		t.courier.Begin(t.c.about())
	}
	return &telemetryLane{telemetry: t, c: t.c}
}

func (t *telemetry) emptyLocked() bool     { return t.courier.Empty() }
func (t *telemetry) leftLocked() int       { return t.courier.Left() }
func (t *telemetry) endLocked(cause error) { t.courier.End(cause) }

func (t *telemetry) countsLocked(now time.Duration) LaneStats {
	n, oldest := t.courier.Counts(now)
	return LaneStats{
		Queued: n.Queued, QueuedBytes: n.QueuedBytes, InFlight: n.Away, Sent: n.Sent, Retried: n.Retried,
		DroppedFull: n.Full, Refused: n.Refused, Poisonous: n.Poisonous, OldestAge: oldest,
	}
}

// The lane of telemetry sends what the courier has, as far as its window goes.
// What waits outlives the connection; the lane does not.
type telemetryLane struct {
	*telemetry
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
	it, ok := l.courier.Next(now, wall)
	if !ok {
		return f, false
	}
	l.last = c.nextIDLocked()
	l.courier.Named(it, l.last)
	return transport.Frame{Kind: transport.Telemetry, ID: l.last, Message: &it.Message, Again: it.Again()}, true
}

func (l *telemetryLane) due(now time.Duration) time.Duration {
	c := l.c
	wall := c.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return l.courier.Due(now, wall)
}

func (l *telemetryLane) idle() bool {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	return l.courier.Idle()
}

// sent notes that the last byte of the message has left.
func (l *telemetryLane) sent(now time.Duration) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.courier.Sent(l.last, now)
}

func (l *telemetryLane) noRoom() {
	l.busy = true
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.courier.Unsent(l.last)
}

// failed takes the Conn's word that it cannot carry the message.
func (l *telemetryLane) failed(err error) { l.refused(l.last, err) }

func (l *telemetryLane) refused(id string, err error) {
	c := l.c
	c.with(func() {
		if l.courier.Refused(id, err) {
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
			if ours = l.courier.Accepted(f.ID, now); ours {
				l.pace.backoff.reset()
				c.drainedLocked()
			}
		})
	case transport.Response:
		c.with(func() { ours = l.courier.Has(f.ID) })
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
	if c.opts.Elapsed() >= l.pace.notBefore { // the others of a batch say the same
		c.putOff(&l.pace, err)
	}
	c.with(func() { l.courier.PutOff(f.ID, l.pace.notBefore) })
}

func (l *telemetryLane) expire(now time.Duration) error {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.courier.Silent(now) {
		return errNoAnswer
	}
	return nil
}

func (l *telemetryLane) ended(err error, alone bool) {
	c := l.c
	now := c.opts.Elapsed()
	var poison []*courier.Item
	c.with(func() {
		poison = l.courier.Cut(now, errors.Is(err, transport.ErrLost), alone)
		c.drainedLocked()
	})
	for _, it := range poison {
		c.log.Error("a message was given up: the hub ends the connection at it", "id", it.Message.ID)
	}
}

// drainedLocked tells a Shutdown that there is nothing to send any more.
func (c *Client) drainedLocked() {
	if c.nothingToSendLocked() {
		c.wakeDrainsLocked()
	}
}

func (c *Client) nothingToSendLocked() bool { return c.telemetry == nil || c.telemetry.emptyLocked() }
