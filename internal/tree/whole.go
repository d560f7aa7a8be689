package tree

// AsWhole is an object that replaces. Any other value does that by itself.
func AsWhole(n *Node) *Node {
	if n.Kind != Object || n.Whole {
		return n
	}
	c := *n
	c.Whole, c.Acts = true, true
	return &c
}

// Merging is n with objects that merge only.
func Merging(n *Node) *Node {
	if n == nil || !n.Acts || n.Kind != Object {
		return n
	}
	e := editor{from: n}
	for i, m := range n.Members() {
		e.set(m.Key, Merging(m.Value), len(n.Members())-i)
	}
	n = e.done()
	if n.Whole {
		c := *n
		c.Whole = false
		c.survey()
		n = &c
	}
	return n
}

// Settled is the document that a patch makes of nothing: without nulls, and
// without a word on what it replaces. It is nil when the patch is null itself.
func Settled(n *Node) *Node {
	if n == nil || !n.Acts {
		return n
	}
	if n.Kind == Null {
		return nil
	}
	e := editor{from: n}
	for _, m := range n.Members() {
		e.set(m.Key, Settled(m.Value), 0)
	}
	n = e.done()
	if n.Whole {
		c := *n
		c.Whole, c.Acts = false, false
		n = &c
	}
	return n
}

// Resolve is the merge patch that does to doc what a patch does: each whole
// object by name, with null for what else doc has there, and nowhere else. It
// returns a merge patch as it is.
func Resolve(patch, doc *Node) *Node {
	switch {
	case patch == nil || !patch.Acts:
		return patch
	case patch.Whole:
		v := Settled(patch)
		return Overlay(Diff(doc, v), v)
	}
	e := editor{from: patch}
	for i, m := range patch.Members() {
		e.set(m.Key, Resolve(m.Value, doc.Get(m.Key)), len(patch.Members())-i)
	}
	return e.done()
}

// Compose is the patch that does what m and then p do.
func Compose(m, p *Node) *Node {
	switch {
	case m == nil || p.Kind != Object || p.Whole:
		return p
	case m.Kind != Object:
		return AsWhole(p) // it finds nothing to merge with
	}
	return Update(m, p, Compose)
}

// Replaced is null wherever a patch is whole, or nil when it is nowhere.
func Replaced(patch *Node) *Node {
	switch {
	case patch == nil || !patch.Acts:
		return nil
	case patch.Whole:
		return NewNull()
	}
	return choose(patch, func(m Member) *Node { return Replaced(m.Value) })
}
