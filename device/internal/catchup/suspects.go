package catchup

import (
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// This file is what becomes of a patch at which the connection ends, or that
// gets no answer, again and again. Its parts are suspected: they stay wanted,
// and travel apart with a back-off of their own, while everything else flows.

// maxVain is how often in a row a patch may be in flight in vain before it is
// taken apart.
const maxVain = 3

// The back-off of a suspect that cannot be taken apart further: from suspectBase
// doubling to suspectMax, so that after its first hour it is sent once an
// hour, and once more with a new value.
const (
	suspectBase = time.Minute
	suspectMax  = time.Hour
)

func suspectDelay(tries int) time.Duration {
	if tries >= 6 {
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
		suspects = r.suspect(suspects, &group{family: r.newFamily()}, now)
	}
	if back == nil {
		r.pace = min(r.pace, paceStrict) // what is left has not failed
	} else if g == nil {
		r.pace = r.pace.worse(f)
	}
	r.giveBack(append(suspects, back...))
}

// maxPutOffs is how often in a row the hub may put a patch off before it is
// taken apart.
const maxPutOffs = 10

// putOffMax bounds the time between two attempts at a part that the hub puts off.
const putOffMax = 2 * time.Minute

// PutOff says that the hub did not apply the patch in flight and may be asked
// again, as after 429: it goes back to what is wanted. A patch that is put off
// again and again is taken apart, since the hub may take the rest of it. Its
// parts are taken apart further only once the hub has taken one of them: a hub
// that is busy gets few patches. now is the driver's clock.
func (r *Reported) PutOff(now time.Duration) {
	f := r.flight
	if f == nil {
		return
	}
	r.now = now
	g := f.apart()
	switch {
	case f.guard() != nil:
		r.unsend()
		return
	case g == nil:
		r.putOffs++
		if r.putOffs < maxPutOffs || r.putOffApart() {
			r.unsend()
			return
		}
		g = &group{family: r.newFamily()}
	default:
		r.budget.spend(costRefused, now)
		g.putOffs++
		g.due = now + min(time.Second<<min(g.putOffs, 7), putOffMax)
		if g.family.accepted == g.seen {
			r.unsend()
			return
		}
	}
	r.flight, r.putOffs = nil, 0
	parts := r.eighths(f.wishes)
	var all []*wish
	for _, part := range parts {
		next := &group{family: g.family, suspect: true, putOffs: g.putOffs + 1, due: g.due, seen: g.family.accepted}
		all = append(all, inGroup(part, next)...)
	}
	r.giveBack(all)
}

// putOffApart reports whether parts of a patch that was put off travel apart, and
// the hub has taken none of them.
func (r *Reported) putOffApart() bool {
	return slices.ContainsFunc(r.wishes, func(w *wish) bool {
		return w.group != nil && w.group.putOffs > 0 && w.group.family.accepted == 0
	})
}

// suspect divides wishes into groups that are sent one after the other: an
// eighth each, so that a property at which the hub hangs up costs few
// connections to find. A single property waits.
func (r *Reported) suspect(wishes []*wish, g *group, now time.Duration) []*wish {
	parts := r.eighths(wishes)
	var all []*wish
	for _, part := range parts {
		next := &group{family: g.family, suspect: true}
		if len(parts) == 1 {
			next.tries = g.tries + 1
			next.due = now + suspectDelay(g.tries)
			next.early = g.early
		}
		all = append(all, inGroup(part, next)...)
	}
	return all
}

// eighths divides wishes into up to eight parts.
func (r *Reported) eighths(wishes []*wish) [][]*wish {
	parts := [][]*wish{wishes}
	for range 3 {
		var finer [][]*wish
		for _, part := range parts {
			finer = append(finer, r.halves(part)...)
		}
		parts = finer
	}
	return parts
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

// refill gives back what the time since has earned. Inlined, it would cost a device program 1 KB.
//
//go:noinline
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

// A pace says which plain wishes go without regard to the budget.
type pace int

const (
	paceFree   pace = iota // all
	paceStrict             // what the hub has taken before
	paceHeld               // none
)

// after is the pace after a plain flight that the hub took.
func (p pace) after(f *flight) pace {
	if f.proven {
		return min(p, paceStrict)
	}
	return paceFree
}

// worse is the pace after a plain flight that failed.
func (p pace) worse(f *flight) pace {
	if f.proven {
		return paceHeld
	}
	return max(p, paceStrict)
}

// allowed is from when on the budget lets a kind go. Plain wishes wait for it
// only while they fail themselves, and then no longer than two minutes.
func (r *Reported) allowed(k kind, now time.Duration) time.Duration {
	switch {
	case k == plainKind && (r.pace == paceFree || r.pace == paceStrict && r.proven() != nil):
		return 0
	case k == plainKind:
		held := maxHeld
		if at, ok := r.ready(apartKind); ok && at <= now {
			held *= 2 // so that what is apart gets its turn
		}
		return min(r.budget.free(now), r.plainAt+held)
	case k == guardKind && !r.guarded:
		return 0
	}
	return r.budget.free(now)
}

// maxHeld bounds the wait of plain wishes for the budget, so that what the hub
// would take is not held up for long by what it does not.
const maxHeld = 2 * time.Minute

// proven is what plain wishes name that the hub has taken before.
func (r *Reported) proven() *tree.Node {
	var plain []*wish
	for _, w := range r.wishes {
		if w.plain() {
			plain = append(plain, w)
		}
	}
	names := allNames(plain)
	if names == nil {
		return nil
	}
	proven, _ := tree.Partition(names, rootOf(r.acked), nil, isThere)
	return proven
}
