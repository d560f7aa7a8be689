package device_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A letter is a message of a story. Its body begins with its number. Guarded by
// the mutex of the mail.
type letter struct {
	n, life       int
	urgent, later bool
	ordered       bool // it was offered before those with a larger n
	over          bool // the call has returned
	err           error
	returned      time.Time
	gone          func() error // why its caller does not wait any more

	sends    int // that a connection took
	answered bool
	unheard  bool // the answer came in the moment in which the connection ended
	putOff   time.Time
	refused  bool // for good
	hung     int  // times that the connection ended soon, with it alone on its way
	first    *wire
	arrived  time.Time // first
	id       string    // at the hub
}

// The mail is all that the device sends, what the hub has of it, and what passed
// in between.
type mail struct {
	s        *drama
	opts     device.TelemetryOptions
	refusals atomic.Int64 // faults by which the hub refuses for good
	shuffled atomic.Bool  // the hub may have stored a message later than newer ones

	mu      sync.Mutex // guards the rest
	letters []*letter
	ids     map[string]int
	newest  [2]int // sent in this life, by kind
	latest  [2]int // arrived of this life, by kind
	life    int    // of newest and latest
}

func newMail(s *drama) *mail {
	m := &mail{s: s, ids: map[string]int{}}
	m.opts.QueueBytes = 64 << 20
	switch s.rnd.IntN(4) {
	case 0:
		m.opts.QueueBytes = 8 << 10
		m.opts.WhenFull = []device.WhenFull{device.DropOldest, device.DropNewest, device.Refuse}[s.rnd.IntN(3)]
	case 1:
		m.opts.MaxPerSecond = 1 + s.rnd.IntN(3)
	}
	go m.read()
	return m
}

