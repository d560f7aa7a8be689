package catchup

import (
	"cmp"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// A wish is what one report named, or several that nobody waits for. It is
// plain, or has a guard, or belongs to a group that travels apart. A wish in
// flight does not change.
type wish struct {
	names   *tree.Node // a patch, which may hold whole objects
	callers []*ticket
	first   uint64 // the earliest report in it, 0 for one before a restart
	guard   *guard
	group   *group
	reports int // how many reports it holds
	vain    int // how often in a row the hub did not apply it and did not say why
}

// A ticket is open until its last piece is settled.
type ticket struct {
	id     Ticket
	pieces int // wishes that it is attached to
	err    error
}

// A guard is the precondition of a wish. What such a wish names is no part of
// what is wanted before the hub has it.
type guard struct {
	version int64
	since   *tree.Node    // what was named after it, and so goes above it
	due     time.Duration // not before, on the driver's clock
	turns   int           // how often it was given its turn back
}

// A group is a part of a patch that failed as a whole. Its wishes travel
// together and without others.
type group struct {
	family  *family
	due     time.Duration // not before, on the driver's clock
	suspect bool          // the hub hung up at it or was silent, and did not refuse it
	tries   int           // of a suspect that cannot be taken apart further
	early   time.Duration // a new value is not tried at once before
	refused error         // the hub's word, where it is left for a last try
	seen    int           // what family.accepted was then
	retries int
	putOffs int // how often in a row the hub put it off
}

// before reports whether g goes first: the one that waits longer, and of an
// older patch.
func (g *group) before(other *group) bool {
	return cmp.Or(cmp.Compare(g.due, other.due), cmp.Compare(g.family.seq, other.family.seq)) < 0
}

// A family is all groups that came of one refused patch.
type family struct {
	seq      int // the older goes first
	accepted int
}

func (r *Reported) newFamily() *family {
	r.families++
	return &family{seq: r.families}
}

// attach makes a caller wait for the wish, too. Inlined, it would cost a device program 3 KB.
//
//go:noinline
func (w *wish) attach(t *ticket) {
	if !slices.Contains(w.callers, t) {
		w.callers = append(w.callers, t)
		t.pieces++
	}
}

func (w *wish) detach(t *ticket) {
	if i := slices.Index(w.callers, t); i >= 0 {
		w.callers = slices.Delete(w.callers, i, i+1)
		t.pieces--
	}
}

func (w *wish) detachAll() {
	for _, t := range w.callers {
		t.pieces--
	}
	w.callers = nil
}

// plain reports whether the wish travels with others.
func (w *wish) plain() bool { return w.guard == nil && w.group == nil }

// part is a wish for a part of what w names, for the same callers.
func (w *wish) part(names *tree.Node) *wish {
	p := &wish{names: names, first: w.first, reports: w.reports, group: w.group, vain: w.vain}
	for _, t := range w.callers {
		p.attach(t)
	}
	return p
}

// join adds what a later wish named, for its callers.
func (w *wish) join(later *wish) {
	w.names = tree.Compose(w.names, later.names)
	w.first = min(w.first, later.first)
	w.reports += later.reports
	w.vain = max(w.vain, later.vain)
	for _, t := range later.callers {
		w.attach(t)
		t.pieces--
	}
}

// follow notes what was named after a guarded patch. A whole object in it
// replaces what that patch brings, too.
func (g *guard) follow(names, patch *tree.Node) {
	g.since = tree.Resolve(tree.Compose(g.since, names), patch)
}

// absorb queues a wish. What it names of a group that travels apart joins that
// group: a new value for a property at which the hub hangs up is suspected, too.
func (r *Reported) absorb(w *wish) {
	for _, other := range r.wishes {
		if other.group == nil || w.names == nil {
			continue
		}
		w.names = r.open1(w.names, other.names)
		covered, rest := tree.Split(w.names, other.names)
		if covered == nil {
			continue
		}
		other.group.renew(r.now)
		p := w.part(covered)
		p.group = other.group
		w.names = rest
		if len(p.callers) == 0 && len(other.callers) == 0 {
			other.join(p)
			continue
		}
		r.wishes = append(r.wishes, p)
	}
	if w.names != nil && r.poor != nil {
		// What the hub refused lately does not hold up the rest.
		w.names = r.open1(w.names, r.poor)
		if covered, rest := tree.Split(w.names, r.poor); covered != nil {
			p := w.part(covered)
			p.group = &group{family: r.newFamily(), due: r.now}
			r.wishes = append(r.wishes, p)
			w.names = rest
		}
	}
	if w.names == nil {
		w.detachAll()
	} else {
		r.wishes = append(r.wishes, w)
		r.coalesce()
	}
	r.dropSettled()
}

// dropSettled ends what travels apart and has become nothing to send: it is to be
// gone, and the hub does not have it.
func (r *Reported) dropSettled() {
	if !r.known {
		return
	}
	r.wishes = slices.DeleteFunc(r.wishes, func(w *wish) bool {
		if w.group == nil {
			return false
		}
		left, _ := tree.Partition(w.names, rootOf(r.acked), r.wanted, func(_, acked, wanted *tree.Node) bool { return acked != nil || wanted != nil })
		if left == nil {
			r.settle(w, r.acked.Version(), nil)
		}
		return left == nil
	})
}

// renew is called when a property of the group gets another value, which may be
// a better one. A suspect is tried at once then, but once an hour at most.
func (g *group) renew(now time.Duration) {
	g.refused = nil
	if g.suspect && g.tries > 0 && now >= g.early {
		g.due, g.early = now, now+time.Hour
	}
}

// open1 names the members of a whole object where something below it travels
// apart, so that the rest need not wait for that.
func (r *Reported) open1(names, apart *tree.Node) *tree.Node {
	return openFor(names, apart, tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted))
}

