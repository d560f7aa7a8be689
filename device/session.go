package device

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A session is the life of one live Conn. Its lanes are state without
// goroutines: each says what it sends next and when it is due, and hears what
// the hub answers. The session's loop gives them turns. Its fields belong to
// the goroutine that runs it.
type session struct {
	c    *Client
	conn transport.Conn

	frames chan transport.Frame
	failed chan error

	features features
	twin     twinLane
	lanes    []lane // beside the twin's
	sends    bool   // that of telemetry is among them
	turn     int    // the lane whose turn is next. 0 is the twin's
	renewal  renewalState

	sending  lane          // whose long frame is being sent, nil for none
	sent     chan error    // capacity 1: what became of it
	burst    int           // bytes of messages that left in this turn
	busy     bool          // the Conn has no room for requests until it says Ready
	at       time.Duration // on the elapsed clock: now
	onlineAt time.Duration // on the elapsed clock; < 0 before
	missing  string        // what State says of features
}

// A lane is one kind of work on a connection. It is state without a goroutine,
// and belongs to the session's.
type lane interface {
	// next is the frame to send now, if there is one.
	next(now time.Duration) (transport.Frame, bool)
	// due is when next has one that it does not have now, if nothing happens
	// before.
	due(now time.Duration) time.Duration
	// took reports whether a frame from the hub is this lane's.
	took(f transport.Frame, now time.Duration) bool
	// sent says that the frame that next returned has left.
	sent(now time.Duration)
	// noRoom takes it back. The Conn says Ready when it has room.
	noRoom()
	// failed says that the Conn cannot carry it.
	failed(err error)
	// idle reports whether nothing waits for the hub.
	idle() bool
	// expire ends the connection where the hub does not answer.
	expire(now time.Duration) error
	// ended says that the connection has, and why; alone, that nothing of the twin
	// was under way.
	ended(err error, alone bool)
}

func newSession(c *Client, conn transport.Conn, due renewalTimes) *session {
	s := &session{
		c: c, conn: conn, onlineAt: -1, at: c.opts.Elapsed(),
		frames: make(chan transport.Frame, maxFrames),
		sent:   make(chan error, 1),
		failed: make(chan error, 1),
	}
	s.features = newFeatures(c)
	s.twin = newTwinLane(s)
	s.renewal = renewalState{times: due, done: make(chan renewal, 1)}
	if c.moreLanes != nil {
		s.lanes = append(s.lanes, c.moreLanes()...)
	}
	return s
}

// run serves the connection until it ends, and returns why. It leaves nothing
// behind: the Conn is closed, and its reader and a renewal have ended.
func (s *session) run(life context.Context) error {
	ctx, cancel := context.WithCancel(life)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.receive(ctx)
	}()
	err := s.serve(ctx)
	for _, l := range s.lanes {
		l.ended(err, s.twin.idle())
	}
	s.twin.abandon()
	s.features.ended(err)
	cancel()
	closing := s.conn.Close()
	<-ended
	if s.sending != nil {
		<-s.sent
	}
	s.renewal.wait()
	if err == nil {
		err = closing
	}
	return err
}

// receive passes the Conn's frames on, until it fails.
func (s *session) receive(ctx context.Context) {
	for {
		// Close, not the context, ends this Receive: so the Conn can still say
		// goodbye to the hub.
		f, err := s.conn.Receive(context.WithoutCancel(ctx))
		if err != nil {
			s.failed <- err
			return
		}
		select {
		case s.frames <- f:
		case <-ctx.Done():
			return
		}
	}
}

// serve is the session's loop.
func (s *session) serve(ctx context.Context) error {
	for read := false; ; {
		if !read {
			s.at = s.c.recent()
		}
		read = false
		due, err := s.step(ctx)
		if err != nil {
			return err
		}
		s.c.sleeper.set(due, s.at)
		select {
		case f := <-s.frames:
			s.at, read = s.c.recent(), true
			if err := s.take(ctx, f); err != nil {
				return err
			}
			if err := s.takeMore(ctx); err != nil {
				return err
			}
		case err := <-s.sent:
			s.at, read = s.c.recent(), true
			from := s.sending
			s.sending = nil
			if err := s.handed(err, from); err != nil {
				return err
			}
		case err := <-s.failed:
			if more := s.takeMore(ctx); more != nil {
				return more
			}
			return err
		case <-s.c.work:
		case <-s.c.renew:
			s.renewal.ask(s.c.elapsed())
		case r := <-s.renewal.done:
			if err := s.renewal.took(r, s.c.log); err != nil {
				return err
			}
		case <-s.c.sleeper.C:
			s.c.sleeper.woke()
		case <-ctx.Done():
			return nil
		}
	}
}

// take takes one frame from the hub, and says so where the hub wants to know.
func (s *session) take(ctx context.Context, f transport.Frame) error {
	if err := s.handle(f); err != nil {
		return err
	}
	return s.settle(ctx, f)
}

// maxFrames is how many frames wait for the loop.
const maxFrames = 16