// read reads what the hub stores, also of a device that is created anew.
func (m *mail) read() {
	ctx := m.s.Context()
	for ctx.Err() == nil {
		for got, err := range m.s.hub.Device("dev1").Messages(ctx) {
			if err == nil {
				m.arrive(got)
			} else if errors.Is(err, hubtest.ErrClosed) {
				return
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (m *mail) arrive(got hubtest.TelemetryMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.find(got.Body)
	if l == nil {
		m.s.fault("mail", "the hub has a message that nobody sent: %.40q", got.Body)
		return
	}
	if n, ok := m.ids[got.ID]; ok && n != l.n || l.id != "" && l.id != got.ID || got.ID == "" {
		m.s.fault("mail", "message %d has the ID %q, and before %q; message %d has that ID", l.n, got.ID, l.id, n)
	}
	l.id, m.ids[got.ID] = got.ID, l.n
	if !l.arrived.IsZero() {
		return
	}
	l.arrived = got.Enqueued
	if l.life != m.life {
		return
	}
	k := kind(l.urgent)
	if newer := m.letters[m.latest[k]]; newer.n > l.n && l.ordered && l.sends == 1 && newer.first == l.first && !m.shuffled.Load() {
		m.s.fault("order", "message %d came after %d, and was sent once", l.n, newer.n)
	}
	m.latest[k] = max(m.latest[k], l.n)
}

func kind(urgent bool) int {
	if urgent {
		return 1
	}
	return 0
}

// find finds the letter of a body.
func (m *mail) find(body []byte) *letter {
	n := 0
	if _, err := fmt.Sscanf(string(body[:min(len(body), 12)]), "t%d ", &n); err != nil || n >= len(m.letters) {
		return nil
	}
	return m.letters[n]
}

// board begins another life.
func (m *mail) board(life int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.letters) == 0 {
		m.letters = []*letter{{}} // numbers begin at 1
	}
	m.life, m.newest, m.latest = life, [2]int{}, [2]int{}
}

// A wire is one connection, as the judges of the mail see it.
type wire struct {
	m    *mail
	out  map[string]*letter // without an answer, by the frame
	sent time.Time          // the last of them
	told map[*letter]time.Time
	over bool
}

// send notes a frame before it is sent, and returns what notes its fate.
func (w *wire) send(f transport.Frame) func(error) {
	m := w.m
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.find(f.Message.Body)
	if l == nil {
		m.s.fault("mail", "a message leaves that nobody sent: %.40q", f.Message.Body)
		return func(error) {}
	}
	w.out[f.ID], w.sent = l, time.Now()
	if l.sends++; l.sends == 1 {
		l.first = w
	} else if !f.Again && l.first != w {
		m.s.fault("order", "message %d is sent again without a mark", l.n)
	}
	return func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if errors.Is(err, transport.ErrBusy) || errors.Is(err, transport.ErrTooLarge) {
			delete(w.out, f.ID)
			if l.sends--; l.sends == 0 {
				l.first = nil
			}
			return
		}
		w.sent = time.Now()
		k := kind(l.urgent)
		if l.ordered && l.life == m.life && l.sends == 1 && l.n < m.newest[k] {
			m.s.fault("order", "message %d leaves first after %d", l.n, m.newest[k])
		}
		if l.life == m.life && l.sends == 1 {
			w.retriesFirstLocked(l)
		}
		if l.life == m.life && l.ordered {
			m.newest[k] = max(m.newest[k], l.n)
		}
		if len(w.out) > 16 {
			m.s.fault("mail", "%d messages are without an answer", len(w.out))
		}
		if err != nil {
			w.endLocked()
		}
	}
}

// retriesFirstLocked asks whether what the connection before took with it goes
// before what is new, but for suspects, which travel alone.
func (w *wire) retriesFirstLocked(l *letter) {
	if w.m.opts.QueueBytes < 1<<20 {
		return // it may have been dropped
	}
	out := map[*letter]bool{}
	for _, other := range w.out {
		out[other] = true
	}
	for _, old := range w.m.letters[1:l.n] {
		waits := old.life == l.life && old.urgent == l.urgent && old.ordered && old.sends > 0 && !old.answered && !old.refused && !old.over
		if old.later {
			waits = old.life == l.life && old.urgent == l.urgent && old.sends > 0 && !old.answered && !old.refused && old.over && old.err == nil
		}
		if waits && !out[old] && old.hung < 3 && !old.putOff.Equal(time.Now()) && (old.later || old.gone() == nil) {
			w.m.s.fault("order", "message %d leaves first, and %d waits to be sent again", l.n, old.n)
		}
	}
}

// heard notes the hub's answers.
func (w *wire) heard(f transport.Frame, err error) {
	m := w.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		w.endLocked()
		return
	}
	l := w.out[f.ID]
	switch {
	case l == nil:
		return
	case f.Kind == transport.Accepted:
		l.answered, w.told[l] = true, time.Now()
	case f.Kind != transport.Response:
		return
	default:
		l.putOff = time.Now()
		l.refused = l.refused || errors.Is(transport.NewStatusError(f.Status, f.Body), transport.ErrRejected)
	}
	delete(w.out, f.ID)
}

func (w *wire) endLocked() {
	if !w.over && len(w.out) == 1 && time.Since(w.sent) <= 2*time.Second {
		for _, l := range w.out {
			l.hung++
		}
	}
	for l, at := range w.told {
		l.unheard = l.unheard || !w.over && at.Equal(time.Now())
	}
	w.over = true
}

// judgeMail asks what became of the messages of calls that have returned.
func (s *drama) judgeMail() {
	m := s.mail
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.letters {
		switch {
		case l.later || !l.over:
		case l.err == nil && (l.arrived.IsZero() || l.arrived.After(l.returned)):
			s.fault("mail", "Send of message %d returned nil at %v, it arrived at %v", l.n, l.returned, l.arrived)
		case l.err == nil, errors.Is(l.err, device.ErrPoison), errors.Is(l.err, transport.ErrRejected):
		case errors.Is(l.err, device.ErrUnknownOutcome):
			if l.sends == 0 {
				s.fault("mail", "message %d was never sent: %v", l.n, l.err)
			}
		case !l.arrived.IsZero():
			s.fault("mail", "message %d was withdrawn, and arrived after %d transmissions: %v", l.n, l.sends, l.err)
		}
	}
}

// mailLost are the messages of SendLater in a life that are not at the hub without
// a reason, and those without an answer.
func (m *mail) mailLost(life int) (lost []int, open int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.letters {
		if !l.later || l.life != life || !l.over || l.err != nil || l.refused && m.refusals.Load() > 0 {
			continue
		}
		if !l.answered || l.unheard {
			open++
		}
		if l.arrived.IsZero() && l.hung < 6 {
			lost = append(lost, l.n)
		}
	}
	return lost, open
}

// judgePosted asks whether all that SendLater took in this life is at the hub, but
// for so many that Shutdown names.
func (s *drama) judgePosted(when string, err error) {
	synctest.Wait()
	said := 0
	if left := (*device.LeftError)(nil); errors.As(err, &left) {
		said = left.Messages
	}
	full := int(s.board.client.Stats().Telemetry.DroppedFull)
	if lost, open := s.mail.mailLost(s.board.life); len(lost) > said+full || said > open {
		s.fault("mail", "%s: %v of SendLater are not at the hub, %d have no answer, %d were dropped, %d are said to be left: %v", when, lost, open, full, said, err)
	}
}

// mailRests reports whether no message is to be sent.
func (s *drama) mailRests() bool {
	t := s.board.client.Stats().Telemetry
	return t.Queued+t.InFlight == 0
}

// opened judges a client that does not use the twin.
func (s *drama) opened(m hubtest.Message) {
	if s.asleep.Load() && !m.FromHub && (m.Op == hubtest.GetTwin || m.Op == hubtest.Subscribe || m.Op == hubtest.PatchReported) {
		s.fault("asleep", "nobody uses the twin, and the client sends %v", m.Op)
	}
}
