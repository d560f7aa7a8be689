package catchup

import (
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// This file is the way out of Reported: what the next patch is.

// A kind of wish gets its turn among the others.
type kind int

const (
	guardKind kind = iota // with a precondition
	plainKind             // everything that may travel together
	apartKind             // a group of a patch that failed
	kinds
)

// Next returns the merge patch to send now, and counts it as in flight. It
// returns false when there is nothing to send, or when something is in flight
// or unknown. now is the driver's clock.
func (r *Reported) Next(now time.Duration) (twin.Patch, bool) {
	r.now = now
	if !r.mayFly() {
		return twin.Patch{}, false
	}
	if r.known {
		r.conclude()
	}
	for i := range kinds {
		k := (r.turn + i) % kinds
		at, ok := r.ready(k)
		if !ok || now < max(at, r.allowed(k, now)) {
			continue
		}
		if r.board(k, now); r.flight != nil {
			r.turn = k + 1 // the others come before it now
			return patchOf(r.flight.patch), true
		}
	}
	return twin.Patch{}, false
}

// Demand is the version that the patch in flight demands, 0 for none.
func (r *Reported) Demand() int64 {
	if r.flight == nil || r.flight.guard() == nil {
		return 0
	}
	return r.flight.guard().guard.version
}

// ready reports whether there is something of a kind to send, and from when on.
func (r *Reported) ready(k kind) (time.Duration, bool) {
	due, any := never, false
	for _, w := range r.wishes {
		switch {
		case !r.mayBoard(w):
		case k == plainKind && w.plain():
			return 0, true
		case k == guardKind && w.guard != nil:
			due, any = min(due, w.guard.due), true
		case k == apartKind && w.group != nil && w.group.refused == nil:
			due, any = min(due, w.group.due), true
		}
	}
	if k == plainKind && r.known && !tree.IsEmpty(r.unnamed(nil)) {
		return 0, true
	}
	return due, any
}

// mayBoard reports whether a wish, or a part of it, may go now. Before the first
// GET only values go: what a deletion or a replacement has to send depends on
// what the hub has.
func (r *Reported) mayBoard(w *wish) bool {
	switch {
	case r.known:
		return true
	case w.guard != nil:
		return false
	}
	values, rest := tree.Partition(w.names, nil, r.wanted, isValue)
	return values != nil && (w.plain() || rest == nil)
}

func isValue(leaf, _, wanted *tree.Node) bool {
	return leaf.Kind != tree.Null && !leaf.Whole && wanted != nil
}

// board puts the next wishes of a kind in flight.
func (r *Reported) board(k kind, now time.Duration) {
	switch k {
	case guardKind:
		r.boardGuard(now)
	case apartKind:
		r.boardGroup(now)
	default:
		r.boardPlain(now)
	}
}

func (r *Reported) boardGuard(now time.Duration) {
	for _, w := range r.wishes {
		if w.guard == nil || now < w.guard.due {
			continue
		}
		r.remove(w)
		if w.guard.version != r.acked.Version() && tree.Replaced(w.names) != nil {
			// It is not known what the hub has at that version.
			r.settle(w, 0, ErrStale)
			r.boardGuard(now)
			return
		}
		r.fly(w.names, tree.Apply(rootOf(r.acked), w.names), w)
		return
	}
}

func (r *Reported) boardGroup(now time.Duration) {
	var first *group
	for _, w := range r.wishes {
		if g := w.group; g != nil && g.refused == nil && now >= g.due && r.mayBoard(w) && (first == nil || g.before(first)) {
			first = g
		}
	}
	if first == nil {
		return
	}
	var aboard []*wish
	r.wishes = slices.DeleteFunc(r.wishes, func(w *wish) bool {
		if w.group != first || !r.mayBoard(w) {
			return false
		}
		aboard = append(aboard, w)
		return true
	})
	r.fly(allNames(aboard), r.wanted, aboard...)
}

// compose is tree.Compose, which takes nothing as the first patch.
func compose(a, b *tree.Node) *tree.Node {
	if a == nil {
		return b
	}
	return tree.Compose(a, b)
}

// boardPlain takes all plain wishes, and what else differs, as far as one patch
// may carry. While plain patches fail, it takes first what the hub has taken
// before. Before the first GET it takes values only.
func (r *Reported) boardPlain(now time.Duration) {
	var aboard []*wish
	for _, w := range r.wishes {
		if w.plain() {
			aboard = append(aboard, w)
		}
	}
	names := allNames(aboard)
	proven := r.pace == paceStrict && now < min(r.budget.free(now), r.plainAt+maxHeld)
	some := proven || !r.known
	if some {
		which := isThere
		if !r.known {
			which = isValue
		}
		first, rest := tree.Partition(names, rootOf(r.acked), r.wanted, which)
		parts := divide(aboard, first, rest)
		r.remove(aboard...)
		r.wishes = append(r.wishes, parts[1]...)
		names, aboard = first, parts[0]
	}
	if !proven {
		r.plainAt = now
	}
	var rest *tree.Node
	if !some {
		rest = r.unnamed(names)
	}
	if outgoing(names, rootOf(r.acked), r.wanted, true).Wire()+tree.OrEmpty(rest).Wire() > maxReport {
		var fits []*wish
		names, fits = r.fitting(aboard)
		if some {
			r.wishes = append(r.wishes, except(aboard, fits)...)
		}
		aboard = fits
		rest = fit(rest, maxReport-outgoing(names, rootOf(r.acked), r.wanted, true).Wire())
	}
	r.remove(aboard...)
	if !tree.IsEmpty(rest) {
		aboard = append(aboard, &wish{names: rest})
		names = compose(names, rest)
	}
	if len(aboard) > 0 {
		r.fly(names, r.wanted, aboard...)
		r.flight.proven = proven
	}
}

func isThere(_, acked, _ *tree.Node) bool { return acked != nil }

func except(wishes, but []*wish) []*wish {
	return slices.DeleteFunc(slices.Clone(wishes), func(w *wish) bool { return slices.Contains(but, w) })
}

// unnamed is what differs between the hub and what is wanted beside what names
// and the groups apart cover.
func (r *Reported) unnamed(names *tree.Node) *tree.Node {
	rest := tree.Diff(tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted))
	if rest == nil {
		return nil
	}
	_, rest = tree.Split(rest, names)
	var groups []*wish
	for _, w := range r.wishes {
		if w.group != nil {
			groups = append(groups, w)
		}
	}
	_, rest = tree.Split(rest, allNames(groups))
	return rest
}

