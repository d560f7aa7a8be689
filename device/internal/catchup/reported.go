package catchup

import (
	"fmt"
	"slices"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A Ticket names a caller that waits for its report; 0 is nobody.
type Ticket uint64

// A Settlement tells a waiting caller what became of its report.
type Settlement struct {
	Ticket Ticket
	// Version is the one of the reported properties with the report in it; 0
	// with an error.
	Version int64
	// Err is the hub's refusal, nil when the hub has the report.
	Err error
}

// Reported is the machine of the reported half. The zero value is ready. It
// does no I/O and has no clock; its driver (package device) tells it what
// callers want and what the hub answers, sends what Next hands out, owes a GET
// when it answers Gap, and passes on what Settled returns. It is not safe for
// concurrent use.
//
// It knows two states and no queue: acked is what the hub has, wanted is what
// callers said. At most one patch is in flight, the difference of the two with
// all that callers named since. So what piles up while the hub is away or
// throttles goes out as one patch, and a patch whose fate is unknown is decided
// by the version that a GET shows.
type Reported struct {
	acked  twin.Properties
	known  bool
	wanted *tree.Node
	based  bool   // wanted stands on what the hub had, now or before a restart
	early  []wish // without a base: patches in the order they came

	guarded []guarded  // patches that demand a version; each travels alone
	wishes  []wish     // of waiting callers, not yet in flight
	named   *tree.Node // what others named since, as a patch
	solo    []wish     // parts of a refused patch, to be sent one by one

	taken    uint64 // reports so far
	covered  uint64 // of these, how many the hub has or refused
	mended   []twin.Patch
	flight   *flight
	suspect  bool       // acked is a guess until the next GET
	blind    *tree.Node // the last patch that was acknowledged without a version
	vain     bool       // and it was the same as the one before
	awaiting []Ticket
	open     map[Ticket]*ticket
	last     Ticket
	settled  []Settlement
}

// A wish is what one caller, or nobody in particular, named in one patch.
type wish struct {
	ticket Ticket
	names  *tree.Node
}

// A guarded patch is applied only at the version that it demands. It is no
// part of what is wanted before the hub has it.
type guarded struct {
	ticket  Ticket
	patch   *tree.Node
	version int64
	since   *tree.Node // what was named after it, and so stands above it
}

// A ticket is open until its last piece is settled.
type ticket struct {
	pieces int
	err    error
}

// A flight is the patch on its way to the hub, or of unknown fate.
type flight struct {
	patch  *tree.Node
	wishes []wish
	solo   bool
	guard  *guarded // then it is the only one in it
	upto   uint64   // the reports in it and before it
}

// Known reports whether the hub's state is known, from a first GET.
func (r *Reported) Known() bool { return r.known }

// Confirmed is what the hub has, as far as is known.
func (r *Reported) Confirmed() twin.Properties { return r.acked }

// Wanted is what callers said, laid over what the hub had.
func (r *Reported) Wanted() twin.Properties { return propertiesOf(r.wanted, r.acked.Version()) }

// InFlight reports whether a patch is on its way, or of unknown fate.
func (r *Reported) InFlight() bool { return r.flight != nil }

// Idle reports whether the hub has everything that callers want.
func (r *Reported) Idle() bool {
	return r.known && r.flight == nil && !r.pending()
}

// Based reports whether the whole half is known, from a GET now or before a
// restart.
func (r *Reported) Based() bool { return r.based }

// Outstanding reports whether something was said that the hub is not known to
// have.
func (r *Reported) Outstanding() bool {
	if !r.known && !r.based {
		return len(r.early) > 0 || len(r.guarded) > 0
	}
	return !r.Idle()
}

// Want takes a report whose caller waits: its fate comes out of Settled. A
// patch that breaks a limit is refused whole, and changes nothing.
func (r *Reported) Want(p twin.Patch) (Ticket, error) {
	if err := r.check(p); err != nil {
		return 0, err
	}
	t := r.issue()
	r.taken++
	r.take(wish{t, tree.OrEmpty(rootOf(p))})
	return t, nil
}

// WantIf takes a report that the hub is to apply only if the reported
// properties are at the version given, 1 or more. It travels alone and as it
// is, what it replaces resolved by what the hub has at that version; where the
// hub is at another version, its caller fails with an error that the driver
// gives to Refused, or with ErrStale, and nothing has changed.
func (r *Reported) WantIf(p twin.Patch, version int64) (Ticket, error) {
	if version < 1 {
		return 0, fmt.Errorf("%w: version %d; a hub's versions begin with 1", twin.ErrInvalid, version)
	}
	if err := r.check(p); err != nil {
		return 0, err
	}
	t := r.issue()
	r.guarded = append(r.guarded, guarded{ticket: t, patch: tree.OrEmpty(rootOf(p)), version: version})
	return t, nil
}

// issue opens a ticket.
func (r *Reported) issue() Ticket {
	r.last++
	if r.open == nil {
		r.open = map[Ticket]*ticket{}
	}
	r.open[r.last] = &ticket{pieces: 1}
	return r.last
}

// WantLater takes a report whose caller doesn't wait.
func (r *Reported) WantLater(p twin.Patch) error {
	if err := r.check(p); err != nil {
		return err
	}
	r.taken++
	r.take(wish{0, tree.OrEmpty(rootOf(p))})
	return nil
}

func (r *Reported) check(p twin.Patch) error {
	return twin.Validate(propertiesOf(r.wanted, 0), p)
}

func (r *Reported) take(w wish) {
	before := r.wanted
	r.wanted = tree.Apply(before, w.names)
	for i := range r.guarded {
		r.guarded[i].follow(w.names)
	}
	if r.flight != nil && r.flight.guard != nil {
		r.flight.guard.follow(w.names)
	}
	if !r.based {
		r.early = appendEarly(r.early, w) // what it replaces, the first GET tells
		return
	}
	w.names = r.resolved(w.names, before)
	if w.ticket == 0 {
		r.named = r.nameAnonymous(w.names)
		return
	}
	r.wishes = append(r.wishes, w)
}

// resolved is a patch whose whole objects name, as null, what else stands there,
// at the hub or in what was wanted before: so both deletions are the caller's.
// What comes to stand there later, the difference of the two states deletes.
func (r *Reported) resolved(names, before *tree.Node) *tree.Node {
	atHub := tree.Resolve(names, rootOf(r.acked))
	if atHub == names {
		return names // nothing in it is whole
	}
	return tree.Overlay(atHub, tree.Resolve(names, before))
}

// follow notes what was named after a guarded patch: what is whole in it will
// replace what that patch brings, too.
func (g *guarded) follow(names *tree.Node) {
	g.since = tree.Resolve(tree.Compose(g.since, names), g.patch)
}

// nameAnonymous adds to what nobody waits for. A deletion of what neither side
// has is dropped, so that the names stay within the document's bounds.
func (r *Reported) nameAnonymous(names *tree.Node) *tree.Node {
	return dropVain(tree.Overlay(r.named, names), rootOf(r.acked), r.wanted)
}

func dropVain(names, acked, wanted *tree.Node) *tree.Node {
	if names == nil || names.Kind != tree.Object {
		return names
	}
	kept := names
	for _, m := range names.Members {
		a, w := acked.Get(m.Key), wanted.Get(m.Key)
		switch {
		case a == nil && w == nil:
			kept = kept.With(m.Key, nil)
		case m.Value.Kind == tree.Object:
			kept = kept.With(m.Key, dropVain(m.Value, a, w))
		}
	}
	return kept
}

// Forget says that the caller stopped waiting. What it reported stays wanted,
// except with a precondition: that is dropped, if it is not in flight.
func (r *Reported) Forget(t Ticket) {
	delete(r.open, t)
	r.guarded = slices.DeleteFunc(r.guarded, func(g guarded) bool { return g.ticket == t })
	kept := r.wishes[:0]
	for _, w := range r.wishes {
		if w.ticket == t {
			r.named = r.nameAnonymous(w.names)
			continue
		}
		kept = append(kept, w)
	}
	clear(r.wishes[len(kept):])
	r.wishes = kept
	for i := range r.early {
		if r.early[i].ticket == t {
			early := r.early
			early[i].ticket, r.early = 0, nil
			for _, w := range early { // laid together where they compose now
				r.early = appendEarly(r.early, w)
			}
			return
		}
	}
}

// Settled returns what became known of waiting callers since the last call.
func (r *Reported) Settled() []Settlement {
	s := r.settled
	r.settled = nil
	return s
}

// settle ends one piece of a ticket.
func (r *Reported) settle(t Ticket, version int64, err error) {
	open := r.open[t]
	if open == nil {
		return
	}
	if open.err == nil {
		open.err = err
	}
	if open.pieces--; open.pieces > 0 {
		return
	}
	delete(r.open, t)
	if open.err != nil {
		version = 0
	}
	r.settled = append(r.settled, Settlement{t, version, open.err})
}

// split turns one piece of a ticket into n.
func (r *Reported) split(t Ticket, n int) {
	if open := r.open[t]; open != nil {
		open.pieces += n - 1
	}
}
