package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A statement is a report that the client has taken.
type statement struct {
	n     int
	life  int
	keys  []string // at the top
	at    time.Time
	safe  bool // it must survive a power cut
	over  bool // the call has returned
	taken bool
}

// moment draws a context that ends at some moment, perhaps at once.
func (s *drama) moment(long time.Duration) (ctx context.Context, cancel context.CancelFunc, bound time.Duration) {
	switch s.rnd.IntN(8) {
	case 0:
		ctx, cancel = context.WithCancel(s.Context())
		cancel()
		return ctx, cancel, 0
	case 1, 2:
		bound = time.Duration(s.rnd.Int64N(int64(2 * time.Second)))
	case 3:
		bound = time.Duration(s.rnd.Int64N(int64(time.Minute)))
	default:
		bound = long
	}
	ctx, cancel = context.WithTimeout(s.Context(), bound)
	return ctx, cancel, bound
}

// call makes a call of the client on a goroutine of its own, and asks whether it
// returns in time. It returns once the call has returned or waits.
func (s *drama) call(what string, bound time.Duration, f func()) {
	s.calls.Go(func() {
		before := time.Now()
		f()
		if took := time.Since(before); took > bound+time.Second {
			s.fault("returns", "%s returned after %v, its bound is %v", what, took, bound)
		}
	})
	synctest.Wait()
}

// end makes a call that ends the client.
func (s *drama) end(what string, bound time.Duration, f func() error) error {
	s.closing.Add(1)
	before := time.Now()
	err := f()
	if took := time.Since(before); took > bound+time.Second {
		s.fault("returns", "%s returned after %v, its bound is %v", what, took, bound)
	}
	if left := (*device.LeftError)(nil); err != nil && !errors.Is(err, device.ErrListenerRuns) && !errors.As(err, &left) {
		s.fault("ends", "%s: %v", what, err)
	}
	return err
}

// report lets firmware say something: each time a larger n.
func (s *drama) report() string {
	s.n++
	p := randomPatch(s.rnd, 3)
	p["n"] = s.n
	if s.rnd.IntN(4) == 0 {
		p["bad"] = s.n
	}
	patch, err := twin.ParsePatch([]byte(encode(s.T, p)))
	if err != nil {
		s.Fatal(err)
	}
	said := []map[string]any{p}
	patch, more := s.replaced(patch)
	said = append(said, more...)
	later := s.rnd.IntN(2) == 0
	ctx, cancel, bound := s.moment(23 * time.Hour)
	return fmt.Sprintf("%s (%v): %v", s.state(ctx, cancel, bound, later, patch, said), bound, patch)
}