// takeMore takes what has come by now, with one look at the clock.
func (s *session) takeMore(ctx context.Context) error {
	for range maxFrames {
		select {
		case f := <-s.frames:
			if err := s.take(ctx, f); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// idle reports whether nothing waits for the hub.
func (s *session) idle() bool { return s.twin.idle() && s.lanesIdle() }

func (s *session) lanesIdle() bool {
	for _, l := range s.lanes {
		if !l.idle() {
			return false
		}
	}
	return true
}

// step does what is due, and returns when more is. While a long frame is being
// sent it sends nothing.
func (s *session) step(ctx context.Context) (time.Duration, error) {
	now := s.at
	s.open()
	if err := s.features.expire(now); err != nil {
		return 0, err
	}
	if err := s.twin.expire(now); err != nil {
		return 0, err
	}
	if cause := s.features.twinMissing(); cause != nil {
		s.twin.failMissing(cause)
		s.online() // there is no GET to wait for
	}
	s.tellMissing()
	for _, l := range s.lanes {
		if err := l.expire(now); err != nil {
			return 0, err
		}
	}
	if s.renewal.due(now, s.idle()) && !s.renewal.inPlace(ctx, s) {
		return 0, errRenew
	}
	for s.burst = 0; s.sending == nil; {
		f, from, ok := s.next(now)
		if !ok {
			break
		}
		if err := s.send(ctx, f, from); err != nil {
			return 0, err
		}
	}
	due := min(s.features.due(now), s.twin.due(now), s.renewal.next(now, s.idle()))
	for _, l := range s.lanes {
		due = min(due, l.due(now))
	}
	if s.sending != nil && due <= now {
		due = never // it is done once that is sent
	}
	return due, nil
}

// open adds what firmware has begun to use.
func (s *session) open() {
	if !s.sends {
		s.c.with(func() {
			if s.sends = s.c.telemetry != nil; s.sends {
				s.lanes = append(s.lanes, s.c.telemetry.laneLocked())
			}
		})
	}
	if !s.features.twin() {
		if s.features.use(); !s.features.twin() {
			s.online()
		}
	}
}

// next is the next frame of the lanes, in turn, and the lane that it is from,
// nil for the twin's and for features.
func (s *session) next(now time.Duration) (transport.Frame, lane, bool) {
	if f, ok := s.features.next(now, s.c.nextID); ok {
		return f, nil, true
	}
	draining := s.renewal.draining(now)
	for range len(s.lanes) + 1 {
		turn := s.turn
		s.turn = (s.turn + 1) % (len(s.lanes) + 1)
		if turn > 0 && draining {
			continue
		}
		if turn > 0 {
			if f, ok := s.lanes[turn-1].next(now); ok {
				return f, s.lanes[turn-1], true
			}
		} else if !s.busy && s.features.ready(s.conn) &&
			!(draining && s.renewal.drainingTwin(now, s.lanesIdle())) {
			if f, ok := s.twin.next(now); ok {
				return f, nil, true
			}
		}
	}
	return transport.Frame{}, nil, false
}

// handle takes one frame from the hub. Only what ends the session is an error.
func (s *session) handle(f transport.Frame) error {
	for _, l := range s.lanes {
		if l.took(f, s.at) {
			return nil
		}
	}
	switch f.Kind {
	case transport.Accepted:
		if s.features.accepted(f.ID) {
			s.twin.oweGet(twin.CauseGap) // it was closed before
		}
	case transport.Response:
		if !s.features.refused(f.ID, statusError(f)) {
			s.twin.answered(f)
		}
	case transport.Desired:
		if s.features.twin() { // else a session of an earlier program goes on
			s.twin.notified(f)
		}
	case transport.Ready:
		s.busy = false
	}
	return nil
}

// settle reports to the hub that a frame was taken, where it wants to know.
func (s *session) settle(ctx context.Context, f transport.Frame) error {
	if f.Delivery == 0 {
		return nil
	}
	return s.send(ctx, transport.Frame{Kind: transport.Complete, Delivery: f.Delivery}, nil)
}

// online notes that all features in use are accepted, and the twin is read.
func (s *session) online() {
	if s.onlineAt >= 0 {
		return
	}
	s.onlineAt = s.now()
	s.c.trouble.Store(nil)
	missing := s.features.missing()
	s.missing = text(missing)
	s.c.enter(State{Phase: Online, Missing: missing})
}

// tellMissing reports a change of the features that are left out.
func (s *session) tellMissing() {
	missing := s.features.missing()
	if s.onlineAt < 0 || text(missing) == s.missing {
		return
	}
	s.missing = text(missing)
	s.c.enter(State{Phase: Online, Missing: missing})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// now is the elapsed clock when the session woke last. Reading the clock costs
// two system calls.
func (s *session) now() time.Duration { return s.at }

// nextID makes the ID of a request, unique in the client's life.
func (c *Client) nextID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nextIDLocked()
}

func (c *Client) nextIDLocked() string {
	c.lastID++
	return strconv.FormatUint(c.lastID, 10)
}

// statusError reads the hub's refusal.
func statusError(f transport.Frame) *transport.StatusError {
	err := transport.NewStatusError(f.Status, f.Body)
	if f.RetryAfter > 0 {
		err.RetryAfter = f.RetryAfter
	}
	return err
}

// retryable reports whether the hub may think otherwise later.
func retryable(err error) bool {
	return errors.Is(err, transport.ErrThrottled) || errors.Is(err, transport.ErrUnavailable) || errors.Is(err, transport.ErrQuota)
}

func succeeded(status int) bool { return 200 <= status && status < 300 }
