package catchup

import (
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// This file is what the hub's answer to the patch in flight means. A patch that
// fails as a whole is taken apart, deletions first since they make room, then in
// halves, by waiting caller and by property, until what the hub does not take
// is alone.

// Acked takes the hub's word that it applied the patch in flight, with the
// version after it, 0 at a hub that names none. Gap says that the version is
// not the next one: somebody else wrote, or an older patch arrived late. A GET
// is due then.
func (r *Reported) Acked(version int64) Outcome {
	f := r.flight
	if f == nil {
		return Duplicate
	}
	if !r.known {
		if !r.based || version == r.image+1 {
			r.image = version
		}
		r.arrived(f, version)
		return Applied
	}
	before := r.acked.Version()
	r.acked = propertiesOf(tree.Apply(rootOf(r.acked), f.patch), version)
	r.fell(before)
	r.arrived(f, version)
	if version == 0 || before == 0 || version == before+1 {
		return Applied
	}
	r.guess = true
	// A hub that rewrites what it gets is not sent it for ever.
	r.budget.spend(costVain, r.now)
	r.pace = paceStrict
	return Gap
}

// arrived settles the flight, which the hub has.
func (r *Reported) arrived(f *flight, version int64) {
	r.flight = nil
	if g := f.guard(); g != nil {
		r.honor(g)
		r.guarded = false
	} else if f.apart() != nil {
		f.apart().family.accepted++
	} else {
		r.pace = r.pace.after(f)
		r.putOffs = 0
	}
	if r.poor != nil && f.guard() == nil {
		_, r.poor = tree.Split(r.poor, f.names)
	}
	for _, w := range f.wishes {
		r.settle(w, version, nil)
	}
}

// honor makes a guarded patch that the hub has a part of what is wanted.
func (r *Reported) honor(w *wish) {
	before := r.wanted
	after := tree.Apply(before, w.names)
	if since := w.guard.since; since != nil {
		after = impose(after, since, tree.OrEmpty(before))
	}
	r.mend(before, after)
}

// mend changes what is wanted otherwise than by a report.
func (r *Reported) mend(before, after *tree.Node) {
	r.wanted = after
	if change := tree.Diff(tree.OrEmpty(before), tree.OrEmpty(after)); change != nil {
		r.mended = append(r.mended, patchOf(change))
	}
}

// Retry says that the patch in flight was not sent: it goes back to what is
// wanted.
func (r *Reported) Retry() {
	if r.flight != nil {
		r.unsend()
	}
}

// unsend takes the patch in flight back. A guarded one goes first again, since
// any other changes the version.
func (r *Reported) unsend() {
	f := r.flight
	r.flight = nil
	if g := f.guard(); g != nil && g.guard.turns < maxVain {
		g.guard.turns++
		r.turn = guardKind
	}
	r.giveBack(f.wishes)
}

// giveBack puts wishes back to the front of the list: guarded ones, groups, and
// plain ones before those that came since.
func (r *Reported) giveBack(wishes []*wish) {
	var guards, groups, plain []*wish
	for _, w := range append(wishes, r.wishes...) {
		switch {
		case w.guard != nil && len(w.callers) > 0:
			guards = append(guards, w)
		case w.plain():
			plain = append(plain, w)
		case w.group != nil:
			groups = append(groups, w)
		}
	}
	r.wishes = append(guards, groups...)
	for _, w := range plain {
		r.absorb(w)
	}
	r.coalesce()
}

// Presume says that no GET will decide the fate of a patch in flight: it is sent
// again, and where the hub had it, the version after it shows that. Where no GET
// was ever answered, values go without one from now on. A patch that this says of
// again and again is taken apart, as one at which the connection ends. now is the
// driver's clock. Where the version has jumped, the next GET shows what somebody
// else wrote, though the version is the one of the last answer.
//
// A guarded patch cannot be sent again so: its caller fails with err.
func (r *Reported) Presume(err error, now time.Duration) {
	r.doubt = r.doubt || r.guess
	r.guess, r.blind = false, true
	switch f := r.flight; {
	case f == nil:
	case f.guard() != nil:
		r.flight = nil
		r.settle(f.guard(), 0, err)
	default:
		r.now = now
		r.failed(now)
	}
}

// Stale says that the hub did not apply the guarded patch in flight, since it is
// at another version.
func (r *Reported) Stale(err error) {
	if f := r.flight; f != nil && f.guard() != nil {
		r.flight = nil
		r.settle(f.guard(), 0, err)
	}
}

// Refused says that the hub refuses the patch in flight for good. now is the
// driver's clock.
func (r *Reported) Refused(err error, now time.Duration) {
	f := r.flight
	if f == nil {
		return
	}
	r.flight = nil
	r.budget.spend(costRefused, now)
	r.now = now
	if g := f.guard(); g != nil {
		r.guarded = true
		r.settle(g, 0, err)
		return
	}
	g := f.apart()
	if g == nil {
		r.pace = r.pace.worse(f)
		g = &group{family: r.newFamily()}
	}
	parts := r.apart(f.wishes)
	if len(parts) > 1 {
		var all []*wish
		for _, part := range parts {
			all = append(all, inGroup(part, &group{family: g.family, due: now})...)
		}
		r.giveBack(all)
		return
	}
	alone := parts[0]
	switch changed := r.changedSince(f); {
	case changed && tree.Leaves(f.patch) > 1:
		r.giveBack(inGroup(alone, g)) // it was not refused for itself
		return
	case changed:
		for _, w := range alone {
			r.settle(w, 0, err) // what was said since goes its own way
		}
		return
	}
	g.refused, g.seen, g.suspect = err, g.family.accepted, false
	r.giveBack(inGroup(alone, g))
	if r.known {
		r.conclude()
	}
}

func inGroup(wishes []*wish, g *group) []*wish {
	for _, w := range wishes {
		w.group, w.vain = g, 0
	}
	return wishes
}

// changedSince reports whether what was sent is wanted no more.
func (r *Reported) changedSince(f *flight) bool {
	now := enter(tree.OrEmpty(outgoing(f.names, rootOf(r.acked), r.wanted, true)), tree.OrEmpty(r.wanted))
	return !tree.Equal(now, f.patch)
}

// apart divides wishes that failed together: the deletions and the rest, or two
// halves, or one part where there is nothing to divide.
func (r *Reported) apart(wishes []*wish) [][]*wish {
	names := allNames(wishes)
	gone, rest := tree.Partition(names, nil, r.wanted, func(_, _, wanted *tree.Node) bool { return wanted == nil })
	if gone != nil && rest != nil {
		return divide(wishes, gone, rest)
	}
	return r.halves(wishes)
}

// halves divides wishes by what they name, each for its own callers.
func (r *Reported) halves(wishes []*wish) [][]*wish {
	names := allNames(wishes)
	whole := names
	if tree.Leaves(names) == 1 {
		names = expand(names, tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted))
	}
	first, second := tree.Halves(names)
	if second == nil && names == whole {
		return [][]*wish{wishes}
	}
	parts := divide(wishes, first, second)
	if parts[1] == nil {
		return parts[:1]
	}
	return parts
}