// state makes a report, and notes what firmware has said if the client took it.
func (s *drama) state(ctx context.Context, cancel context.CancelFunc, bound time.Duration, later bool, patch twin.Patch, said []map[string]any) string {
	st := &statement{n: s.n, life: s.board.life, at: time.Now()}
	for _, p := range said {
		for k := range p {
			st.keys = append(st.keys, k)
		}
	}
	c, what := s.board.client, "UpdateReported"
	sickness, closings, anew := s.sickness.Load(), s.closing.Load(), s.anew.Load()
	if later {
		what = "ReportLater"
	}
	refused, stored := false, s.board.stored() // refused: not taken
	s.call(what, bound, func() {
		defer cancel()
		var err error
		if later {
			err = c.ReportLater(ctx, patch)
		} else {
			_, err = c.UpdateReported(ctx, patch)
		}
		wellStored := later && stored || !later && sickness == s.sickness.Load() && !c.Kept().StoreFailed
		s.mu.Lock()
		st.over, st.safe = true, err == nil && wellStored
		refused = err != nil && !st.taken && !errors.Is(err, device.ErrStillWanted) && !errors.Is(err, device.ErrNotStored) && !errors.Is(err, transport.ErrRejected)
		s.mu.Unlock()
		switch ended := ctx.Err() != nil && errors.Is(err, ctx.Err()); {
		case err == nil && !later && anew == s.anew.Load() && !s.late() && !s.odd.Load():
			if n := s.atHub("n"); n < float64(st.n) && anew == s.anew.Load() {
				s.fault("lost", "UpdateReported of n %d returned nil, and the hub has %v", st.n, n)
			}
		case err == nil, ended:
		case s.closing.Load() > closings && errors.Is(err, device.ErrClosed):
		case errors.Is(err, transport.ErrUnsupported) && errors.Is(err, device.ErrStillWanted):
		case errors.Is(err, device.ErrNotStored) && later:
		case s.refusals.Load() > 0 && errors.Is(err, transport.ErrRejected):
		default:
			s.fault("truth", "%s(%v): %v", what, patch, err)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused {
		return what + " with an ended context"
	}
	st.taken = true
	s.statements = append(s.statements, st)
	for _, p := range said {
		merge(s.firmware, p)
	}
	return what
}

// replaced lets a report replace something, too, now and then.
func (s *drama) replaced(patch twin.Patch) (twin.Patch, []map[string]any) {
	key, v := string(rune('a'+s.rnd.IntN(3))), randomPatch(s.rnd, 2)
	switch s.rnd.IntN(6) {
	case 0:
		return patch.Replace(key, v), []map[string]any{{key: nil}, {key: withoutNulls(v)}}
	case 1:
		below := patch.Replace(key+".b", v)
		if below.Err() != nil {
			return patch, nil // something else than an object stands above
		}
		return below, []map[string]any{{key: map[string]any{"b": nil}}, {key: map[string]any{"b": withoutNulls(v)}}}
	}
	return patch, nil
}

// guard makes a report with a precondition: one at a time, of a key of its own.
func (s *drama) guard() string {
	c := s.board.client
	s.mu.Lock()
	busy := s.guarding
	s.mu.Unlock()
	if busy || s.noVersions {
		return ""
	}
	s.guards++
	n, version := s.guards, c.Stats().ReportedVersion
	if s.rnd.IntN(4) == 0 {
		version += int64(s.rnd.IntN(4)) - 2
	}
	version = max(version, 1)
	ctx, cancel, bound := s.moment(20 * time.Minute)
	s.mu.Lock()
	s.guarding = true
	s.mu.Unlock()
	anew, denials := s.anew.Load(), s.denials.Load()
	s.call("UpdateReportedIf", bound, func() {
		defer cancel()
		at, err := c.UpdateReportedIf(ctx, twin.Set("g", n), version)
		has, sane := s.atHub("g"), anew == s.anew.Load() && !s.late() && !s.odd.Load()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.guarding = false
		if err == nil && sane && (at != version+1 || has != float64(n)) {
			s.fault1("truth", "UpdateReportedIf at version %d of g %d returned %d, nil, and the hub has %v", version, n, at, has)
		}
		switch {
		case err == nil && anew == s.anew.Load():
			s.guarded = map[float64]bool{float64(n): true}
		case denials == s.denials.Load() && errors.Is(err, transport.ErrPrecondition), errors.Is(err, transport.ErrRejected):
			// Nothing has changed. A hub that says 429 to what it has applied, which is
			// against its contract, says so to the next attempt all the same.
		case s.guarded != nil:
			s.guarded[float64(n)] = true // the hub may have it or not
		}
	})
	return fmt.Sprintf("UpdateReportedIf (%v): g %d at version %d", bound, n, version)
}

// get asks for the twin.
func (s *drama) get() string {
	c := s.board.client
	ctx, cancel, bound := s.moment(20 * time.Minute)
	closings := s.closing.Load()
	s.gets.Add(1)
	s.getCalls.Add(1)
	s.call("GetTwin", bound, func() {
		defer s.gets.Add(-1)
		defer cancel()
		doc, err := c.GetTwin(ctx)
		var status *transport.StatusError
		switch {
		case err == nil && !s.noVersions && doc.Desired.Version() == 0:
			s.fault("truth", "GetTwin returned a twin without a version")
		case err == nil, ctx.Err() != nil && errors.Is(err, ctx.Err()), errors.As(err, &status), errors.Is(err, transport.ErrUnsupported):
		case s.closing.Load() > closings && errors.Is(err, device.ErrClosed):
		default:
			s.fault("truth", "GetTwin: %v", err)
		}
	})
	return fmt.Sprintf("GetTwin (%v)", bound)
}

// look makes the calls that wait for nothing.
func (s *drama) look() string {
	c := s.board.client
	before := time.Now()
	_, st, d, r := c.State(), c.Stats(), c.Desired(), c.Reported()
	if took := time.Since(before); took > 0 {
		s.fault("returns", "State, Stats, Desired and Reported took %v", took)
	}
	if s.board.stored() && s.board.life > 1 && r.Source == device.SourceNone && s.board.healthy() && !s.lies && s.seenLive {
		s.fault("lost", "after a restart Reported has no source; %+v", st)
	}
	if r.Source == device.SourceLive && d.Source == device.SourceLive {
		s.seenLive = s.board.healthy()
	}
	return "State, Stats, Desired, Reported"
}

func (s *drama) renew() string {
	c := s.board.client
	s.call("Renew", 0, func() {
		if err := c.Renew(); err != nil && !errors.Is(err, device.ErrClosed) && !errors.Is(err, device.ErrNotStarted) {
			s.fault("truth", "Renew: %v", err)
		}
	})
	s.disturbed++
	return "Renew"
}

// atHub is a number in the hub's reported half, or 0.
func (s *drama) atHub(key string) float64 {
	tw, err := s.hub.Device("dev1").Twin()
	if err != nil {
		return 0 // being created anew
	}
	var doc map[string]any
	if json.Unmarshal(tw.Reported.JSON, &doc) != nil {
		return 0
	}
	n, _ := doc[key].(float64)
	return n
}
