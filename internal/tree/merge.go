package tree

import "strings"

// Apply merges patch into doc and returns doc itself when nothing changes, not
// even the text of a number. Either may be nil: no patch changes nothing, and
// null leaves nil.
func Apply(doc, patch *Node) *Node {
	switch {
	case patch == nil:
		return doc
	case patch.Kind == Null:
		return nil
	case patch.Kind != Object:
		if Identical(doc, patch) {
			return doc
		}
		return patch
	case patch.Whole:
		if v := Settled(patch); !Identical(doc, v) {
			return v
		}
		return doc
	case doc == nil || doc.Kind != Object:
		return Settled(patch)
	}
	e := editor{from: doc}
	for i, m := range patch.Members() {
		old := doc.Get(m.Key)
		e.set(m.Key, Apply(old, m.Value), len(patch.Members())-i)
	}
	return e.done()
}

// Diff is the patch from a to b, null where b is nil, or nil when they are equal.
func Diff(a, b *Node) *Node {
	switch {
	case a == b:
		return nil
	case b == nil:
		return NewNull()
	case a == nil:
		return b
	case a.Kind != Object || b.Kind != Object:
		if Equal(a, b) {
			return nil
		}
		return b
	}
	var members []Member
	x, y := a.Members(), b.Members()
	for len(x) > 0 || len(y) > 0 {
		order := 0
		switch {
		case len(x) == 0:
			order = 1
		case len(y) == 0:
			order = -1
		default:
			order = strings.Compare(x[0].Key, y[0].Key)
		}
		var from, to Member
		if order <= 0 {
			from, x = x[0], x[1:]
		}
		if order >= 0 {
			to, y = y[0], y[1:]
		}
		if d := Diff(from.Value, to.Value); d != nil {
			members = append(members, Member{max(from.Key, to.Key), d})
		}
	}
	if members == nil {
		return nil
	}
	return NewObject(members...)
}

// OrEmpty makes the empty patch an object, which touches the root.
func OrEmpty(patch *Node) *Node {
	if patch == nil {
		return NewObject()
	}
	return patch
}

// IsEmpty reports whether a patch names nothing.
func IsEmpty(n *Node) bool {
	return n == nil || n.Kind == Object && len(n.Members()) == 0
}
