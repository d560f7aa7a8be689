package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// This file is what of the two machines outlives the process: their driver
// writes it down, and gives it back after a restart. Deciding by content is
// safe then, since a patch that is sent twice does no harm. The version says
// only whether the hub has moved on since.

// A Snapshot is what of Reported outlives the process.
type Snapshot struct {
	// Wanted is what callers said, laid over what the hub had. It means
	// nothing without Based.
	Wanted twin.Properties
	// Based says that there was a GET, so that Wanted is the whole half.
	Based bool
	// Version is the hub's at the time, 0 if unknown.
	Version int64
	// Unsent is what was named and is not known to be at the hub, in order.
	Unsent []twin.Patch
}

// Snapshot is what outlives the process, as it is now.
func (r *Reported) Snapshot() Snapshot {
	s := Snapshot{Based: r.based, Version: r.Version()}
	if r.based {
		s.Wanted = propertiesOf(r.wanted, 0)
	}
	var names *tree.Node
	for _, w := range r.underway() {
		if w.guard == nil {
			names = compose(names, w.names)
		}
	}
	if !tree.IsEmpty(names) || names != nil && names.Whole {
		s.Unsent = []twin.Patch{patchOf(names)}
	}
	return s
}

// Version is the hub's version of the reported half as far as is known, before
// the first GET the one of the restored state.
func (r *Reported) Version() int64 {
	if r.known {
		return r.acked.Version()
	}
	return r.image
}

// Restore gives a machine that is new what a Snapshot held. Redo follows for
// each report since.
func (r *Reported) Restore(s Snapshot) {
	r.based, r.wanted, r.image = s.Based, rootOf(s.Wanted), s.Version
	for _, p := range s.Unsent {
		w := &wish{names: tree.OrEmpty(rootOf(p))}
		if !r.based {
			r.wanted = tree.Apply(r.wanted, w.names)
		}
		r.absorb(w)
	}
}

// Redo takes a report, or what Mended returned, from before a restart. covered
// says that the hub was known to have it: it is wanted, but need not be named
// again. version is the one that the hub was known to have then.
func (r *Reported) Redo(p twin.Patch, covered bool, version int64) {
	r.image = max(r.image, version)
	if r.based && covered {
		r.wanted = tree.Apply(r.wanted, rootOf(p))
		return
	}
	r.want(&wish{names: tree.OrEmpty(rootOf(p))})
}

// Taken counts the reports that Want and WantLater took.
func (r *Reported) Taken() uint64 { return r.taken }

// Covered is how many of the first reports the hub is known to have, or to have
// refused: these need not be kept for a restart.
func (r *Reported) Covered() uint64 {
	covered := r.taken
	for _, w := range r.underway() {
		switch {
		case w.guard != nil:
		case w.first == 0:
			return 0
		default:
			covered = min(covered, w.first-1)
		}
	}
	return covered
}

// Mended returns the changes that refusals, guarded reports, and a hub that
// reads back something else, made to what is wanted since the last call.
func (r *Reported) Mended() []twin.Patch {
	m := r.mended
	r.mended = nil
	return m
}

// Heard is what a durable listener heard last.
type Heard struct {
	Version int64
	Value   twin.Value
}

// Recall gives a listener that was registered as durable what it heard before
// a restart: at the start it hears only what changed since.
func (d *Desired) Recall(id ListenerID, h Heard) {
	if s := d.routes.byID[id]; s != nil && !s.told {
		s.told, s.seen, s.ackedAt, s.recalled = true, rootOf(h.Value), h.Version, true
	}
}