// fitting is the first plain wishes, as many as one patch carries: at least
// one, which is taken apart where it must be.
func (r *Reported) fitting(plain []*wish) (names *tree.Node, aboard []*wish) {
	size := func(names *tree.Node) int { return outgoing(names, rootOf(r.acked), r.wanted, true).Wire() }
	for i, w := range plain {
		all := compose(names, w.names)
		if size(all) <= maxReport {
			names, aboard = all, append(aboard, w)
			continue
		}
		if i > 0 {
			return names, aboard
		}
		some := w.names
		for size(some) > maxReport {
			half, rest := tree.Halves(some)
			if rest == nil {
				break // one value, which was let in
			}
			some = half
		}
		covered, rest := tree.Split(w.names, some)
		if rest == nil {
			return w.names, []*wish{w}
		}
		p := w.part(covered)
		w.names = rest
		return covered, []*wish{p}
	}
	return names, aboard
}

// fit is the first part of a patch that has at most size bytes.
func fit(patch *tree.Node, size int) *tree.Node {
	for patch != nil && patch.Wire() > size {
		half, rest := tree.Halves(patch)
		if rest == nil {
			return nil
		}
		patch = half
	}
	return patch
}

// remove takes wishes out of the list.
func (r *Reported) remove(wishes ...*wish) {
	r.wishes = slices.DeleteFunc(r.wishes, func(w *wish) bool { return slices.Contains(wishes, w) })
}

// fly makes a patch of what was named: every report leaves by here.
func (r *Reported) fly(names, target *tree.Node, wishes ...*wish) {
	acked := rootOf(r.acked)
	patch := enter(tree.OrEmpty(outgoing(names, acked, target, true)), tree.OrEmpty(target))
	if wishes[0].guard == nil {
		wishes = append(wishes, r.along(names, wishes[0].group)...)
	}
	r.flight = &flight{names: names, patch: patch, wishes: wishes}
}

// along takes what other wishes named of the same properties: it is in the patch.
func (r *Reported) along(names *tree.Node, g *group) (along []*wish) {
	for _, w := range r.wishes {
		if w.guard != nil {
			continue
		}
		covered, rest := tree.Split(w.names, names)
		if covered == nil {
			continue
		}
		p := w.part(covered)
		p.group = g
		along = append(along, p)
		w.names = rest
		if rest == nil {
			w.detachAll()
		}
	}
	r.wishes = slices.DeleteFunc(r.wishes, func(w *wish) bool { return w.names == nil })
	return along
}

// outgoing is the merge patch that brings acked to target where names name it.
// A named value goes out whole though the hub has it, so that the hub
// acknowledges it. Below the root, a deletion goes out only where the hub has
// what it deletes: hubs have been seen to empty the parent otherwise.
func outgoing(names, acked, target *tree.Node, root bool) *tree.Node {
	switch {
	case names == nil:
		return tree.NewObject()
	case root && !tree.IsLeaf(names):
		var members []tree.Member
		for _, m := range names.Members() {
			v := outgoing(m.Value, acked.Get(m.Key), target.Get(m.Key), false)
			if v == nil {
				v = tree.NewNull()
			}
			members = append(members, tree.Member{Key: m.Key, Value: v})
		}
		return tree.NewObject(members...)
	case target == nil && acked == nil:
		return nil
	case target == nil:
		return tree.NewNull()
	case tree.IsLeaf(names) && names.Kind == tree.Object && !names.Whole && target.Kind == tree.Object:
		return names // an object that is to be there
	case tree.IsLeaf(names) || target.Kind != tree.Object:
		return tree.Overlay(tree.Diff(acked, target), target)
	}
	var members []tree.Member
	for _, m := range names.Members() {
		if v := outgoing(m.Value, acked.Get(m.Key), target.Get(m.Key), false); v != nil {
			members = append(members, tree.Member{Key: m.Key, Value: v})
		}
	}
	return tree.NewObject(members...)
}

// enter adds the marker of every component that the patch enters.
func enter(patch, target *tree.Node) *tree.Node {
	if patch.Kind != tree.Object || target == nil || target.Kind != tree.Object {
		return patch
	}
	entered := make([]tree.Member, len(patch.Members()))
	changed := false
	for i, m := range patch.Members() {
		entered[i] = tree.Member{Key: m.Key, Value: enter(m.Value, target.Get(m.Key))}
		changed = changed || entered[i].Value != m.Value
	}
	if changed {
		patch = tree.NewObject(entered...)
	}
	if marker := target.Get(tree.ComponentMarker); marker != nil && patch.Get(tree.ComponentMarker) == nil {
		patch = patch.With(tree.ComponentMarker, marker)
	}
	return patch
}
