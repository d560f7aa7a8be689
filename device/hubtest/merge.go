package hubtest

// merge applies a patch to a section in the way of RFC 7396: objects merge,
// null deletes, anything else replaces. A member that stays keeps its place, a
// new one comes last. Neither argument is changed.
func merge(section, patch *members, rule MergeRule) *members {
	out := &members{}
	for k, v := range section.all() {
		if p, named := patch.lookup(k); !named {
			out.set(k, v)
		} else if p != nil {
			out.set(k, mergeValue(v, p, rule))
		}
	}
	for k, p := range patch.all() {
		if _, there := section.lookup(k); !there && p != nil {
			out.set(k, mergeValue(nil, p, rule))
		}
	}
	return out
}

// mergeValue is what becomes of a value when a patch names it; old is nil where
// there is none.
func mergeValue(old, patch any, rule MergeRule) any {
	p, isObject := patch.(*members)
	if !isObject {
		return patch
	}
	was, merges := old.(*members)
	switch {
	case merges && rule == MergeEmpties && deletesInVain(was, p):
		was = nil
	case !merges && rule == MergeKeepNulls:
		return p
	}
	return merge(was, p, rule)
}

// deletesInVain reports whether a patch deletes a member that isn't there.
func deletesInVain(doc, patch *members) bool {
	for k, v := range patch.all() {
		if _, there := doc.lookup(k); v == nil && !there {
			return true
		}
	}
	return false
}

// replacement is what a device is told of a replaced section: every new member
// with its value, changed or not, and null for every one that vanished, at
// every level that both documents have.
func replacement(old, doc *members) *members {
	out := &members{}
	for k, was := range old.all() {
		if is, stays := doc.lookup(k); stays {
			out.set(k, replacedValue(was, is))
		} else {
			out.set(k, nil)
		}
	}
	for k, is := range doc.all() {
		if _, there := old.lookup(k); !there {
			out.set(k, is)
		}
	}
	return out
}

func replacedValue(old, value any) any {
	was, wasObject := old.(*members)
	is, isObject := value.(*members)
	if wasObject && isObject {
		return replacement(was, is)
	}
	return value
}
