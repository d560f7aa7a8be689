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
	// Gap: something before it is missing. The driver owes one full GET.
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

// keepBytes bounds the patches that are kept while a GET is under way: twice a
// whole section. Past it, one more GET is owed instead.
const keepBytes = 64 << 10

// keepOverhead is what a kept patch counts beside its text.
const keepOverhead = 64

// Desired is the machine of the desired half: the document, and what each
// listener has seen of it. The zero value is ready. It does no I/O and has no
// clock; its driver (package device) feeds it what the hub says, owes a GET
// when it answers Gap, and runs what Next hands out. It is not safe for
// concurrent use.
//
// The hub's word comes in two forms. Notify takes a patch, which counts only
// where it follows what is known. Fetched takes a whole section, which is
// believed whatever its version says; patches that came while it was under
// way are laid over it, so an answer that was late takes nothing back.
type Desired struct {
	doc      twin.Properties
	known    bool
	fetching bool
	kept     []keptPatch
	bytes    int
	overflow bool
	routes   routes
}

type keptPatch struct {
	patch   *tree.Node
	version int64
	routed  bool // listeners were told of its names already
}

// Known reports whether there is a document yet.
func (d *Desired) Known() bool { return d.known }

// Properties is the document as known now.
func (d *Desired) Properties() twin.Properties { return d.doc }

// Listen registers a listener for a path ("" is everything). It is told the
// present value first, at once if the document is known.
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

// Unlisten removes a listener; nothing more is handed out for it.
func (d *Desired) Unlisten(id ListenerID) { d.routes.remove(id) }

// Next hands out the next call of a listener, and counts it as made.
func (d *Desired) Next() (Delivery, bool) {
	if !d.known {
		return Delivery{}, false
	}
	return d.routes.next(d.doc)
}

// Notify takes a patch from the hub with the version after it; 0 where the hub
// named none, which is a gap.
func (d *Desired) Notify(p twin.Patch, version int64) Outcome {
	outcome := d.notify(rootOf(p), version)
	if d.fetching {
		d.keep(p, version, outcome == Applied)
		if outcome == Gap {
			return Applied // the GET under way will tell
		}
	}
	return outcome
}

func (d *Desired) notify(patch *tree.Node, version int64) Outcome {
	switch {
	case !d.known || version == 0 || version > d.doc.Version()+1:
		return Gap
	case version <= d.doc.Version():
		return Duplicate
	}
	d.doc = propertiesOf(tree.Apply(rootOf(d.doc), patch), version)
	d.routes.touch(tree.OrEmpty(patch), twin.CausePatch, true)
	return Applied
}

func (d *Desired) keep(p twin.Patch, version int64, routed bool) {
	d.bytes += len(p.JSON()) + keepOverhead
	if d.bytes > keepBytes || version == 0 {
		d.overflow = true
		return
	}
	d.kept = append(d.kept, keptPatch{rootOf(p), version, routed})
}

// Fetching says that a GET leaves for the hub now. From here to Fetched or
// FetchFailed, patches are kept.
func (d *Desired) Fetching() {
	d.fetching, d.kept, d.bytes, d.overflow = true, nil, 0, false
}

// Fetched takes the answer to the GET: the document becomes what it says,
// whatever its version, and the kept patches that are newer follow. What
// differs from what a listener heard last is told to it with the cause given.
// Gap says that kept patches do not follow one another: one more GET is owed.
func (d *Desired) Fetched(p twin.Properties, cause twin.Cause) Outcome {
	old, first := rootOf(d.doc), !d.known
	d.doc, d.known = p, true
	outcome := d.replay(cause)
	if first {
		d.routes.each(func(s *subscription) { d.routes.mark(s, cause) })
		d.routes.flush()
		return outcome
	}
	d.routes.touch(tree.Diff(tree.OrEmpty(old), tree.OrEmpty(rootOf(d.doc))), cause, false)
	d.routes.each(func(s *subscription) { d.refresh(s, cause) })
	d.routes.flush()
	return outcome
}

// refresh brings what waits for a listener in line with a document that was
// fetched: names of what is gone are dropped, and a path that acknowledges is
// named whole where the version moved on.
func (d *Desired) refresh(s *subscription, cause twin.Cause) {
	value := tree.Find(tree.OrEmpty(rootOf(d.doc)), s.path)
	if s.opts.Acknowledge && value != nil && d.doc.Version() != s.ackedAt {
		d.routes.mark(s, cause)
		s.touched, s.named = true, value
		return
	}
	s.named = tree.Intersect(s.named, value)
}

// FetchFailed says that the GET brought nothing usable: what is known stays,
// and patches that follow it go on to be applied.
func (d *Desired) FetchFailed() { d.fetching, d.kept = false, nil }

// replay lays the kept patches over the document just fetched.
func (d *Desired) replay(cause twin.Cause) Outcome {
	kept, outcome := d.kept, Applied
	if d.overflow {
		outcome = Gap
	}
	d.fetching, d.kept = false, nil
	for _, k := range kept {
		switch {
		case k.version <= d.doc.Version():
			continue
		case k.version > d.doc.Version()+1:
			return Gap
		}
		d.doc = propertiesOf(tree.Apply(rootOf(d.doc), k.patch), k.version)
		if !k.routed {
			d.routes.touch(tree.OrEmpty(k.patch), cause, true)
		}
	}
	return outcome
}
