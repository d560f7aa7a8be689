package device

import (
	"log/slog"
	"strconv"
	"time"
)

// Phase is where a client stands.
type Phase uint8

// The phases.
const (
	// NotStarted: neither Connect nor Run was called.
	NotStarted Phase = iota
	// Connecting: dialling, subscribing, or getting the twin.
	Connecting
	// Online: connected, every feature in use accepted, and the twin, if firmware
	// uses it, read. A twin that is used later does not take Online away while it
	// is read.
	Online
	// Renewing: between two connections, on purpose, to replace a token or, at
	// Renew, a certificate. Calls are held, not failed.
	Renewing
	// Waiting: the last attempt failed; the next is at State.RetryAt.
	Waiting
	// Closed: Close, Shutdown, Stop or wrong local configuration ended the client.
	Closed
)

// String names the phase.
func (p Phase) String() string {
	switch p {
	case NotStarted:
		return "not started"
	case Connecting:
		return "connecting"
	case Online:
		return "online"
	case Renewing:
		return "renewing"
	case Waiting:
		return "waiting"
	case Closed:
		return "closed"
	}
	return "phase " + strconv.Itoa(int(p))
}

// A State is where a client stands, and why. It is a value.
type State struct {
	Phase Phase
	// Since is when the phase began, by the wall clock.
	Since time.Time
	// Err is why: in Waiting what failed; in Connecting and Renewing what
	// ended the connection before, nil at the first, or what failed on the new
	// one since; in Closed the wrong configuration, nil after Close; in Online
	// nil.
	Err error
	// RetryAt is when the next attempt is due, by the wall clock; zero except
	// in Waiting.
	RetryAt time.Time
	// Missing says which features the hub refuses, and why: the client does
	// without them, and tries them again. Nil for none.
	Missing error
	// Attempt counts the failures in a row that led here; 0 when Online.
	Attempt int
}

// String is the state on one line, for a log: its phase, its error, and when it
// goes on.
func (s State) String() string {
	text := s.Phase.String()
	if s.Attempt > 0 {
		text += ", attempt " + strconv.Itoa(s.Attempt)
	}
	if !s.RetryAt.IsZero() {
		text += ", until " + s.RetryAt.Format(time.RFC3339)
	}
	if s.Err != nil {
		text += ": " + s.Err.Error()
	}
	if s.Missing != nil {
		text += " (without: " + s.Missing.Error() + ")"
	}
	return text
}

// LogValue is String for slog, whose JSON would leave errors out.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// State says where the client stands. It may be called at any time.
func (c *Client) State() State {
	c.mu.Lock()
	s := c.state
	c.mu.Unlock()
	if t := c.trouble.Load(); t != nil && (s.Phase == Connecting || s.Phase == Renewing) {
		s.Err = t.err
	}
	return s
}

// trouble is the last failure of a connection that is up.
type trouble struct{ err error }

// suffers notes a failure that leaves the connection up.
func (c *Client) suffers(err error) { c.trouble.Store(&trouble{err}) }

// reason is what keeps calls waiting, as far as is known. A planned renewal is
// no failure.
func (c *Client) reason() error {
	if t := c.trouble.Load(); t != nil {
		return t.err
	}
	if err := c.State().Err; err != errRenew {
		return err
	}
	return nil
}

// enter moves to a new state, passes it to the log, to callers that wait, and to
// the OnState callback.
func (c *Client) enter(s State) {
	s.Since = c.opts.Now()
	c.with(func() { c.enterLocked(s) })
}

// enterLocked is enter for a state that has its time.
func (c *Client) enterLocked(s State) {
	if s.Phase == c.state.Phase { // only what is missing changes
		s.Since = c.state.Since
	}
	switch s.Phase {
	case Online:
		s.Attempt = 0
	case Connecting, Renewing:
		c.attempts++
	case Closed:
		s.Attempt = 0
		fallthrough
	case Waiting:
		if s.Err != nil && worthTelling(s.Err) {
			c.told++
		}
	}
	c.state = s
	if c.states != nil {
		c.states = append(c.states, s)
		if n := len(c.states) - maxStates; n > 0 {
			c.states = append(c.states[:0], c.states[n:]...)
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	poke(c.news)
	c.noteLocked(func() { c.logState(s) })
}

// maxStates bounds the states that wait for a slow OnState: the oldest go.
const maxStates = 32

func (c *Client) logState(s State) {
	switch s.Phase {
	case Waiting:
		c.log.Warn("not connected", "phase", s.Phase.String(), "cause", s.Err, "retryAt", s.RetryAt, "attempt", s.Attempt)
	case Closed:
		if s.Err != nil {
			c.log.Error("client ended", "cause", s.Err)
			return
		}
		fallthrough
	default:
		c.log.Info("state changed", "phase", s.Phase.String())
	}
}

// poke wakes whoever waits on a channel of capacity 1.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
