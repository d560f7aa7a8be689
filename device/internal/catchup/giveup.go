package catchup

import (
	"slices"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// This file is the end of what the hub refuses alone.

// conclude gives up what was refused alone, once all that was in its company is
// decided. Where some of that was accepted since, the hub is asked again.
func (r *Reported) conclude() {
	var waiting []*wish // refused alone
	undecided := map[*family]bool{}
	for _, w := range r.underway() {
		switch g := w.group; {
		case g == nil:
		case g.refused != nil:
			waiting = append(waiting, w)
		case !g.suspect:
			undecided[g.family] = true
		}
	}
	var refused []*wish
	for _, w := range waiting {
		switch g := w.group; {
		case undecided[g.family] || g.refused == nil:
		case g.family.accepted > g.seen && g.retries < maxRetries:
			g.refused, g.due = nil, r.now
			g.retries++
			undecided[g.family] = true
		default:
			refused = append(refused, w)
		}
	}
	if refused != nil {
		r.giveUp(refused)
	}
}

// maxRetries is how often a part that was refused alone is tried again after
// others of its patch were accepted.
const maxRetries = 3

// maxPoor bounds what is remembered as refused, in bytes of names.
const maxPoor = 8 << 10

// giveUp takes refused properties back to what the hub has, and fails all who
// named them.
func (r *Reported) giveUp(refused []*wish) {
	names := allNames(refused)
	err := refused[0].group.refused
	gone := map[*wish]bool{}
	for _, w := range refused {
		gone[w] = true
	}
	r.wishes = slices.DeleteFunc(r.wishes, func(w *wish) bool { return gone[w] })
	r.mend(r.wanted, revert(tree.OrEmpty(r.wanted), names, tree.OrEmpty(rootOf(r.acked))))
	for _, w := range refused {
		r.settle(w, 0, w.group.refused)
	}
	var kept []*wish
	for _, w := range r.wishes {
		if w.guard == nil {
			covered, rest := tree.Split(w.names, names)
			if covered != nil && rest == nil {
				r.settle(w, 0, err)
				continue
			}
			if covered != nil {
				w.names = rest
				for _, t := range w.callers {
					if t.err == nil {
						t.err = err
					}
				}
			}
		}
		kept = append(kept, w)
	}
	r.wishes = kept
	if r.poor = compose(r.poor, tree.Merging(names)); r.poor.Wire() > maxPoor {
		r.poor = nil // so many are no sign of anything
	}
}

// revert is doc with what names cover as it is in base.
func revert(doc, names, base *tree.Node) *tree.Node {
	switch {
	case names == nil:
		return doc
	case tree.IsEmpty(names) && !names.Whole && doc != nil && doc.Kind == tree.Object && len(doc.Members()) > 0:
		return doc // others made use of the object
	case tree.IsLeaf(names):
		return base
	case doc == nil || doc.Kind != tree.Object:
		return doc
	}
	keys := names.Members()
	doc = tree.Update(doc, names, func(v, _ *tree.Node) *tree.Node {
		m := keys[0]
		keys = keys[1:]
		return revert(v, m.Value, base.Get(m.Key))
	})
	if len(doc.Members()) == 0 && (base == nil || base.Kind != tree.Object) {
		return base
	}
	return doc
}
