package device

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A session is the life of one live Conn: it opens the features, gets the
// twin, pairs answers with requests, times them out, and sends what is
// reported. Its fields belong to the goroutine that runs it.
//
// At most one request is under way: so a GET's answer always stands in a known
// order to the patches of the same device.
type session struct {
	c       *Client
	conn    transport.Conn
	renewAt time.Duration // on the elapsed clock

	frames chan transport.Frame
	failed chan error

	opening map[string]bool // IDs of Open frames without an answer
	pending *request        // nil when nothing is under way
	misses  int             // requests in a row that were not answered
	owe     twin.Cause      // a GET is owed, for this cause; 0 for none
	synced  bool            // a GET answered in this session
	ready   bool            // requests can be made

	gapFrom time.Duration // no GET before, unless called for; on the elapsed clock
	resync  time.Duration // a GET is due then, to find what was lost without a trace

	onlineAt time.Duration // on the elapsed clock; < 0 before

	anew     bool         // Client.Renew asked for a new connection
	renewed  chan renewal // the outcome of a renewal in place
	renewing bool
}

// A request is what waits for the hub's answer.
type request struct {
	op       transport.Op
	id       string
	deadline time.Duration // on the elapsed clock
	cause    twin.Cause    // of a GET
	calls    []*getCall    // that the GET serves
}

// A pacer spaces the requests of one kind after failures.
type pacer struct {
	backoff   backoff
	notBefore time.Duration // on the elapsed clock
}

// fail puts the next request off, by the hub's wish or by back-off.
func (p *pacer) fail(now, wish time.Duration) {
	delay := p.backoff.next(backoffBase)
	if wish > 0 {
		delay = max(delay, min(wish, retryAfterMax))
	}
	p.notBefore = now + delay
}

// gapSpacing is the least time between two GETs that nobody called for.
const gapSpacing = time.Second

// maxMisses is how many requests in a row may go unanswered on a line that
// shows signs of life, before a new connection is thought better.
const maxMisses = 2

// drainTime is how long a planned reconnect waits for an answer under way.
const drainTime = 10 * time.Second

func newSession(c *Client, conn transport.Conn, renewAt time.Duration) *session {
	return &session{
		c: c, conn: conn, renewAt: renewAt, onlineAt: -1, resync: never,
		frames:  make(chan transport.Frame),
		failed:  make(chan error, 1),
		opening: map[string]bool{},
		renewed: make(chan renewal, 1),
		owe:     twin.CauseReconnect,
	}
}

// run serves the connection until it ends, and says why. It leaves nothing
// behind: the Conn is closed, its reader has ended.
func (s *session) run(life context.Context) error {
	ctx, cancel := context.WithCancel(life)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.receive(ctx)
	}()
	err := s.serve(ctx)
	s.abandon()
	cancel()
	closing := s.conn.Close()
	<-ended
	if s.renewing {
		<-s.renewed // its context has ended
	}
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
	if err := s.open(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, err := s.step(ctx)
		if err != nil {
			return err
		}
		timer.Reset(wait)
		s.c.alarm.Reset(wait)
		select {
		case f := <-s.frames:
			if err := s.handle(f); err != nil {
				return err
			}
			if f.Delivery != 0 {
				if err := s.send(ctx, transport.Frame{Kind: transport.Settle, Delivery: f.Delivery, Outcome: transport.Complete}); err != nil {
					return err
				}
			}
		case err := <-s.failed:
			return err
		case <-s.c.work:
		case <-s.c.renew:
			s.renewAt, s.anew = s.now(), true
		case r := <-s.renewed:
			if err := s.tookRenewal(r); err != nil {
				return err
			}
		case <-timer.C:
		case <-s.c.alarm.C: // it fell due while the board slept
		case <-ctx.Done():
			return nil
		}
	}
}

// open asks for the features. They are asked for anew after every connect,
// whatever the hub says to remember.
func (s *session) open(ctx context.Context) error {
	for _, feature := range []transport.Feature{transport.TwinResponses, transport.DesiredChanges} {
		id := s.c.nextID()
		s.opening[id] = true
		if err := s.send(ctx, transport.Frame{Kind: transport.Open, Feature: feature, ID: id}); err != nil {
			return err
		}
	}
	if r, ok := s.conn.(transport.Resumer); ok && r.Resumed() {
		// The subscriptions of the session before still stand: the GET may
		// follow at once, and saves a round trip.
		s.ready = true
	}
	s.pending = &request{deadline: s.now() + s.c.opts.RequestTimeout}
	if s.ready {
		s.pending = nil
	}
	return nil
}

