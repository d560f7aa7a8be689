package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Outcome says what a machine made of an event, and so what its driver owes.
type Outcome uint8

// The outcomes.
const (
	// Applied: it moved the document on, or confirmed it.
	Applied Outcome = iota + 1
	// Duplicate: it was known already.
	Duplicate
	// Gap: the document may lack something. The driver owes one full GET.
	Gap
)

// String names the outcome.
func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case Duplicate:
		return "duplicate"
	case Gap:
		return "gap"
	}
	return "no outcome"
}

// Desired is the machine of the desired half: the document, and what each
// listener has seen of it. The zero value is ready. It does no I/O and has no
// clock. Its driver (package device) feeds it the hub's messages, makes a GET
// when it returns Gap, and runs the calls that Next returns. It is not safe for
// concurrent use.
//
// The hub's word comes in two forms. Notify takes a patch, which counts only
// where it follows the known version. Fetched takes a whole section. The
// document never goes back to an older version, with one exception: a device
// that was created again at the hub. See Fetched for how the two differ.
//
// A document without a version, as IoT Edge sends it, is known like any other.
// Its version is 0. Patches are then applied as they come, and the first one
// with a version names the version of the document.
type Desired struct {
	doc    twin.Properties
	known  bool
	get    fetch // the GET in flight
	lower  bool  // the last answer was older than the document was when its GET left
	doubt  bool  // the hub may have emptied an object since the last answer
	routes routes
}

// Known reports whether there is a document yet.
func (d *Desired) Known() bool { return d.known }

// Properties is the document as known now.
func (d *Desired) Properties() twin.Properties { return d.doc }

// Listen registers a listener for a path ("" is everything). Its first call
// brings the present value, at once if the document is known. A listener that
// acknowledges is refused where another one acknowledges the same path, or one
// above or below it: they would overwrite each other's answers.
func (d *Desired) Listen(path string, fn twin.Listener, opts ListenerOptions) (ListenerID, error) {
	s, err := d.routes.add(path, fn, opts)
	if err != nil {
		return 0, err
	}
	if d.known {
		d.routes.mark(s, twin.CauseStart)
		d.routes.flush()
	}
	return s.id, nil
}

// Unlisten removes a listener. Next returns no more calls for it.
func (d *Desired) Unlisten(id ListenerID) { d.routes.remove(id) }

// Next returns the next call of a listener, and counts it as made.
func (d *Desired) Next() (Delivery, bool) {
	if !d.known {
		return Delivery{}, false
	}
	return d.routes.next(d.doc)
}

// Notify takes a patch from the hub with the version after it, 0 where the hub
// named none.
//
// Gap means that a GET is owed. Listeners may have calls all the same: a patch
// that deletes what is not there is applied, but some hubs then empty the
// object around it, and only a GET shows that. A version below the known one is
// a gap too: it is either late, or the device was created again. While a GET is
// in flight, Notify never returns Gap: Fetched or FetchFailed does.
func (d *Desired) Notify(p twin.Patch, version int64) Outcome {
	k := keptPatch{patch: rootOf(p), version: version}
	outcome, before := Gap, d.doc.Version()
	if d.known {
		outcome = follow(before, version)
	}
	empties := false
	if outcome == Applied {
		empties = d.apply(k)
		d.lower = false // the twin that the last GET did not show goes on
	}
	if !d.get.on {
		if empties {
			return Gap
		}
		return outcome
	}
	d.get.owed = d.get.owed || empties || outcome == Gap
	switch {
	case outcome == Duplicate:
		return Duplicate
	case outcome == Gap && d.known && version <= before:
		d.get.again = true // lower, or without a version: the answer may be older
		return Applied
	}
	k.routed = outcome == Applied
	d.get.keep(k, len(p.JSON()))
	if outcome == Applied {
		d.catchUp()
	}
	return Applied
}

// Lost takes a notification that cannot be read: a change of which nothing is
// known. It is a gap, as in Notify.
func (d *Desired) Lost() Outcome {
	if !d.get.on {
		return Gap
	}
	d.get.owed, d.get.again = true, true
	return Applied
}

// follow decides what a patch is to a document at the version known, 0 where
// the document has none.
func follow(known, version int64) Outcome {
	switch {
	case known == 0 || version == known+1:
		return Applied
	case version == known:
		return Duplicate
	}
	return Gap
}

