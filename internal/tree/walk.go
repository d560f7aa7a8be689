package tree

import (
	"slices"
	"strings"
)

// Find walks from n along the keys; nil when the way ends.
func Find(n *Node, keys []string) *Node {
	for _, key := range keys {
		if n = n.Get(key); n == nil {
			return nil
		}
	}
	return n
}

// FindPath is find for a path that need not be taken apart: it allocates
// nothing.
func FindPath(n *Node, path string) *Node {
	if path == "" {
		return n
	}
	for more := true; more && n != nil; {
		var key string
		key, path, more = strings.Cut(path, ".")
		n = n.Get(key)
	}
	return n
}

// Wrap puts n below a path of objects; nil stays nil.
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
		for _, m := range patch.Members {
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
	for _, m := range patch.Members {
		old := doc.Get(m.Key)
		if old == nil || old.Kind != Object || m.Value.Kind != Object {
			continue
		}
		for _, n := range m.Value.Members {
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

// Overlay lays patch b over patch a: where both are objects, member by member;
// else b wins. It is how names are gathered, and not a composition of merges.
func Overlay(a, b *Node) *Node {
	switch {
	case b == nil:
		return a
	case a == nil || a.Kind != Object || b.Kind != Object:
		return b
	}
	for _, m := range b.Members {
		a = a.With(m.Key, Overlay(a.Get(m.Key), m.Value))
	}
	return a
}

// Intersect keeps of names what stands in doc, with doc's values.
func Intersect(names, doc *Node) *Node {
	if names == nil || doc == nil {
		return nil
	}
	if names.Kind != Object || doc.Kind != Object {
		return doc
	}
	kept := NewObject()
	for _, m := range names.Members {
		if v := Intersect(m.Value, doc.Get(m.Key)); v != nil {
			kept = kept.With(m.Key, v)
		}
	}
	return kept
}

// ComponentMarker is the member that makes an object of a twin a Plug and Play
// component.
const ComponentMarker = "__t"
