package tree

// This file takes patches apart by what they name. A leaf names everything at
// its path and below: it is any value but an object, a whole object, or an
// object without members. Other objects name what their members name.

// IsLeaf reports whether a patch names its path as one.
func IsLeaf(n *Node) bool {
	return n.Kind != Object || n.Whole || len(n.Members()) == 0
}

// Split takes a patch apart: what names covers, and the rest. Either may be
// nil. The patch itself comes back where one of them is all of it.
func Split(patch, names *Node) (covered, rest *Node) {
	switch {
	case patch == nil || names == nil:
		return nil, patch
	case names.Kind == Object && !names.Whole && len(names.Members()) == 0:
		if patch.Kind == Object && len(patch.Members()) == 0 {
			return patch, nil
		}
		return nil, patch
	case IsLeaf(names):
		return patch, nil
	case IsLeaf(patch):
		if patch.Kind == Object && !patch.Whole {
			return patch, nil
		}
		return nil, patch
	}
	return divide(patch, func(key string, v *Node) (*Node, *Node) { return Split(v, names.Get(key)) })
}

// Meet is what both of two patches name, with the values of b where it names
// less.
func Meet(a, b *Node) *Node {
	switch {
	case a == nil || b == nil:
		return nil
	case IsLeaf(b) && !(b.Kind == Object && !b.Whole):
		return a
	case IsLeaf(a):
		if a.Kind == Object && !a.Whole {
			return a
		}
		return b
	}
	return choose(a, func(m Member) *Node { return Meet(m.Value, b.Get(m.Key)) })
}

// choose is an object of what f makes of each member of n, or nil where that is
// nothing.
func choose(n *Node, f func(m Member) *Node) *Node {
	var members []Member
	for _, m := range n.Members() {
		if v := f(m); v != nil {
			members = append(members, Member{m.Key, v})
		}
	}
	if members == nil {
		return nil
	}
	return NewObject(members...)
}

// Partition takes a patch apart, leaf by leaf: what take accepts, and the rest.
// take sees what is at the leaf's path in a and b.
func Partition(patch, a, b *Node, take func(leaf, a, b *Node) bool) (taken, rest *Node) {
	switch {
	case patch == nil:
		return nil, nil
	case !IsLeaf(patch):
		return divide(patch, func(key string, v *Node) (*Node, *Node) {
			return Partition(v, a.Get(key), b.Get(key), take)
		})
	case take(patch, a, b):
		return patch, nil
	}
	return nil, patch
}

// divide takes each member of an object apart, and makes an object of each of
// the two sides.
func divide(n *Node, f func(key string, v *Node) (*Node, *Node)) (*Node, *Node) {
	var left, right []Member
	for _, m := range n.Members() {
		l, r := f(m.Key, m.Value)
		if l != nil {
			left = append(left, Member{m.Key, l})
		}
		if r != nil {
			right = append(right, Member{m.Key, r})
		}
	}
	switch {
	case left == nil:
		return nil, n
	case right == nil:
		return n, nil
	}
	return NewObject(left...), NewObject(right...)
}

// Leaves counts the leaves of a patch.
func Leaves(n *Node) int {
	switch {
	case n == nil:
		return 0
	case IsLeaf(n):
		return 1
	}
	count := 0
	for _, m := range n.Members() {
		count += Leaves(m.Value)
	}
	return count
}

// Halves takes a patch apart by its leaves, in their order. The second is nil
// where the patch is a single leaf.
func Halves(n *Node) (*Node, *Node) {
	left := Leaves(n) / 2
	if left == 0 {
		return n, nil
	}
	return Partition(n, nil, nil, func(*Node, *Node, *Node) bool {
		left--
		return left >= 0
	})
}

// Fill is doc with the members of more that it lacks, at every depth.
func Fill(doc, more *Node) *Node {
	if doc == nil {
		return more
	}
	if more == nil || doc.Kind != Object || more.Kind != Object {
		return doc
	}
	return Update(doc, more, Fill)
}
