package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// This file is what of the two machines outlives the process: their driver
// writes it down, and gives it back after a restart. Versions need not be
// kept: a GET tells them, and deciding by content is safe, for a patch that is
// sent twice does no harm.

// A Snapshot is what of Reported outlives the process.
type Snapshot struct {
	// Wanted is what callers said, laid over what the hub had. It means
	// nothing without Based.
	Wanted twin.Properties
	// Based says that there was a GET, so that Wanted is the whole half.
	Based bool
	// Unsent is what was named and is not known to be at the hub, in the order
	// that it was: one merge patch where there is a base, and before that any
	// number, which may replace.
	Unsent []twin.Patch
}

// Snapshot is what outlives the process, as it stands now.
func (r *Reported) Snapshot() Snapshot {
	s := Snapshot{Based: r.based}
	for _, w := range r.early {
		s.Unsent = append(s.Unsent, patchOf(w.names))
	}
	if !r.based {
		return s
	}
	s.Wanted = propertiesOf(r.wanted, 0)
	names := r.named
	if r.flight != nil && r.flight.guard == nil {
		for _, w := range r.flight.wishes {
			names = tree.Overlay(w.names, names)
		}
	}
	for _, w := range r.solo {
		names = tree.Overlay(names, w.names)
	}
	for _, w := range r.wishes {
		names = tree.Overlay(names, w.names)
	}
	if !tree.IsEmpty(names) {
		s.Unsent = append(s.Unsent, patchOf(names))
	}
	return s
}

// Restore gives a machine that is new what a Snapshot told. Redo follows for
// each report since.
func (r *Reported) Restore(s Snapshot) {
	r.based, r.wanted = s.Based, rootOf(s.Wanted)
	for _, p := range s.Unsent {
		if r.based {
			r.named = tree.Overlay(r.named, tree.Merging(rootOf(p)))
			continue
		}
		r.take(wish{0, tree.OrEmpty(rootOf(p))})
	}
}

// Redo takes a report, or what Mended told, from before a restart. Covered says
// that the hub was known to have it: it is wanted, but need not be named again.
func (r *Reported) Redo(p twin.Patch, covered bool) {
	if r.based && covered {
		r.wanted = tree.Apply(r.wanted, rootOf(p))
		return
	}
	r.take(wish{0, tree.OrEmpty(rootOf(p))})
}

// Taken counts the reports that Want and WantLater took, and Covered how many
// of the first of them the hub is known to have, or to have refused: these
// need not be kept for a restart.
func (r *Reported) Taken() uint64 { return r.taken }

// Covered is told with Taken.
func (r *Reported) Covered() uint64 {
	if r.Idle() {
		return r.taken
	}
	return r.covered
}

// Mended returns the changes that refusals, and a hub that reads back
// something else, made to what is wanted since the last call.
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

// Recall tells a listener that was registered as durable what it heard before
// a restart: at the start it is told only what changed since.
func (d *Desired) Recall(id ListenerID, h Heard) {
	if s := d.routes.byID[id]; s != nil && !s.told {
		s.told, s.seen, s.ackedAt, s.recalled = true, rootOf(h.Value), h.Version, true
	}
}