func openFor(names, apart, acked, wanted *tree.Node) *tree.Node {
	if names == nil || apart == nil || names.Kind != tree.Object || tree.IsLeaf(apart) {
		return names
	}
	if names.Whole {
		if names = members(names, acked, wanted); names.Whole {
			return names
		}
	}
	for _, m := range apart.Members() {
		v := names.Get(m.Key)
		if o := openFor(v, m.Value, acked.Get(m.Key), wanted.Get(m.Key)); o != v {
			names = names.With(m.Key, o)
		}
	}
	return names
}

// coalesceGroups joins what nobody waits for within each group.
func (r *Reported) coalesceGroups() {
	first := map[*group]*wish{}
	r.wishes = slices.DeleteFunc(r.wishes, func(w *wish) bool {
		if w.group == nil || len(w.callers) > 0 {
			return false
		}
		if f := first[w.group]; f != nil {
			f.join(w)
			return true
		}
		first[w.group] = w
		return false
	})
}

// maxEarly bounds what is named and waits for the first GET, in bytes of JSON.
const maxEarly = 48 << 10

// coalesce joins neighbors that nobody waits for, the smaller to the larger,
// as a binary counter does: so the cost of naming stays linear.
func (r *Reported) coalesce() {
	i := len(r.wishes) - 1
	for i > 0 {
		a, b := r.wishes[i-1], r.wishes[i]
		if !a.plain() || !b.plain() || len(a.callers) > 0 || len(b.callers) > 0 || a.vain != b.vain {
			i--
			continue
		}
		if a.names.Wire() > 2*b.names.Wire() && !r.known {
			break
		}
		a.join(b)
		if r.known {
			a.names = dropVain(a.names, rootOf(r.acked), r.wanted)
		}
		r.wishes = slices.Delete(r.wishes, i, i+1)
		if a.names == nil {
			r.wishes = slices.Delete(r.wishes, i-1, i)
			i--
		}
		i = min(i, len(r.wishes)) - 1
	}
	if !r.known {
		r.boundEarly()
	}
}

// boundEarly forgets the oldest deletions where too much waits for the first
// GET. Values are bounded by what the half may hold.
func (r *Reported) boundEarly() {
	total := 0
	for _, w := range r.wishes {
		if len(w.callers) == 0 {
			total += w.names.Wire()
		}
	}
	for _, w := range r.wishes {
		if total <= maxEarly {
			return
		}
		if !w.plain() || len(w.callers) > 0 {
			continue
		}
		gone, rest := tree.Partition(w.names, nil, nil, func(leaf, _, _ *tree.Node) bool { return leaf.Kind == tree.Null })
		if gone == nil {
			continue
		}
		r.dropped += uint64(tree.Leaves(gone))
		total -= w.names.Wire() - tree.OrEmpty(rest).Wire()
		w.names = tree.OrEmpty(rest)
	}
}

// dropVain is a patch without the deletions of what neither side has, so that
// names stay within the document's bounds, or nil where nothing is left.
func dropVain(names, acked, wanted *tree.Node) *tree.Node {
	switch {
	case acked == nil && wanted == nil:
		return nil
	case tree.IsLeaf(names):
		return names
	}
	var kept []tree.Member
	for _, m := range names.Members() {
		if v := dropVain(m.Value, acked.Get(m.Key), wanted.Get(m.Key)); v != nil {
			kept = append(kept, tree.Member{Key: m.Key, Value: v})
		}
	}
	if len(kept) == len(names.Members()) {
		return names
	}
	return tree.NewObject(kept...)
}
