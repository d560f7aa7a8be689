package device

import (
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// handle takes one frame from the hub. Only what ends the session is an error.
func (s *session) handle(f transport.Frame) error {
	switch f.Kind {
	case transport.Accepted:
		s.accepted(f)
	case transport.Response:
		return s.answered(f)
	case transport.Desired:
		s.notified(f)
	}
	return nil
}

func (s *session) accepted(f transport.Frame) {
	delete(s.opening, f.ID)
	if len(s.opening) == 0 && !s.ready {
		s.ready, s.pending = true, nil
	}
}

// answered pairs an answer with its request. One that fits none is late: its
// request was given up, and a GET has told or will tell what it did.
func (s *session) answered(f transport.Frame) error {
	if s.opening[f.ID] {
		return fmt.Errorf("the hub refused a subscription: %w", statusError(f))
	}
	s.c.count(func(n *Stats) { n.BytesIn += int64(len(f.Body)) })
	p := s.pending
	if p == nil || !s.ready || p.id != f.ID {
		s.c.log.Debug("late answer dropped", "id", f.ID, "status", f.Status)
		return nil
	}
	s.pending, s.misses = nil, 0
	if p.op == transport.GetTwin {
		s.gotTwin(p, f)
		return nil
	}
	s.gotPatched(f)
	return nil
}

// gotTwin takes the answer to a GET. Only a whole twin counts; anything else
// takes nothing away from what is known.
func (s *session) gotTwin(p *request, f transport.Frame) {
	if !succeeded(f.Status) {
		err := statusError(f)
		s.failGet(p, err, err)
		return
	}
	doc, err := twin.ParseDocument(f.Body)
	if err != nil {
		s.failGet(p, fmt.Errorf("%w: %w", errBadTwin, err), nil)
		return
	}
	s.c.getPace.backoff.reset()
	s.gapFrom = s.now() + gapSpacing
	s.resync = s.c.nextResync(s.now())
	s.owe = 0
	s.synced = true
	s.c.synced(s, doc, p.cause)
	for _, call := range p.calls {
		call.answer <- getAnswer{doc: doc}
	}
	if s.onlineAt < 0 {
		s.onlineAt = s.now()
		s.c.enter(State{Phase: Online})
	}
	poke(s.c.turn)
}

func succeeded(status int) bool { return 200 <= status && status < 300 }

// failGet takes a GET that brought nothing. What the hub may do better in a
// while is asked again for its callers too; else they are told.
func (s *session) failGet(p *request, err error, status *transport.StatusError) {
	s.c.log.Warn("get twin failed", "cause", err)
	if !retryable(err) {
		for _, call := range p.calls {
			call.answer <- getAnswer{err: err}
		}
		p.calls = nil
	}
	for _, call := range p.calls {
		call.failed(err)
	}
	s.getFailed(p, status)
}

// getFailed puts the GET off, and its callers back in line.
func (s *session) getFailed(p *request, status *transport.StatusError) {
	s.c.with(func() { s.c.desired.FetchFailed() })
	s.c.putBack(p.calls)
	s.oweGet(p.cause)
	s.putOff(&s.c.getPace, status)
}

// putOff spaces the next request of a kind after a failure: by back-off, or by
// the hub's wish, or, where the day's quota is used up, until the next day.
func (s *session) putOff(p *pacer, status *transport.StatusError) {
	switch {
	case status == nil:
		p.fail(s.now(), 0)
	case errors.Is(status, transport.ErrQuota):
		p.notBefore = s.now() + untilTomorrow(s.c.opts.Now())
	default:
		p.fail(s.now(), status.RetryAfter)
	}
}

// gotPatched takes the hub's word on the patch in flight.
func (s *session) gotPatched(f transport.Frame) {
	var outcome catchup.Outcome
	err := statusError(f)
	switch {
	case succeeded(f.Status):
		s.c.patchPace.backoff.reset()
		s.c.with(func() { outcome = s.c.reported.Acked(f.Version) })
		if outcome == catchup.Gap {
			s.c.log.Warn("reported version jumped; getting the twin", "version", f.Version)
			s.oweGet(twin.CauseGap)
		}
	case s.c.demands() && errors.Is(err, transport.ErrPrecondition):
		s.c.with(func() { s.c.reported.Stale(err) })
	case errors.Is(err, transport.ErrRejected):
		s.c.log.Warn("hub rejected a report", "cause", err)
		s.c.with(func() { s.c.reported.Refused(err, s.now()) })
	case err.Status >= 500:
		// It may have been applied all the same: the GET tells.
		s.c.log.Warn("report failed; getting the twin", "cause", err)
		s.oweGet(twin.CauseGap)
		s.putOff(&s.c.getPace, err)
		s.putOff(&s.c.patchPace, err)
	default:
		s.c.log.Warn("report put off", "cause", err)
		s.c.with(func() {
			s.c.reported.Retry()
			s.c.stats.Retried++
		})
		s.putOff(&s.c.patchPace, err)
	}
	s.c.settle()
}

// notified takes a change of the desired properties. One that can't be read is
// as good as lost.
func (s *session) notified(f transport.Frame) {
	patch, version, err := twin.ParseNotification(f.Body)
	if f.Version != 0 {
		version = f.Version // the topic's; bodies of old hubs lack it
	}
	if err != nil {
		s.c.log.Warn("desired change cannot be read; getting the twin", "cause", err)
		patch, version = twin.Patch{}, 0 // a gap, also while a GET is under way
	}
	var outcome catchup.Outcome
	s.c.with(func() {
		outcome = s.c.desired.Notify(patch, version)
		s.c.stats.PatchesIn++
		s.c.stats.BytesIn += int64(len(f.Body))
	})
	switch outcome {
	case catchup.Gap:
		s.oweGet(twin.CauseGap)
	case catchup.Applied:
		poke(s.c.turn)
	}
}
