package catchup

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestReportedConverges tells random stories of reports, answers, lost
// answers, throttling, refusals, late applies, and devices created anew. At
// the end the hub must have what firmware reported, by a plain map's judgement.
func TestReportedConverges(t *testing.T) {
	for seed := range uint64(*stories) {
		if msg := reportedStory(rand.New(rand.NewPCG(seed, 2))); msg != "" {
			t.Fatalf("seed %d: %s", seed, msg)
		}
	}
}

// A fate is what a caller's report must come to.
type fate int

const (
	passes fate = iota
	fails
	either
)

func reportedStory(rnd *rand.Rand) string {
	rule := mergeRule(rnd.IntN(int(mergeRules)))
	hub, firmware := newModelHub(rule), newModelHub(mergeRFC7396)
	var r Reported
	open := map[Ticket]fate{}
	moody := rnd.IntN(3) > 0   // the hub refuses what is "bad"
	var inAir []map[string]any // patches that may still be applied late
	var flying map[string]any
	wrong := ""
	now := time.Duration(0)
	settle := func() {
		for _, s := range r.Settled() {
			if f, ok := open[s.Ticket]; !ok || f == passes && s.Err != nil || f == fails && s.Err == nil {
				wrong = fmt.Sprintf("ticket %d, fate %d, settled with %v", s.Ticket, f, s.Err)
			}
			delete(open, s.Ticket)
		}
	}
	// answer is the hub's, on time: it refuses whatever names "bad".
	answer := func(p map[string]any) (refused bool) {
		if v, ok := p["bad"]; ok && v != nil {
			r.Refused(errRefused, now)
			return true
		}
		hub.merge(p)
		return false
	}
	sync := func() {
		r.Synced(hub.properties(), now)
		flying = nil
		settle()
	}
	for range 40 {
		now += time.Duration(rnd.IntN(30)) * time.Second
		switch n := rnd.IntN(12); {
		case n < 4:
			s := newSaying(rnd)
			s.tell(firmware)
			p, due := s.patch, passes
			if moody && rnd.IntN(8) == 0 {
				p, due = p.Set("bad", 1), fails
			}
			if moody && s.wholeHalf() { // it names "bad" as well, so that it depends on who is first
				due = either
				for t, f := range open {
					if f == fails {
						open[t] = either
					}
				}
			}
			if rnd.IntN(2) == 0 {
				t, err := r.Want(p)
				if err != nil {
					return err.Error()
				}
				open[t] = due
			} else if err := r.WantLater(p); err != nil {
				return err.Error()
			}
		case n < 6:
			if p, ok := r.Next(now); ok {
				flying = decoded(p)
			}
			settle()
		case n < 8:
			if flying != nil {
				p := flying
				flying = nil
				if !answer(p) && r.Acked(hub.version) == Gap {
					sync()
				}
				settle()
			}
		case n == 8:
			if flying != nil {
				flying = nil
				r.Retry()
			}
		case n == 9: // the answer is lost: applied, not, or late
			if flying == nil {
				break
			}
			if v := flying["bad"]; v != nil {
				break // refused, and nobody heard it
			}
			switch rnd.IntN(3) {
			case 0:
				hub.merge(flying)
			case 1:
				inAir = append(inAir, flying)
			}
			sync()
		case n == 10:
			if flying == nil && !r.InFlight() || rnd.IntN(2) == 0 {
				if flying == nil {
					sync()
				}
			}
		case n == 11:
			if len(inAir) > 0 && flying == nil {
				hub.merge(inAir[0])
				inAir = inAir[1:]
			} else if rnd.IntN(20) == 0 && flying == nil {
				hub, inAir = newModelHub(rule), nil
				sync() // the hub cuts the line of a device that it deletes
			}
		}
	}
	for _, p := range inAir {
		hub.merge(p)
	}
	sync()
	for range 200 {
		now += 10 * time.Minute
		p, ok := r.Next(now)
		settle()
		if !ok {
			break
		}
		if !answer(decoded(p)) && r.Acked(hub.version) == Gap {
			sync()
		}
		settle()
	}
	if wrong != "" {
		return wrong
	}
	if !r.Idle() {
		return "it never comes to rest"
	}
	if len(open) > 0 {
		return fmt.Sprintf("callers wait for ever: %v", open)
	}
	if got, want := hub.text(), firmware.text(); got != want {
		return fmt.Sprintf("the hub has %s, firmware reported %s", got, want)
	}
	return ""
}
