package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// This file is the way out of Reported: what the next patch is, and what the
// hub's answer to it means. The way in is reported.go.

// pending reports whether there is anything to send.
func (r *Reported) pending() bool {
	return len(r.guarded) > 0 || len(r.solo) > 0 || len(r.wishes) > 0 || !tree.IsEmpty(r.named) || !tree.Equal(tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted))
}

// Next hands out the merge patch to send now, and counts it as in flight; false when
// there is nothing to send, or when something is in flight or unknown.
func (r *Reported) Next() (twin.Patch, bool) {
	if !r.known || r.suspect || r.flight != nil {
		return twin.Patch{}, false
	}
	r.failUnresolvable()
	if !r.pending() {
		return twin.Patch{}, false
	}
	r.flight = r.board()
	return patchOf(r.flight.patch), true
}

// failUnresolvable fails the guarded patches whose turn it is, that replace
// something, and that demand a version of which it is not known what the hub
// has there.
func (r *Reported) failUnresolvable() {
	for len(r.guarded) > 0 {
		g := r.guarded[0]
		if g.version == r.acked.Version() || tree.Replaced(g.patch) == nil {
			return
		}
		r.guarded = r.guarded[1:]
		r.settle(g.ticket, 0, twin.ErrStale)
	}
}

// Demand is the version that the patch in flight demands, 0 for none.
func (r *Reported) Demand() int64 {
	if r.flight == nil || r.flight.guard == nil {
		return 0
	}
	return r.flight.guard.version
}

// board makes the next flight: a part of a refused patch alone, or everything.
// A caller who reported nothing at all, or nothing that can be said, gets the
// empty patch sent, and so the hub's word and a version.
func (r *Reported) board() *flight {
	if len(r.guarded) > 0 {
		g := r.guarded[0]
		r.guarded = r.guarded[1:]
		patch := tree.Resolve(g.patch, rootOf(r.acked))
		return &flight{patch: patch, wishes: []wish{{g.ticket, patch}}, solo: true, guard: &g}
	}
	diff := tree.Diff(tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted))
	if len(r.solo) > 0 {
		w := r.solo[0]
		r.solo = r.solo[1:]
		part := r.name(restrict(diff, w.names), w.names)
		return &flight{patch: enter(tree.OrEmpty(part), tree.OrEmpty(r.wanted)), wishes: []wish{w}, solo: true}
	}
	f := &flight{wishes: r.wishes, upto: r.taken}
	rest := tree.Overlay(diff, r.named) // what no waiting caller named
	patch := r.name(diff, r.named)
	for _, w := range f.wishes {
		patch = r.name(patch, w.names)
		rest = uncovered(rest, w.names)
	}
	f.patch = enter(tree.OrEmpty(patch), tree.OrEmpty(r.wanted))
	if !tree.IsEmpty(rest) {
		f.wishes = append(f.wishes, wish{0, rest})
	}
	r.wishes, r.named = nil, nil
	return f
}

// name lays over a patch what was named, with the values that are wanted now:
// the whole value where a value was named, null where it is to be gone.
func (r *Reported) name(patch, names *tree.Node) *tree.Node {
	if names == nil {
		return patch
	}
	wanted := tree.OrEmpty(r.wanted)
	for _, m := range names.Members {
		v := nameOne(patch.Get(m.Key), m.Value, rootOf(r.acked).Get(m.Key), wanted.Get(m.Key))
		if v == nil {
			v = tree.NewNull() // at the root, deleting what isn't there is safe
		}
		patch = tree.OrEmpty(patch).With(m.Key, v)
	}
	return patch
}

// nameOne gives the patch's value for one named member; nil for none. Below
// the root, a deletion goes out only where the hub has what it deletes: hubs
// have been seen to empty the parent otherwise.
func nameOne(patch, name, acked, wanted *tree.Node) *tree.Node {
	switch {
	case wanted == nil && acked == nil:
		return nil
	case wanted == nil:
		return tree.NewNull()
	case name.Kind != tree.Object || wanted.Kind != tree.Object:
		return tree.Overlay(patch, wanted)
	}
	patch = tree.OrEmpty(patch)
	for _, m := range name.Members {
		if v := nameOne(patch.Get(m.Key), m.Value, acked.Get(m.Key), wanted.Get(m.Key)); v != nil {
			patch = patch.With(m.Key, v)
		}
	}
	return patch
}

