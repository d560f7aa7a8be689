package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Synced takes the reported half of a full GET, which is believed whatever it
// says. It decides the fate of a patch of unknown outcome: only this identity
// writes here, one patch at a time, so the version as before means that the
// hub did not apply it, and the next version that it did. Anything else was
// another writer or a late patch: what the hub has is taken for what it is,
// and the difference to what is wanted is sent again.
//
// So a patch in flight whose answer will not come, because the line was cut or
// the time was up, needs no event of its own: a GET is owed, and decides. One
// whose answer may still come must be waited for.
//
// It returns the top-level keys that the hub acknowledged and reads back
// different: worth one line in a log. They aren't sent again until a caller
// changes them.
func (r *Reported) Synced(p twin.Properties) (readBack []string) {
	defer r.release(p.Version())
	if !r.known {
		r.begin(p)
		return nil
	}
	before := r.acked
	r.acked = p
	next := before.Version() + 1
	if f := r.flight; f != nil && f.guard != nil {
		next = f.guard.version + 1 // at no other could the hub have applied it
	}
	switch f := r.flight; {
	case r.suspect:
		r.suspect = false // and so nothing is in flight
		if r.vain {
			r.vain, r.blind = false, nil
			return r.accept(rootOf(before))
		}
	case f != nil && p.Version() == next && holds(rootOf(p), f.patch):
		r.flight = nil
		// The hub has what was sent. Where the rest is not as expected, the
		// version may be a late patch's, so there is no peace to make here.
		r.covered = max(r.covered, f.upto)
		r.honour(f)
		for _, w := range f.wishes {
			r.settle(w.ticket, p.Version(), nil)
		}
	case p.Version() == before.Version():
		if f != nil {
			r.unsend()
		}
		return r.accept(rootOf(before))
	case f != nil:
		r.unsend()
	}
	return nil
}

// begin starts from the first GET: without a base, the patches that came
// before it are laid over what the hub has, one by one.
func (r *Reported) begin(p twin.Properties) {
	r.acked, r.known = p, true
	if r.based {
		return // restored: what was wanted before the restart is wanted now
	}
	r.wanted, r.based = tree.OrEmpty(rootOf(p)), true
	early := r.early
	r.early = nil
	for _, w := range early {
		r.take(w)
	}
}

// release settles those who wait for a version that no answer told.
func (r *Reported) release(version int64) {
	for _, t := range r.awaiting {
		r.settle(t, version, nil)
	}
	r.awaiting = nil
}

// holds reports whether a document already is what the patch would make of it.
func holds(doc, patch *tree.Node) bool {
	return tree.Equal(tree.Apply(doc, patch), tree.OrEmpty(doc))
}

// accept makes peace with a hub that reads back other values than it
// acknowledged, expected being those: what is wanted follows the hub there.
func (r *Reported) accept(expected *tree.Node) (readBack []string) {
	changed := tree.Diff(tree.OrEmpty(expected), tree.OrEmpty(rootOf(r.acked)))
	if tree.IsEmpty(changed) {
		return nil
	}
	for _, m := range changed.Members {
		readBack = append(readBack, m.Key)
	}
	before := tree.OrEmpty(r.wanted)
	unsent := tree.Diff(tree.OrEmpty(expected), before)
	r.wanted = tree.Apply(tree.OrEmpty(rootOf(r.acked)), unsent)
	if mended := tree.Diff(before, r.wanted); mended != nil {
		r.mended = append(r.mended, patchOf(mended))
	}
	return readBack
}
