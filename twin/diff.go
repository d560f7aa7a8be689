package twin

// Diff is the smallest patch that makes a of b: Apply(a, Diff(a, b)) equals b,
// no member of the patch can go, and the patch is empty when a equals b.
// Numbers that are written differently but have the same value, such as 1.10
// and 1.1, make no difference; an array that differs is named whole. Versions
// are not looked at.
//
// Branches that a and b share, as when one came of the other by [Apply], cost
// nothing.
func Diff(a, b Properties) Patch {
	return patchOf(diffNode(a.tree(), b.tree()))
}

// diffNode is the patch from a to b, null where b is nil; nil when they are
// equal.
func diffNode(a, b *node) *node {
	switch {
	case a == b:
		return nil
	case b == nil:
		return nullNode()
	case a == nil:
		return b
	case a.kind != Object || b.kind != Object:
		if equalNodes(a, b) {
			return nil
		}
		return b
	}
	var members []member
	add := func(key string, a, b *node) {
		if d := diffNode(a, b); d != nil {
			members = append(members, member{key, d})
		}
	}
	x, y := a.members, b.members
	for len(x) > 0 || len(y) > 0 {
		switch {
		case len(x) > 0 && len(y) > 0 && x[0].key == y[0].key:
			add(x[0].key, x[0].value, y[0].value)
			x, y = x[1:], y[1:]
		case len(y) == 0 || len(x) > 0 && x[0].key < y[0].key:
			add(x[0].key, x[0].value, nil)
			x = x[1:]
		default:
			add(y[0].key, nil, y[0].value)
			y = y[1:]
		}
	}
	if members == nil {
		return nil
	}
	return objectOf(members...)
}