// restrict keeps of a patch what names cover.
func restrict(patch, names *tree.Node) *tree.Node {
	if patch == nil || patch.Kind != tree.Object || names.Kind != tree.Object {
		return patch
	}
	kept := tree.NewObject()
	for _, m := range names.Members {
		if p := patch.Get(m.Key); p != nil {
			kept = kept.With(m.Key, restrict(p, m.Value))
		}
	}
	return kept
}

// uncovered is what of a patch names do not cover.
func uncovered(patch, names *tree.Node) *tree.Node {
	if patch == nil || patch.Kind != tree.Object {
		return patch
	}
	rest := patch
	for _, m := range names.Members {
		p := patch.Get(m.Key)
		switch {
		case p == nil, m.Value.Kind == tree.Object && p.Kind == tree.Object && (tree.IsEmpty(m.Value) != tree.IsEmpty(p)):
		case m.Value.Kind == tree.Object && p.Kind == tree.Object:
			rest = rest.With(m.Key, noneIfEmpty(uncovered(p, m.Value)))
		default:
			rest = rest.With(m.Key, nil)
		}
	}
	return rest
}

func noneIfEmpty(patch *tree.Node) *tree.Node {
	if tree.IsEmpty(patch) {
		return nil
	}
	return patch
}

// enter adds the marker of every component that the patch enters.
func enter(patch, wanted *tree.Node) *tree.Node {
	if patch.Kind != tree.Object || wanted == nil || wanted.Kind != tree.Object {
		return patch
	}
	for _, m := range patch.Members {
		if v := enter(m.Value, wanted.Get(m.Key)); v != m.Value {
			patch = patch.With(m.Key, v)
		}
	}
	if marker := wanted.Get(tree.ComponentMarker); marker != nil && patch.Get(tree.ComponentMarker) == nil {
		patch = patch.With(tree.ComponentMarker, marker)
	}
	return patch
}

// Acked takes the hub's word that it applied the patch in flight, with the
// version after it, 0 for none. Gap says that the version is not the next one:
// somebody else wrote, or an older patch arrived late. A GET is owed.
func (r *Reported) Acked(version int64) Outcome {
	f := r.flight
	if f == nil {
		return Duplicate
	}
	r.flight = nil
	if !f.solo {
		r.covered = f.upto
	}
	follows := version == r.acked.Version()+1
	r.acked = propertiesOf(tree.Apply(rootOf(r.acked), f.patch), version)
	r.honour(f)
	for _, w := range f.wishes {
		if version == 0 {
			r.awaiting = append(r.awaiting, w.ticket)
			continue
		}
		r.settle(w.ticket, version, nil)
	}
	if follows {
		r.blind = nil
		return Applied
	}
	// A hub that tells no version, and reads back something else, would be
	// sent the same patch for ever: the second time it has its way.
	r.vain = version == 0 && r.blind != nil && tree.Equal(r.blind, f.patch)
	r.blind = nil
	if version == 0 {
		r.blind = f.patch
	}
	r.suspect = true
	return Gap
}

// honour makes a guarded patch that the hub has a part of what is wanted.
func (r *Reported) honour(f *flight) {
	if f.guard != nil {
		since := r.name(nil, f.guard.since) // with the values wanted now
		r.wanted = tree.Apply(r.wanted, f.guard.patch)
		r.mended = append(r.mended, patchOf(f.guard.patch))
		if !tree.IsEmpty(since) {
			r.wanted = tree.Apply(r.wanted, since)
			r.mended = append(r.mended, patchOf(since))
		}
	}
}

// Retry says that the hub did not apply the patch in flight and may be asked
// again, as after 429: it goes back to what is wanted.
func (r *Reported) Retry() {
	if f := r.flight; f != nil && f.guard != nil && r.open[f.guard.ticket] != nil {
		r.flight = nil // the hub has not judged the version
		r.guarded = append([]guarded{*f.guard}, r.guarded...)
	} else if f != nil {
		r.unsend()
	}
}

