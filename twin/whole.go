package twin

import (
	"fmt"
	"strings"
)

// This file is what a patch does that no merge patch can say: an object that
// is whole takes the place of what is there, members that it does not name
// included. Where it is known what is there, a merge patch does it after all,
// with null for each of those; that one is sent.

// asWhole is an object that replaces; any other value does that by itself.
func asWhole(n *node) *node {
	if n.kind != Object || n.whole {
		return n
	}
	c := *n
	c.whole, c.acts = true, true
	return &c
}

// merging is n with objects that merge only.
func merging(n *node) *node {
	if n == nil || !n.acts || n.kind != Object {
		return n
	}
	e := editor{from: n}
	for i, m := range n.members {
		e.set(m.key, merging(m.value), len(n.members)-i)
	}
	n = e.done()
	if n.whole {
		c := *n
		c.whole = false
		c.survey()
		n = &c
	}
	return n
}

// settled is the document that a patch makes of nothing: without nulls, and
// without a word on what it replaces. It is nil when the patch is null itself.
func settled(n *node) *node {
	if n == nil || !n.acts {
		return n
	}
	if n.kind == Null {
		return nil
	}
	e := editor{from: n}
	for _, m := range n.members {
		e.set(m.key, settled(m.value), 0)
	}
	n = e.done()
	if n.whole {
		c := *n
		c.whole, c.acts = false, false
		n = &c
	}
	return n
}

// resolve is the merge patch that does to doc what a patch does: each whole
// object by name, with null for what else doc has there, and nowhere else. It
// returns a merge patch as it is.
func resolve(patch, doc *node) *node {
	switch {
	case patch == nil || !patch.acts:
		return patch
	case patch.whole:
		v := settled(patch)
		return overlay(diffNode(doc, v), v)
	}
	for _, m := range patch.members {
		patch = patch.withMember(m.key, resolve(m.value, doc.get(m.key)))
	}
	return patch
}

// compose is the patch that does what m and then p do.
func compose(m, p *node) *node {
	switch {
	case m == nil || p.kind != Object || p.whole:
		return p
	case m.kind != Object:
		return asWhole(p) // it finds nothing to merge with
	}
	for _, next := range p.members {
		m = m.withMember(next.key, compose(m.get(next.key), next.value))
	}
	return m
}

// replaced is null wherever a patch is whole; nil when it is nowhere.
func replaced(patch *node) *node {
	switch {
	case patch == nil || !patch.acts:
		return nil
	case patch.whole:
		return nullNode()
	}
	var members []member
	for _, m := range patch.members {
		if v := replaced(m.value); v != nil {
			members = append(members, member{m.key, v})
		}
	}
	if members == nil {
		return nil
	}
	return objectOf(members...)
}

// Replace is a patch that replaces one value; see [Patch.Replace].
func Replace(path string, v any) Patch { return Patch{}.Replace(path, v) }

// Replace is Set, but an object takes the place of what is there instead of
// merging with it: its members, at every depth, that v does not have are
// deleted, whoever reported them. Other values do so with Set already. A path
// of "" replaces the whole half.
//
// No single merge patch can say that, so a patch that replaces is for a
// device's reports, and for [Apply]: the client knows what the hub has, and
// sends the deletions by name. [Patch.Replaced] tells such a patch from others.
//
// A later Set or Delete below path changes what takes the place; one above
// forgets it, as always.
func (p Patch) Replace(path string, v any) Patch {
	if p.err != nil {
		return p
	}
	n, err := nodeOf(v)
	if err != nil {
		return Patch{err: refusal(path, err)}
	}
	return p.put(path, asWhole(n))
}

// Replaced is null at each path at which an object replaces what is there, or
// null itself where that is the whole half; missing when the patch is a merge
// patch, as which its JSON says all. To delete these and then merge the JSON
// is what the patch does.
func (p Patch) Replaced() Value { return Value{n: replaced(p.root)} }

// errReplaces says that the JSON of a patch does not say all that it does.
func errReplaces(replaced *node) error {
	var paths []string
	collectNulls(replaced, nil, &paths)
	return fmt.Errorf("%w: the patch replaces what is at %q, which JSON merge patch cannot say; set it instead, and delete by name what is to go",
		ErrInvalid, clip(strings.Join(paths, ", ")))
}
