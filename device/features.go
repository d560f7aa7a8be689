package device

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A feature of the hub that is refused, or whose opening ends the connection
// again and again, is left out, so that the others live: a hub of the basic tier
// has no twin. It is tried again with a back-off of its own.
const (
	// maxOpenEnds is how many connections in a row may end while a feature is
	// being opened, before one is tried without it.
	maxOpenEnds = 3
	// withoutTrial is how long a connection without the feature must stay up to
	// show that the feature is what ends it.
	withoutTrial = 10 * time.Second

	featureBase = 30 * time.Second
	featureMax  = time.Hour
)

// A featureMemory is what the client knows of a feature across connections. It
// belongs to the supervisor's goroutine.
type featureMemory struct {
	ends    int           // connections in a row that ended while it was opened
	last    error         // why the last of them ended
	cause   error         // why it is left out, nil if it is not
	retryAt time.Duration // on the elapsed clock
	refused int           // in a row
}

// miss leaves the feature out for a while.
func (m *featureMemory) miss(now time.Duration, cause error) {
	delay := featureMax
	if m.refused < 7 {
		delay = min(featureBase<<m.refused, featureMax)
	}
	m.refused++
	m.cause, m.ends, m.retryAt = cause, 0, now+delay
}

// A featureState is a feature in one session.
type featureState struct {
	feature  transport.Feature
	memory   *featureMemory
	id       string        // of the Open without an answer
	deadline time.Duration // of that answer
	open     bool
	left     bool // left out of this connection, to see whether it stays up
}

func (f *featureState) missing() bool {
	return !f.open && f.id == "" && (f.left || f.memory.cause != nil)
}

// features are the features in use by a session.
type features struct {
	c     *Client
	began time.Duration
	list  []*featureState
}

func newFeatures(c *Client) features {
	s := features{c: c, began: c.opts.Elapsed()}
	s.use()
	return s
}

// use adds the twin's features once firmware uses the twin: what is not used costs
// nothing.
func (s *features) use() {
	if s.twin() || !s.c.usesTwin() {
		return
	}
	for i, f := range [...]transport.Feature{transport.TwinResponses, transport.DesiredChanges} {
		m := &s.c.features[i]
		s.list = append(s.list, &featureState{feature: f, memory: m, left: m.ends >= maxOpenEnds})
	}
}

// twin reports whether the twin is among the features in use.
func (s *features) twin() bool { return len(s.list) > 0 }

// next opens what is to be opened: all at once, or one after the other where the
// opening of one may end the connection, so that this is not laid to the others.
func (s *features) next(now time.Duration, nextID func() string) (transport.Frame, bool) {
	doubt := slices.ContainsFunc(s.list, func(f *featureState) bool { return f.memory.ends > 0 || f.memory.cause != nil })
	if doubt && !s.answered() {
		return transport.Frame{}, false
	}
	for _, f := range s.list {
		if f.open || f.id != "" || f.left || f.memory.cause != nil && now < f.memory.retryAt {
			continue
		}
		f.id, f.deadline = nextID(), now+s.c.opts.RequestTimeout
		return transport.Frame{Kind: transport.Open, Feature: f.feature, ID: f.id}, true
	}
	return transport.Frame{}, false
}

// accepted notes the hub's word, and reports whether a feature came late, so
// that something may have been missed.
func (s *features) accepted(id string) (late bool) {
	for _, f := range s.list {
		if f.id == id && id != "" {
			late = f.memory.cause != nil
			f.open, f.id, *f.memory = true, "", featureMemory{}
		}
	}
	return late
}

// refused notes the hub's refusal. It returns false for the ID of something else.
func (s *features) refused(id string, err error) bool {
	for _, f := range s.list {
		if f.id == id && id != "" {
			f.id = ""
			f.memory.miss(s.c.opts.Elapsed(), fmt.Errorf("device: the hub refused to open %v: %w", f.feature, err))
			s.c.log.Warn("a feature is left out", "cause", f.memory.cause)
			return true
		}
	}
	return false
}

// answered reports whether the hub has answered every Open.
func (s *features) answered() bool {
	for _, f := range s.list {
		if f.id != "" {
			return false
		}
	}
	return true
}

// ready reports whether requests can be made: the hub has answered for each
// feature, or keeps them from a session before, which saves a round trip.
func (s *features) ready(conn transport.Conn) bool {
	if !s.twin() {
		return false
	}
	responses := s.list[0]
	if r, ok := conn.(transport.Resumer); ok && r.Resumed() && !responses.missing() {
		return true
	}
	return responses.open && s.answered()
}

// twinMissing is why there is no twin, or nil.
func (s *features) twinMissing() error {
	if s.twin() && s.list[0].missing() && s.answered() {
		return s.list[0].memory.cause // nil while it is only tried without
	}
	return nil
}

// missing is what is left out, joined, or nil.
func (s *features) missing() (err error) {
	for _, f := range s.list {
		switch {
		case !f.missing() || f.memory.cause == nil:
		case err == nil:
			err = f.memory.cause
		default:
			err = fmt.Errorf("%w; %w", err, errtext.Bare("device", f.memory.cause))
		}
	}
	return err
}

// expire ends the session where the hub does not answer.
func (s *features) expire(now time.Duration) error {
	for _, f := range s.list {
		if f.id != "" && now >= f.deadline {
			return fmt.Errorf("device: the hub did not answer when %v was opened: %w", f.feature, errNoAnswer)
		}
		if f.left && f.memory.cause == nil && now >= s.began+withoutTrial {
			f.left = false
			f.memory.miss(now, fmt.Errorf("device: the connection ends when %v is opened: %w", f.feature, f.memory.last))
			s.c.log.Warn("a feature is left out", "cause", f.memory.cause)
		}
	}
	return nil
}

// due is when expire or next has something to do.
func (s *features) due(now time.Duration) time.Duration {
	due := never
	for _, f := range s.list {
		switch {
		case f.id != "":
			due = min(due, f.deadline)
		case f.left:
			due = min(due, s.began+withoutTrial)
		case !f.open && f.memory.cause != nil && s.answered(): // else next waits for the answer
			due = min(due, f.memory.retryAt)
		}
	}
	return due
}

// ended notes what ended the connection.
func (s *features) ended(err error) {
	for _, f := range s.list {
		switch m := f.memory; {
		case f.id != "" && m.cause != nil:
			m.miss(s.c.opts.Elapsed(), m.cause)
		case f.id != "" && !errors.Is(err, errNoAnswer):
			m.ends++
			m.last = err
		case f.left && s.answered():
			m.ends = 0 // it ends without the feature, too, and without another being opened
		}
	}
}
