package catchup

import (
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Synced takes the reported half of a full GET, which is believed whatever it
// says. It decides the fate of a patch in flight: only this identity writes
// here, one patch at a time, so the version as before means that the hub did not
// apply it, and the next version that it did. Anything else was another writer
// or a late patch: what the hub has is taken as it is, and the difference to
// what is wanted is sent again. Where the hub names no version, its content
// decides.
//
// So a patch in flight whose answer will not come, because the line was cut or
// the time was up, needs no event of its own: a GET is due, and decides. One
// whose answer may still come must be waited for. now is the driver's clock.
//
// Synced returns the top-level keys that the hub acknowledged and reads back
// different: worth one line in a log. They are not sent again until a caller
// changes them.
func (r *Reported) Synced(p twin.Properties, now time.Duration) (readBack []string) {
	if !r.known {
		if r.flight != nil {
			r.failed(now) // it left without a GET, and no version decides
		}
		r.begin(p)
		return nil
	}
	before := r.acked
	r.acked = p
	r.fell(before.Version())
	doubt := r.doubt
	r.doubt = false
	if r.guess {
		r.guess = false // and so nothing is in flight
		return nil
	}
	unknown := p.Version() == 0 || before.Version() == 0
	same := p.Version() == before.Version() && !unknown
	f := r.flight
	switch {
	case f == nil && same && !doubt:
		return r.accept(rootOf(before))
	case f == nil:
		return nil // what differs is sent again, once for each GET
	case r.applied(before.Version(), p):
		// Where the rest is not as expected, the version may be a late patch's,
		// so nothing is accepted here.
		r.arrived(f, p.Version())
		return nil
	}
	g := f.guard()
	if g != nil && p.Version() != g.guard.version && p.Version() != 0 {
		r.flight = nil
		r.settle(g, 0, ErrStale)
		return nil
	}
	r.now = now
	if !same && !unknown && p.Version() != before.Version()+1 {
		r.unsend()
		return nil
	}
	if same && !doubt {
		readBack = r.accept(rootOf(before))
	}
	r.failed(now)
	return readBack
}

// fell notes that the hub's version went back: what is wanted belongs to another
// twin now, and a restart must not take the hub's state for an older one.
func (r *Reported) fell(before int64) {
	if v := r.acked.Version(); v != 0 && v < before {
		r.rebased = true
	}
}

// applied reports whether a GET shows that the hub has the patch in flight.
func (r *Reported) applied(before int64, p twin.Properties) bool {
	next := before + 1
	if g := r.flight.guard(); g != nil {
		next = g.guard.version + 1 // at no other could the hub have applied it
	}
	if p.Version() != 0 && before != 0 && p.Version() != next {
		return false
	}
	return holds(rootOf(p), r.flight.patch)
}

// holds reports whether a document already is what the patch would make of it.
func holds(doc, patch *tree.Node) bool {
	return tree.Equal(tree.OrEmpty(tree.Apply(doc, patch)), tree.OrEmpty(doc))
}

// begin starts from the first GET.
func (r *Reported) begin(p twin.Properties) {
	r.acked, r.known = p, true
	hub := rootOf(p)
	image := r.wanted
	switch {
	case !r.based:
		r.wanted = tree.OrEmpty(hub)
		if v := p.Version(); v != 0 && v < r.image {
			r.wanted = tree.Fill(r.wanted, image) // the twin was created anew since
		}
	case r.image != 0 && p.Version() > r.image:
		// The state that was restored is older than the hub's: something was
		// reported since, such as before a rollback of the file system. What is
		// missing at the hub is sent again, and what waits goes out. Nothing else
		// is overwritten or deleted.
		r.wanted = tree.Fill(tree.OrEmpty(hub), image)
	default:
		return // what was wanted before the restart is wanted now
	}
	// Wishes that failed are not in order any more, so their values count less
	// than what is wanted.
	for _, w := range r.wishes {
		if w.guard == nil {
			r.wanted = tree.OrEmpty(impose(r.wanted, w.names, image))
		}
	}
	r.rebased = true
	if !r.based {
		r.based = true
		r.coalesce()
	}
}

// impose is doc with what names cover as it is in image.
func impose(doc, names, image *tree.Node) *tree.Node {
	switch {
	case image == nil || image.Kind != tree.Object:
		return image
	case tree.IsEmpty(names) && !names.Whole:
		return tree.Apply(doc, names) // an object, whatever is in it
	case tree.IsLeaf(names):
		return image
	}
	keys := names.Members()
	return tree.Update(doc, names, func(v, _ *tree.Node) *tree.Node {
		m := keys[0]
		keys = keys[1:]
		return impose(v, m.Value, image.Get(m.Key))
	})
}

// Rebased reports whether what is wanted was rebuilt by a GET since the last
// call, or belongs to another twin, which no record of a report says.
func (r *Reported) Rebased() bool {
	was := r.rebased
	r.rebased = false
	return was
}

// accept takes another history at the same version for what it is. What the
// hub has instead of what it acknowledged is accepted, so that a hub that
// rewrites values is not sent them for ever. What it does not have is sent
// again: the device may have been created again.
func (r *Reported) accept(expected *tree.Node) (readBack []string) {
	got, before := tree.OrEmpty(rootOf(r.acked)), tree.OrEmpty(r.wanted)
	expected = tree.OrEmpty(expected)
	if tree.Equal(expected, got) {
		return nil
	}
	unsent := tree.Diff(expected, before)
	after := tree.Apply(tree.Fill(got, expected), unsent)
	r.mend(before, after)
	for _, m := range tree.OrEmpty(tree.Diff(before, after)).Members() {
		readBack = append(readBack, m.Key)
	}
	return readBack
}
