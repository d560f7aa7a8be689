package catchup

import (
	"time"
)

// This file is what becomes of a patch at which the connection ends, or that
// gets no answer, again and again. Its parts are suspected: they stay wanted,
// and travel apart with a back-off of their own, while everything else flows.

// maxVain is how often in a row a patch may be in flight in vain before it is
// taken apart.
const maxVain = 3

// The back-off of a suspect that cannot be taken apart further: from suspectBase
// doubling to suspectMax, so that after its first hour it is sent twice an hour.
const (
	suspectBase = time.Minute
	suspectMax  = 30 * time.Minute
)

func suspectDelay(tries int) time.Duration {
	if tries >= 5 {
		return suspectMax
	}
	return suspectBase << tries
}

// failed takes back a patch that the hub did not apply, without a word why.
func (r *Reported) failed(now time.Duration) {
	f := r.flight
	r.flight = nil
	r.budget.spend(costVain, now)
	for _, w := range f.wishes {
		w.vain++
	}
	if w := f.guard(); w != nil {
		if w.vain >= maxVain {
			w.guard.due = now + suspectDelay(w.vain-maxVain)
		} else {
			r.turn = guardKind
		}
		r.giveBack(f.wishes)
		return
	}
	g := f.apart()
	if g != nil && g.suspect {
		r.giveBack(r.suspect(f.wishes, g, now))
		return
	}
	var back, suspects []*wish
	for _, w := range f.wishes {
		if w.vain >= maxVain {
			suspects = append(suspects, w)
		} else {
			back = append(back, w)
		}
	}
	if suspects != nil {
		suspects = r.suspect(suspects, &group{family: &family{}}, now)
	}
	r.strict = back != nil // what is left has not failed
	r.giveBack(append(suspects, back...))
}

// suspect divides wishes into groups that are sent one after the other: an
// eighth each, so that a property at which the hub hangs up costs few
// connections to find. A single property waits.
func (r *Reported) suspect(wishes []*wish, g *group, now time.Duration) []*wish {
	parts := [][]*wish{wishes}
	for range 3 {
		var finer [][]*wish
		for _, part := range parts {
			finer = append(finer, r.halves(part)...)
		}
		parts = finer
	}
	var all []*wish
	for _, part := range parts {
		next := &group{family: g.family, suspect: true}
		if len(parts) == 1 {
			next.tries = g.tries + 1
			next.due = now + suspectDelay(g.tries)
		}
		all = append(all, inGroup(part, next)...)
	}
	return all
}

// The budget of failures: what the hub refuses, does not answer, or hangs up at
// costs this much of it, so that all of it together stays below 40 connections,
// 60 GETs and 120 patches an hour.
const (
	costRefused = 1
	costVain    = 3

	budgetMax  = 24
	budgetStep = 40 * time.Second // for each one more
)

// A budget refills with time. The zero value is full.
type budget struct {
	spent int
	since time.Duration // when spent was right
}

// refill gives back what the time since has earned.
func (b *budget) refill(now time.Duration) {
	n := int((now - b.since) / budgetStep)
	if n >= b.spent {
		b.spent, b.since = 0, now
		return
	}
	b.spent -= n
	b.since += time.Duration(n) * budgetStep
}

func (b *budget) spend(n int, now time.Duration) {
	b.refill(now)
	b.spent += n
}

// free is when something may be spent again.
func (b *budget) free(now time.Duration) time.Duration {
	b.refill(now)
	if b.spent < budgetMax {
		return now
	}
	return b.since + time.Duration(b.spent-budgetMax+1)*budgetStep
}

// allowed is from when on the budget lets a kind go. Plain wishes wait for it
// only while they fail themselves.
func (r *Reported) allowed(k kind, now time.Duration) time.Duration {
	if k == plainKind && !r.strict || k == guardKind {
		return 0
	}
	return r.budget.free(now)
}
