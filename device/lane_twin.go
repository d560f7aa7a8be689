package device

import (
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The twin's lane has one request in flight, so that a GET's answer always
// has a known order to the patches of the same device. GETs and patches
// take turns. Neither waits for the other: a hub that refuses GETs gets reports,
// and the reverse.
type twinLane struct {
	s       *session
	pending *request   // nil when nothing is under way
	misses  int        // requests in a row that were not answered
	owe     twin.Cause // a GET is due, for this cause, or 0 for none
	met     bool       // the hub was asked for the twin in this session, and has answered or was silent
	lastGet bool       // the last request was a GET

	gapFrom time.Duration // no GET before, unless called for, on the elapsed clock
	resync  time.Duration // a GET is due then, to find what was lost without a trace
}

// A request is what waits for the hub's answer.
type request struct {
	kind     transport.Kind
	id       string
	deadline time.Duration // on the elapsed clock
	cause    twin.Cause    // of a GET
	owed     bool          // the GET is not only for its callers
	calls    []*getCall    // that the GET serves
}

// gapSpacing is the least time between two GETs that nobody called for.
const gapSpacing = time.Second

// maxMisses is how many requests in a row may go unanswered on a line that
// shows signs of life, before a new connection is thought better.
const maxMisses = 2

// GETs in a row that fail cost this much. From maxGetTrouble on, a patch of
// unknown fate is sent again without one. From maxFirstTrouble on, at the start,
// values are reported without one.
const (
	costGetRefused = 3
	costGetSilent  = 2

	maxGetTrouble   = 8 * costGetRefused
	maxFirstTrouble = 3 * costGetRefused
)

// maxUndecided is how far the hub may put off the next GET before a patch of
// unknown fate does not wait for it.
const maxUndecided = 5 * time.Minute

func newTwinLane(s *session) twinLane {
	return twinLane{s: s, owe: twin.CauseReconnect, resync: never}
}

// idle reports whether no request is under way.
func (l *twinLane) idle() bool { return l.pending == nil }

// next is the next request.
func (l *twinLane) next(now time.Duration) (transport.Frame, bool) {
	if l.pending != nil {
		return transport.Frame{}, false
	}
	if now >= l.resync {
		l.resync = never
		l.oweGet(twin.CauseGap)
	}
	if l.lastGet {
		if f, ok := l.patch(now); ok {
			return f, true
		}
	}
	if f, ok := l.get(now); ok {
		return f, true
	}
	return l.patch(now)
}

// get is a GET, for callers or because one is due.
func (l *twinLane) get(now time.Duration) (transport.Frame, bool) {
	c := l.s.c
	if now < c.getPace.notBefore {
		return transport.Frame{}, false
	}
	owed := l.owe != 0 && now >= l.gapFrom
	calls, ok := c.takeGets(owed)
	if !ok {
		return transport.Frame{}, false
	}
	cause := l.owe
	if cause == 0 {
		cause = twin.CauseGap // what it finds was lost on the way
	}
	l.lastGet = true
	l.begin(&request{kind: transport.GetTwin, cause: cause, owed: l.owe != 0, calls: calls}, now)
	c.with(func() {
		c.desired.Fetching()
		c.stats.Gets++
	})
	c.tidied = true // also if the line ends at it
	return transport.Frame{Kind: transport.GetTwin, ID: l.pending.id}, true
}

// patch is the next reported patch: the one gate for it. The machine itself
// holds it back where what the hub has is not known.
func (l *twinLane) patch(now time.Duration) (transport.Frame, bool) {
	c := l.s.c
	if now < c.patchPace.notBefore || !l.met && !l.getsFail() {
		return transport.Frame{}, false
	}
	patch, demand, ok := c.nextPatch(now)
	if !ok {
		return transport.Frame{}, false
	}
	l.lastGet = false
	l.begin(&request{kind: transport.PatchReported}, now)
	body := patch.JSON()
	c.count(func(n *Stats) { n.PatchesOut++; n.BytesOut += int64(len(body)) })
	return transport.Frame{Kind: transport.PatchReported, ID: l.pending.id, Version: demand, Body: body}, true
}

func (l *twinLane) begin(r *request, now time.Duration) {
	r.id, r.deadline = l.s.c.nextID(), now+l.s.c.opts.RequestTimeout
	l.pending = r
}

// due is when next or expire has something to do, if nothing happens before.
func (l *twinLane) due(now time.Duration) time.Duration {
	if l.pending != nil {
		return l.pending.deadline
	}
	c := l.s.c
	next := l.resync
	c.with(func() { next = min(next, c.reported.Due(now)) })
	if next <= now {
		next = never // it waits for something else
	}
	for _, at := range []time.Duration{c.getPace.notBefore, c.patchPace.notBefore, l.gapFrom} {
		if at > now {
			next = min(next, at)
		}
	}
	return next
}

// expire gives up on the request under way: what became of it is unknown.
func (l *twinLane) expire(now time.Duration) error {
	p := l.pending
	if p == nil || now < p.deadline {
		return nil
	}
	c := l.s.c
	l.pending = nil
	l.misses++
	c.log.Warn("request was not answered", "id", p.id, "inARow", l.misses)
	c.suffers(errNoAnswer)
	switch p.kind {
	case transport.GetTwin:
		l.met = true
		c.getTrouble += costGetSilent
		l.getFailed(p, errNoAnswer, nil)
	case transport.PatchReported:
		l.oweGet(twin.CauseGap) // it decides
		l.presume(errNoAnswer)
	}
	if l.misses >= maxMisses {
		return errNoAnswer
	}
	return nil
}

// unsent takes back the request that the Conn has no room for.
func (l *twinLane) unsent() {
	p := l.pending
	l.pending = nil
	c := l.s.c
	if p.kind == transport.PatchReported {
		c.with(func() { c.reported.Retry() })
		return
	}
	c.with(func() { c.desired.FetchFailed() })
	c.putBack(p.calls)
	if p.owed {
		l.oweGet(p.cause)
	}
}

// tooLarge gives the machine the Conn's word that it carries no such patch.
func (l *twinLane) tooLarge(err error) {
	l.pending = nil
	c := l.s.c
	c.log.Warn("a report is too large for the connection", "cause", err)
	now := l.s.now()
	c.with(func() { c.reported.Refused(err, now) })
	c.settle()
}

// abandon releases the request in flight when the connection ends.
func (l *twinLane) abandon() {
	c := l.s.c
	c.with(func() { c.desired.FetchFailed() })
	if l.pending == nil {
		return
	}
	c.putBack(l.pending.calls)
	if l.pending.kind == transport.PatchReported {
		l.presume(transport.ErrLost)
	}
}

// oweGet remembers that a full GET is due. The first cause is kept.
func (l *twinLane) oweGet(cause twin.Cause) {
	if l.owe == 0 {
		l.owe = cause
	}
}

// answered pairs an answer with its request. One that fits none is late: its
// request was given up, and a GET has shown or will show what it did.
func (l *twinLane) answered(f transport.Frame) {
	c := l.s.c
	c.count(func(n *Stats) { n.BytesIn += int64(len(f.Body)) })
	p := l.pending
	if p == nil || p.id != f.ID {
		c.log.Debug("late answer dropped", "id", f.ID, "status", f.Status)
		return
	}
	l.pending, l.misses = nil, 0
	if p.kind == transport.GetTwin {
		l.met = true
		l.gotTwin(p, f)
		return
	}
	l.gotPatched(f)
}

// gotTwin takes the answer to a GET. Only a whole twin counts. Anything else
// takes nothing away from what is known.
func (l *twinLane) gotTwin(p *request, f transport.Frame) {
	c := l.s.c
	if !succeeded(f.Status) {
		err := statusError(f)
		l.failGet(p, err, err)
		return
	}
	doc, err := twin.ParseDocument(f.Body)
	if err != nil {
		l.failGet(p, fmt.Errorf("%w: %w", errBadTwin, err), nil)
		return
	}
	now := l.s.now()
	c.getPace.backoff.reset()
	c.getTrouble = 0
	l.gapFrom = now + gapSpacing
	l.resync = c.nextResync(now)
	l.owe = 0
	if c.synced(doc, p.cause) == catchup.Gap {
		l.oweGet(twin.CauseGap)
	}
	for _, call := range p.calls {
		call.answer <- getAnswer{doc: doc}
	}
	l.s.online()
	poke(c.turn)
}

// failGet takes a GET that brought nothing. What the hub may do better in a
// while is asked again for its callers too, else they hear of it.
func (l *twinLane) failGet(p *request, err error, status *transport.StatusError) {
	c := l.s.c
	c.getTrouble += costGetRefused
	c.log.Warn("get twin failed", "cause", err)
	c.suffers(err)
	if !retryable(err) {
		for _, call := range p.calls {
			call.answer <- getAnswer{err: err}
		}
		p.calls = nil
	}
	for _, call := range p.calls {
		call.failed(err)
	}
	l.getFailed(p, err, status)
}

// getFailed puts the GET off, and its callers back in line. One that only
// callers wanted is not due once they have gone. After too many, reports go
// on without.
func (l *twinLane) getFailed(p *request, err error, status *transport.StatusError) {
	c := l.s.c
	var outcome catchup.Outcome
	c.with(func() { outcome = c.desired.FetchFailed() })
	c.putBack(p.calls)
	if p.owed {
		l.oweGet(p.cause)
	}
	if outcome == catchup.Gap {
		l.oweGet(twin.CauseGap)
	}
	c.putOff(&c.getPace, status)
	l.presume(err)
}

// getsFail reports whether no GET is to be expected soon.
func (l *twinLane) getsFail() bool {
	c := l.s.c
	most := maxGetTrouble
	c.with(func() {
		if !c.reported.Known() {
			most = maxFirstTrouble
		}
	})
	return c.getTrouble >= most || c.getPace.notBefore >= l.s.now()+maxUndecided
}

// presume lets reports go on without a GET where none is to be expected.
func (l *twinLane) presume(err error) {
	if !l.getsFail() {
		return
	}
	c, now := l.s.c, l.s.now()
	c.with(func() { c.reported.Presume(fmt.Errorf("%w: %w", errUndecided, err), now) })
	c.settle()
}

// gotPatched takes the hub's word on the patch in flight.
func (l *twinLane) gotPatched(f transport.Frame) {
	c, now := l.s.c, l.s.now()
	err := statusError(f)
	switch {
	case succeeded(f.Status):
		c.patchPace.backoff.reset()
		var outcome catchup.Outcome
		c.with(func() { outcome = c.reported.Acked(f.Version) })
		if outcome == catchup.Gap {
			c.log.Warn("reported version jumped; getting the twin", "version", f.Version)
			l.oweGet(twin.CauseGap)
		}
	case c.demands() && errors.Is(err, transport.ErrPrecondition):
		c.with(func() { c.reported.Stale(err) })
	case errors.Is(err, transport.ErrRejected):
		c.log.Warn("hub rejected a report", "cause", err)
		c.with(func() { c.reported.Refused(err, now) })
	case err.Status >= 500:
		// It may have been applied all the same: the GET shows it.
		c.log.Warn("report failed; getting the twin", "cause", err)
		c.suffers(err)
		l.oweGet(twin.CauseGap)
		c.putOff(&c.getPace, err)
		c.putOff(&c.patchPace, err)
		l.presume(err)
	default:
		c.log.Warn("report put off", "cause", err)
		c.suffers(err)
		c.with(func() {
			c.reported.PutOff(now)
			c.stats.Retried++
		})
		c.putOff(&c.patchPace, err)
	}
	c.settle()
}

// failMissing fails all calls that wait, since the hub has no twin. Reports stay
// wanted.
func (l *twinLane) failMissing(cause error) {
	c := l.s.c
	err := fmt.Errorf("%w: %w", transport.ErrUnsupported, cause)
	calls, _ := c.takeGets(false)
	for _, call := range calls {
		call.answer <- getAnswer{err: err}
	}
	c.with(func() {
		for ticket, ch := range c.reports {
			err := err
			if c.reported.Forget(ticket) {
				err = fmt.Errorf("%w: %w", ErrStillWanted, errtext.Bare("device", err))
			}
			ch <- catchup.Settlement{Ticket: ticket, Err: err}
		}
		clear(c.reports)
	})
}