// step does what is due, and says how long nothing more is.
func (s *session) step(ctx context.Context) (time.Duration, error) {
	now := s.now()
	if s.pending != nil && now >= s.pending.deadline {
		if err := s.expire(); err != nil {
			return 0, err
		}
	}
	if now >= s.renewAt && (s.pending == nil || now >= s.renewAt+drainTime) {
		if !s.renew(ctx) {
			return 0, errRenew
		}
	}
	if now >= s.resync {
		s.resync = never
		s.oweGet(twin.CauseGap)
	}
	if s.ready && s.pending == nil {
		if err := s.request(ctx, now); err != nil {
			return 0, err
		}
	}
	return s.due() - now, nil
}

// due is when step has something to do, if nothing happens before.
func (s *session) due() time.Duration {
	now := s.now()
	next := min(s.renewAt, s.resync)
	if s.pending != nil {
		if now >= s.renewAt {
			next = s.renewAt + drainTime
		}
		return min(next, s.pending.deadline)
	}
	for _, at := range []time.Duration{s.c.getPace.notBefore, s.c.patchPace.notBefore, s.gapFrom} {
		if at > now {
			next = min(next, at)
		}
	}
	return next
}

// request makes the next request, if one is due.
func (s *session) request(ctx context.Context, now time.Duration) error {
	if now >= s.c.getPace.notBefore {
		if calls, ok := s.c.takeGets(s.owe != 0 && now >= s.gapFrom); ok {
			return s.get(ctx, calls)
		}
	}
	if !s.synced || s.owe != 0 || now < s.c.patchPace.notBefore {
		return nil
	}
	patch, demand, ok := s.c.nextPatch()
	if !ok {
		return nil
	}
	id := s.c.nextID()
	s.pending = &request{op: transport.PatchReported, id: id, deadline: now + s.c.opts.RequestTimeout}
	body := patch.JSON()
	s.c.count(func(n *Stats) { n.PatchesOut++; n.BytesOut += int64(len(body)) })
	return s.send(ctx, transport.Frame{Kind: transport.Request, Op: transport.PatchReported, ID: id, Version: demand, Body: body})
}

func (s *session) get(ctx context.Context, calls []*getCall) error {
	id := s.c.nextID()
	cause := s.owe
	if cause == 0 {
		cause = twin.CauseGap // what it finds was lost on the way
	}
	s.pending = &request{op: transport.GetTwin, id: id, deadline: s.now() + s.c.opts.RequestTimeout, cause: cause, calls: calls}
	s.c.with(func() {
		s.c.desired.Fetching()
		s.c.stats.Gets++
	})
	s.c.tidied = true // also if the line ends at it
	return s.send(ctx, transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: id})
}

func (s *session) send(ctx context.Context, f transport.Frame) error {
	if err := s.conn.Send(ctx, f); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func (s *session) now() time.Duration { return s.c.opts.Elapsed() }

// expire gives up on the request under way: what became of it is unknown.
func (s *session) expire() error {
	p := s.pending
	s.pending = nil
	if !s.ready {
		return fmt.Errorf("the hub did not take the subscriptions: %w", errNoAnswer)
	}
	s.misses++
	s.c.log.Warn("request was not answered", "id", p.id, "inARow", s.misses)
	switch p.op {
	case transport.GetTwin:
		s.getFailed(p, nil)
	case transport.PatchReported:
		s.oweGet(twin.CauseGap) // it decides
	}
	if s.misses >= maxMisses {
		return errNoAnswer
	}
	return nil
}

// abandon takes leave of what is under way when the connection ends.
func (s *session) abandon() {
	s.c.with(func() { s.c.desired.FetchFailed() })
	if s.pending != nil {
		s.c.putBack(s.pending.calls)
	}
}

// oweGet remembers that a full GET is due; the first cause stands.
func (s *session) oweGet(cause twin.Cause) {
	if s.owe == 0 {
		s.owe = cause
	}
}

// nextID makes the ID of a request, unique in the client's life.
func (c *Client) nextID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	return strconv.FormatUint(c.lastID, 10)
}

// statusError reads the hub's refusal.
func statusError(f transport.Frame) *transport.StatusError {
	err := transport.NewStatusError(f.Status, f.Body)
	err.RetryAfter = f.RetryAfter
	return err
}

// retryable reports whether the hub may think otherwise later.
func retryable(err error) bool {
	return errors.Is(err, transport.ErrThrottled) || errors.Is(err, transport.ErrUnavailable) || errors.Is(err, transport.ErrQuota)
}
