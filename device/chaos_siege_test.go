package device_test

import (
	"context"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// comeToRest ends what is bad, and waits until the client is online and the hub
// has everything. It returns false if that does not come.
func (s *drama) comeToRest() bool {
	s.calm()
	for range 40 { // suspects go within an hour of their last attempt
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if c := s.board.client; c.State().Phase == device.Online && c.State().Missing == nil && !c.Stats().Outstanding {
			return true
		}
	}
	c := s.board.client
	s.fault("share", "80 minutes after all became well the client is %+v, %+v", c.State(), c.Stats())
	return false
}

// A trial makes each kind of call, and asks whether each has its share.
func (s *drama) trial(when string, slack time.Duration) {
	c := s.board.client
	s.fuzzy["probe"] = true
	n := int(time.Since(s.start) / time.Second)
	within := func(what string, bound time.Duration, f func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(s.Context(), 2*time.Hour)
		defer cancel()
		before := time.Now()
		err := f(ctx)
		if took := time.Since(before); took > bound+slack || err != nil {
			s.fault("share", "%s: %s took %v, its share is %v: %v", when, what, took, bound+slack, err)
		}
	}
	within("another key", 3*time.Minute, func(ctx context.Context) error {
		_, err := c.UpdateReported(ctx, twin.Set("probe", n))
		return err
	})
	within("GetTwin", 2*time.Minute, func(ctx context.Context) error {
		s.getCalls.Add(1)
		s.gets.Add(1)
		defer s.gets.Add(-1)
		_, err := c.GetTwin(ctx)
		return err
	})
	if s.noVersions {
		return
	}
	within("a guarded report", 3*time.Minute, func(ctx context.Context) error {
		_, err := c.UpdateReportedIf(ctx, twin.Set("probe", n+1), max(c.Stats().ReportedVersion, 1))
		if errors.Is(err, transport.ErrPrecondition) {
			return nil
		}
		return err
	})
}

// probe lets everything become well for a moment, and makes each kind of call.
func (s *drama) probe() string {
	if s.comeToRest() {
		s.trial("when all is well", 0)
	}
	return "all becomes well, and each kind of call is made"
}

// siege has the hub fail in one way for two hours, and counts.
func (s *drama) siege() string {
	if !s.comeToRest() {
		return "all becomes well"
	}
	kind := s.rnd.IntN(len(keyFaults) + 3)
	if s.exact && kind == len(keyFaults) {
		kind++ // to a hub that refuses GETs a report may be sent twice
	}
	every := time.Duration(1+s.rnd.IntN(5)) * time.Minute
	atKey := kind < len(keyFaults)
	var match func(hubtest.Message) bool
	var act hubtest.Action
	what := ""
	switch {
	case atKey:
		what = "the hub " + keyFaults[kind].name + " at bad"
		match, act = hubtest.PatchNaming("dev1", "bad"), keyFaults[kind].do()
		if kind == refusesKey {
			s.refuse("bad")
		}
	case kind == len(keyFaults):
		what = "the hub throttles GETs"
		match, act = hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(429001)
	case kind == len(keyFaults)+1:
		what = "the hub hangs up at each patch"
		match, act = hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Cut()
	default:
		what = "the hub is silent at each patch"
		match, act = hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Drop()
	}
	remove := s.hub.Intercept(match, act.Times(-1))
	defer remove()
	for hour := range 2 {
		before, flash := s.hub.Device("dev1").Stats(), s.wrote()
		reports := 0
		for spent := time.Duration(0); spent < time.Hour-every; {
			began := time.Now()
			s.n++
			reports++
			p := twin.Set("n", s.n).Set("bad", s.n)
			if atKey && hour > 0 && reports%7 == 3 && keyFaults[kind].name != "throttles" {
				s.trial(what, 0)
			}
			s.say(p, map[string]any{"n": s.n, "bad": s.n})
			time.Sleep(every)
			spent += time.Since(began)
		}
		after := s.hub.Device("dev1").Stats()
		renewals := 0
		if !s.renewsInPlace() {
			renewals = int(time.Hour/(s.lifetime*3/4)) + 2
		}
		trials := reports / 7 * 3
		for _, b := range []struct {
			what             string
			was, is, allowed int
		}{
			{"connects", before.Connects, after.Connects, 40 + renewals},
			{"GETs", before.Gets, after.Gets, 60 + renewals + trials},
			{"patches", before.Patches, after.Patches, 120 + reports + 2*trials},
			{"bytes of flash", flash, s.wrote(), 64<<10 + (reports+trials)*4<<10},
		} {
			judge := "traffic"
			if b.what == "bytes of flash" {
				judge = "flash"
			}
			if n := b.is - b.was; n > b.allowed {
				s.fault(judge, "%s, hour %d: %d %s, %d allowed, for %d reports", what, hour, n, b.what, b.allowed, reports)
			}
		}
	}
	return fmt.Sprintf("for two hours %s, and firmware reports each %v", what, every)
}

// say makes a report that the client must take.
func (s *drama) say(p twin.Patch, said map[string]any) {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	if err := s.board.client.ReportLater(ctx, p); err != nil && !errors.Is(err, device.ErrNotStored) {
		s.fault("truth", "ReportLater(%v): %v", p, err)
	}
	st := &statement{n: s.n, life: s.board.life, at: time.Now(), safe: s.board.stored(), over: true, taken: true, keys: []string{"n", "bad"}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statements = append(s.statements, st)
	merge(s.firmware, said)
}

func (s *drama) wrote() int {
	switch {
	case s.board.mem != nil:
		return s.board.mem.wrote()
	case s.board.flash != nil:
		return s.board.flash.wrote()
	}
	return 0
}

// poison has the hub fail at one property for a while.
func (s *drama) poison() string {
	i := s.rnd.IntN(len(keyFaults))
	if i == refusesKey {
		s.refuse("bad")
	}
	d := s.forAWhile(hubtest.PatchNaming("dev1", "bad"), keyFaults[i].do())
	return fmt.Sprintf("for %v the hub %s at bad", d, keyFaults[i].name)
}

// refuse notes that nobody knows what becomes of a key.
func (s *drama) refuse(key string) {
	s.refusals.Add(1)
	s.fuzzy[key] = true
}

// keyFaults are what a hub may do at a property that it does not like.
var keyFaults = []struct {
	name string
	do   func() hubtest.Action
}{
	{"hangs up", hubtest.Cut}, {"is silent", hubtest.Drop}, {"refuses", func() hubtest.Action { return hubtest.Answer(400, "") }},
	{"fails with 500", func() hubtest.Action { return hubtest.Fail(500001) }}, {"throttles", func() hubtest.Action { return hubtest.Fail(429001) }},
}

const refusesKey = 2 // of keyFaults

// throttle has the hub throttle one kind of request for a while.
func (s *drama) throttle() string {
	op := []hubtest.Op{hubtest.GetTwin, hubtest.PatchReported}[s.rnd.IntN(2)]
	if s.exact {
		op = hubtest.PatchReported // to a hub that refuses GETs a report may be sent twice
	}
	pause := time.Duration(s.rnd.IntN(3)) * 40 * time.Second
	do := hubtest.Fail(429001)
	if pause > 0 {
		do = do.RetryAfter(pause)
	}
	d := s.forAWhile(hubtest.FromDevice("dev1", op), do)
	return fmt.Sprintf("for %v the hub throttles %v, retry after %v", d, op, pause)
}
