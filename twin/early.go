package twin

// This file keeps what is reported before there is a base: patches in the
// order they came, to be laid over what the first GET shows. Merge patches
// don't compose: {"a":5} and then {"a":{"b":1}} make of {"a":{"c":2}} what no
// single patch does. But any number of them composes into two, one that
// deletes what was replaced and one that merges the rest; so what nobody waits
// for stays within the document's bounds, however long the first GET takes.

// appendEarly adds a patch.
func appendEarly(early []wish, w wish) []wish {
	n := len(early)
	if n == 0 || w.ticket != 0 || early[n-1].ticket != 0 {
		return append(early, w)
	}
	merged, replaced := compose(early[n-1].names, w.names)
	early[n-1].names = merged
	switch {
	case replaced == nil:
	case n > 1 && early[n-2].ticket == 0:
		early[n-2].names = uniteNulls(early[n-2].names, replaced)
	default:
		early = append(early[:n-1], wish{0, replaced}, early[n-1])
	}
	return early
}

// compose lays patch p over patch m; replaced names, as null, what p replaces
// by an object where m has something else. Where that is deleted first, the
// result does what m and p do in turn.
func compose(m, p *node) (merged, replaced *node) {
	merged = m
	for _, next := range p.members {
		old, is := m.get(next.key), next.value
		var sub *node
		switch {
		case old == nil || is.kind != Object:
		case old.kind != Object:
			sub = nullNode()
		default:
			is, sub = compose(old, is)
		}
		merged = merged.withMember(next.key, is)
		if sub != nil {
			replaced = orEmpty(replaced).withMember(next.key, sub)
		}
	}
	return merged, replaced
}

// uniteNulls is the patch that deletes what either does.
func uniteNulls(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil || a.kind != Object:
		return a
	case b.kind != Object:
		return b
	}
	for _, m := range b.members {
		a = a.withMember(m.key, uniteNulls(a.get(m.key), m.value))
	}
	return a
}
