package twin

// Apply merges a patch into a half of a twin, by RFC 7396: a member that is
// null is removed, an object is merged member by member, anything else
// replaces what was there; arrays are replaced whole, and so is what
// [Patch.Replace] names. What the patch does not name stays, and so does the
// version: only the hub counts versions, see
// [Properties.WithVersion].
//
// Neither argument changes; what is untouched is shared with p, and costs
// nothing. A patch that failed to build (see [Patch.Err]) changes nothing.
//
// Two merge patches in a row do not make one: {"a":5} and then {"a":{"b":1}}
// turn {"a":{"c":2}} into {"a":{"b":1}}, which among single patches only
// Replace does.
func Apply(p Properties, patch Patch) Properties {
	return propertiesOf(applyNode(p.root, patch.root), p.version)
}

// applyNode merges patch into doc and returns doc itself when nothing
// changes, not even the text of a number. Either may be nil: no patch changes
// nothing, and null leaves nil.
func applyNode(doc, patch *node) *node {
	switch {
	case patch == nil:
		return doc
	case patch.kind == Null:
		return nil
	case patch.kind != Object:
		if identical(doc, patch) {
			return doc
		}
		return patch
	case patch.whole:
		if v := settled(patch); !identical(doc, v) {
			return v
		}
		return doc
	case doc == nil || doc.kind != Object:
		return settled(patch)
	}
	e := editor{from: doc}
	for i, m := range patch.members {
		old := doc.get(m.key)
		e.set(m.key, applyNode(old, m.value), len(patch.members)-i)
	}
	return e.done()
}