// allNames is what wishes name, one after the other. It joins neighbors, and
// then the pairs, so that the cost stays near to linear.
func allNames(wishes []*wish) *tree.Node {
	switch n := len(wishes); n {
	case 0:
		return nil
	case 1:
		return wishes[0].names
	default:
		return compose(allNames(wishes[:n/2]), allNames(wishes[n/2:]))
	}
}

// divide takes wishes apart: what falls under first, and what falls under second.
func divide(wishes []*wish, first, second *tree.Node) [][]*wish {
	parts := make([][]*wish, 2)
	for _, w := range wishes {
		in, rest := tree.Meet(w.names, first), tree.Meet(w.names, second)
		if in == nil && rest == nil {
			rest = w.names // it deleted what is not there
		}
		if in != nil {
			parts[0] = append(parts[0], w.part(in))
		}
		if rest != nil {
			parts[1] = append(parts[1], w.part(rest))
		}
		w.detachAll()
	}
	return parts
}

// expand opens a single whole object, as far as it is one.
func expand(names, acked, wanted *tree.Node) *tree.Node {
	switch {
	case names.Kind != tree.Object:
		return names
	case !names.Whole && len(names.Members()) == 1:
		m := names.Members()[0]
		return names.With(m.Key, expand(m.Value, acked.Get(m.Key), wanted.Get(m.Key)))
	case !names.Whole:
		return names
	}
	opened := members(names, acked, wanted)
	if len(opened.Members()) == 1 && !opened.Whole {
		m := opened.Members()[0]
		return opened.With(m.Key, expand(m.Value, acked.Get(m.Key), wanted.Get(m.Key)))
	}
	return opened
}

// members names each member of an object that replaces another, the ones that
// it deletes included. An acknowledgement is no use in parts, so it stays whole.
func members(names, acked, wanted *tree.Node) *tree.Node {
	if wanted == nil || wanted.Kind != tree.Object || wanted.Get("ac") != nil && wanted.Get("av") != nil {
		return names
	}
	var members []tree.Member
	for _, m := range tree.OrEmpty(tree.Fill(wanted, acked)).Members() {
		v := wanted.Get(m.Key)
		if v == nil {
			v = tree.NewNull()
		}
		members = append(members, tree.Member{Key: m.Key, Value: tree.AsWhole(v)})
	}
	if members == nil {
		return names
	}
	return tree.NewObject(members...)
}