// apply lays a patch over the document. It reports whether the hub may have
// emptied an object at this patch.
func (d *Desired) apply(k keptPatch) (empties bool) {
	empties = tree.DeletesMissing(rootOf(d.doc), k.patch)
	d.doubt = d.doubt || empties
	d.doc = propertiesOf(tree.Apply(rootOf(d.doc), k.patch), k.version)
	d.routes.touch(tree.OrEmpty(k.patch), twin.CausePatch, true)
	return empties
}

// catchUp applies the kept patches that had overtaken the one just applied.
func (d *Desired) catchUp() {
	for i, k := range d.get.kept {
		if !k.routed && k.version == d.doc.Version()+1 {
			d.apply(k)
			d.get.kept[i].routed = true
		}
	}
}

// Fetching records that a GET leaves for the hub now. From here to Fetched or
// FetchFailed, patches are kept.
func (d *Desired) Fetching() { d.get = fetch{on: true, from: d.doc.Version()} }

// FetchFailed records that the GET brought nothing usable. The document stays,
// and patches that follow it go on to be applied. Gap means that a patch which
// came meanwhile needs a GET: one more is owed.
func (d *Desired) FetchFailed() Outcome {
	owed := d.get.owed
	d.get = fetch{}
	if owed {
		return Gap
	}
	return Applied
}

// Fetched takes the answer to the GET. Patches kept since Fetching that are
// newer are laid over it, so an answer that was late takes nothing back.
// Listeners are called for what differs from what they saw last, with the cause
// given.
//
// The document stays in two cases, and Gap is returned. Where too many patches
// came to keep them all, the answer may be late, and the next GET shows more. Where the answer is older than the document was when the GET left, it
// is either stale, or the device was created again: a second answer like it,
// to a GET that left after the first came, is believed, with
// twin.CauseNewTwin. An answer without a version is older than one with a
// version. If it is empty as well, it is IoT Edge's way to say that it has no
// twin, and takes nothing away.
//
// Gap is also returned where the document is believed, but may lack something.
func (d *Desired) Fetched(p twin.Properties, cause twin.Cause) Outcome {
	get := d.get
	d.get = fetch{}
	doc, complete, empties := get.replay(p)
	complete = complete && !empties && !get.again
	another := false
	switch {
	case !d.known:
	case p.Version() < get.from && p.Version() == 0 && tree.IsEmpty(rootOf(p)):
		if get.owed {
			return Gap
		}
		return Applied
	case p.Version() < get.from:
		if !d.lower {
			d.lower = true
			return Gap
		}
		// Whose the kept patches are is not known.
		another, doc, complete, empties = true, p, complete && len(get.kept) == 0, false
	case doc.Version() < d.doc.Version(), get.again && d.doc.Version() == 0:
		d.lower = false
		return Gap
	}
	d.lower = false
	d.replace(doc, get.unrouted(p, doc), p, another, cause)
	d.doubt = empties
	if complete {
		return Applied
	}
	return Gap
}

// replace makes doc the document, which is the answer and the patches since.
func (d *Desired) replace(doc twin.Properties, since []keptPatch, answer twin.Properties, another bool, cause twin.Cause) {
	old, first := d.doc, !d.known
	d.doc, d.known = doc, true
	if first {
		d.routes.each(func(s *subscription) { d.routes.mark(s, cause) })
		d.routes.flush()
		return
	}
	if another {
		cause = twin.CauseNewTwin
		d.routes.each(func(s *subscription) { s.another = s.told })
	}
	for _, k := range since {
		d.routes.touch(tree.OrEmpty(k.patch), cause, true)
	}
	diff := tree.Diff(tree.OrEmpty(rootOf(old)), tree.OrEmpty(rootOf(doc)))
	d.routes.touch(diff, cause, false)
	// At one version, two contents: what led to the old one was not what the hub
	// said, unless the hub emptied an object.
	missed := another || answer.Version() > old.Version() || diff != nil && !d.doubt
	d.routes.each(func(s *subscription) { d.refresh(s, cause, missed) })
	d.routes.flush()
}

// refresh brings what waits for a listener in line with a document that was
// fetched: names that are no longer there are dropped. Where a version was
// missed, it may have named any path, so a path that acknowledges is named
// whole.
func (d *Desired) refresh(s *subscription, cause twin.Cause, missed bool) {
	value := tree.Find(tree.OrEmpty(rootOf(d.doc)), s.path)
	if missed && s.opts.Acknowledge && value != nil && d.doc.Version() != s.ackedAt {
		d.routes.mark(s, cause)
		s.touched, s.named = true, value
		return
	}
	s.named = tree.Intersect(s.named, value)
}
