package tree

import (
	"slices"
	"strings"
)

// Find walks from n along the keys, or nil when the way ends.
func Find(n *Node, keys []string) *Node {
	for _, key := range keys {
		if n = n.Get(key); n == nil {
			return nil
		}
	}
	return n
}

// FindPath is Find for a path that need not be taken apart: it allocates
// nothing. Where the way ends at an array, array is the length of the path that
// leads to it. Otherwise it is negative.
func FindPath(n *Node, path string) (found *Node, array int) {
	if path == "" {
		return n, -1
	}
	above, rest, more := n, path, true
	for more && n != nil {
		var key string
		key, rest, more = strings.Cut(rest, ".")
		above, n = n, n.Get(key)
		if n == nil && above.Kind == Array {
			array = len(path) - len(rest) - len(key) - 1
			if more {
				array--
			}
			return nil, max(array, 0)
		}
	}
	return n, -1
}

// Wrap puts n below a path of objects. It keeps nil.
func Wrap(path []string, n *Node) *Node {
	if n == nil {
		return nil
	}
	for _, key := range slices.Backward(path) {
		n = NewObject(Member{key, n})
	}
	return n
}

// Nulls gathers the paths of the nulls in a patch.
func Nulls(patch *Node, path []string, into *[]string) {
	if patch == nil {
		return
	}
	switch patch.Kind {
	case Null:
		*into = append(*into, strings.Join(path, "."))
	case Object:
		for _, m := range patch.Members() {
			Nulls(m.Value, append(path, m.Key), into)
		}
	}
}

// DeletesMissing reports whether a patch deletes, below the root, a member that
// the object around it does not have. Hubs have been seen to empty that object.
func DeletesMissing(doc, patch *Node) bool {
	if doc == nil || patch == nil || !patch.Acts {
		return false
	}
	for _, m := range patch.Members() {
		old := doc.Get(m.Key)
		if old == nil || old.Kind != Object || m.Value.Kind != Object {
			continue
		}
		for _, n := range m.Value.Members() {
			if n.Value.Kind == Null && old.Get(n.Key) == nil {
				return true
			}
		}
		if DeletesMissing(old, m.Value) {
			return true
		}
	}
	return false
}

// Overlay lays patch b over patch a: where both are objects, member by member,
// else b wins. It is how names are gathered, and not a composition of merges.
func Overlay(a, b *Node) *Node {
	switch {
	case b == nil:
		return a
	case a == nil || a.Kind != Object || b.Kind != Object:
		return b
	}
	return Update(a, b, Overlay)
}

// Intersect keeps of names what is in doc, with doc's values.
func Intersect(names, doc *Node) *Node {
	if names == nil || doc == nil {
		return nil
	}
	if names.Kind != Object || doc.Kind != Object {
		return doc
	}
	return OrEmpty(choose(names, func(m Member) *Node { return Intersect(m.Value, doc.Get(m.Key)) }))
}

// ComponentMarker is the member that makes an object of a twin a Plug and Play
// component.
const ComponentMarker = "__t"

// Update is object a with each key of object b set to what f makes of both
// values. Nil removes the key. It is one pass over both.
func Update(a, b *Node, f func(a, b *Node) *Node) *Node {
	if a == nil || a.Kind != Object {
		a = NewObject()
	}
	e := editor{from: a}
	for i, m := range b.Members() {
		e.set(m.Key, f(a.Get(m.Key), m.Value), len(b.Members())-i)
	}
	return e.done()
}