// unsend takes the patch in flight back.
func (r *Reported) unsend() {
	f := r.flight
	r.flight = nil
	switch {
	case f.guard != nil && r.open[f.guard.ticket] == nil:
		return // nobody waits: it is dropped
	case f.guard != nil && r.acked.Version() != f.guard.version:
		r.settle(f.guard.ticket, 0, twin.ErrStale)
		return
	case f.guard != nil:
		r.guarded = append([]guarded{*f.guard}, r.guarded...)
		return
	case f.solo:
		r.solo = append(f.wishes, r.solo...)
		return
	}
	var waiting []wish
	for _, w := range f.wishes {
		if w.ticket == 0 || r.open[w.ticket] == nil {
			// What was named since stands above what was named before.
			r.named = tree.Overlay(w.names, r.named)
			continue
		}
		waiting = append(waiting, w)
	}
	r.wishes = append(waiting, r.wishes...)
}

// Refused says that the hub refuses the patch in flight for good. It is taken
// apart, by caller and then by top-level key, until the refused part stands
// alone: that part goes back to what the hub has, and fails its caller.
func (r *Reported) Refused(err error) {
	f := r.flight
	if f == nil {
		return
	}
	r.flight = nil
	if f.guard != nil {
		r.settle(f.guard.ticket, 0, err)
		return
	}
	if len(f.wishes) > 1 {
		r.solo = append(r.solo, f.wishes...)
		return
	}
	w := f.wishes[0]
	if keys := tree.OrEmpty(w.names).Members; len(keys) > 1 {
		r.split(w.ticket, len(keys))
		parts := make([]wish, len(keys))
		for i, m := range keys {
			parts[i] = wish{w.ticket, tree.NewObject(m)}
		}
		r.solo = append(parts, r.solo...)
		return
	}
	before := r.wanted
	r.wanted = giveUp(tree.OrEmpty(before), f.patch, tree.OrEmpty(rootOf(r.acked)))
	r.settle(w.ticket, 0, err)
	if r.wanted != before {
		gone := tree.Diff(tree.OrEmpty(before), r.wanted) // what was said since stays
		r.mended = append(r.mended, patchOf(gone))
		r.solo = r.failNaming(r.solo, gone, err)
		r.wishes = r.failNaming(r.wishes, gone, err)
		r.named = uncovered(r.named, gone)
	}
}

// failNaming fails all who named what was given up; what else they named goes
// on.
func (r *Reported) failNaming(wishes []wish, refused *tree.Node, err error) []wish {
	kept := wishes[:0]
	for _, w := range wishes {
		rest := uncovered(w.names, refused)
		if rest != w.names && tree.IsEmpty(rest) {
			r.settle(w.ticket, 0, err)
			continue
		}
		if open := r.open[w.ticket]; rest != w.names && open != nil && open.err == nil {
			open.err = err
		}
		kept = append(kept, wish{w.ticket, rest})
	}
	clear(wishes[len(kept):])
	return kept
}

// giveUp takes a refused patch out of what is wanted: each leaf that still has
// the refused value goes back to the hub's.
func giveUp(wanted, refused, acked *tree.Node) *tree.Node {
	for _, m := range refused.Members {
		w, a := wanted.Get(m.Key), acked.Get(m.Key)
		switch {
		case m.Value.Kind == tree.Object && w != nil && w.Kind == tree.Object && a != nil && a.Kind == tree.Object:
			wanted = wanted.With(m.Key, giveUp(w, m.Value, a))
		case m.Value.Kind == tree.Null && w == nil, w != nil && tree.Equal(w, tree.Settled(m.Value)):
			wanted = wanted.With(m.Key, a)
		case m.Value.Kind == tree.Object && w != nil && w.Kind == tree.Object:
			if rest := giveUp(w, m.Value, tree.NewObject()); len(rest.Members) > 0 {
				wanted = wanted.With(m.Key, rest)
			} else {
				wanted = wanted.With(m.Key, a)
			}
		}
	}
	return wanted
}
