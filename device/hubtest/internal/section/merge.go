package section

import "github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"

// MergeRule is one of the ways in which hubs have been seen to merge a patch.
type MergeRule uint8

// The merge rules, as package hubtest explains them.
const (
	RFC7396 MergeRule = iota
	KeepNulls
	Empties
)

// Apply applies a patch to a section in the way of RFC 7396: objects merge,
// null deletes, anything else replaces. A member that stays keeps its place, a
// new one comes last. Neither argument is changed.
func (r Rules) Apply(section, patch *jsondoc.Object) *jsondoc.Object {
	out := &jsondoc.Object{}
	for k, v := range section.All() {
		if p, named := patch.Lookup(k); !named {
			out.Set(k, v)
		} else if p != nil {
			out.Set(k, r.mergeValue(v, p))
		}
	}
	for k, p := range patch.All() {
		if _, there := section.Lookup(k); !there && p != nil {
			out.Set(k, r.mergeValue(nil, p))
		}
	}
	return out
}

// mergeValue is what becomes of a value when a patch names it; old is nil where
// there is none.
func (r Rules) mergeValue(old, patch any) any {
	p, isObject := patch.(*jsondoc.Object)
	if !isObject {
		return patch
	}
	was, merges := old.(*jsondoc.Object)
	switch {
	case merges && r.Merge == Empties && deletesInVain(was, p):
		was = nil
	case !merges && r.Merge == KeepNulls:
		return p
	}
	return r.Apply(was, p)
}

// deletesInVain reports whether a patch deletes a member that isn't there.
func deletesInVain(doc, patch *jsondoc.Object) bool {
	for k, v := range patch.All() {
		if _, there := doc.Lookup(k); v == nil && !there {
			return true
		}
	}
	return false
}

// Replacement is what a device gets of a replaced section: every new member
// with its value, changed or not, and null for every one that vanished, at
// every level that both documents have.
func Replacement(old, doc *jsondoc.Object) *jsondoc.Object {
	out := &jsondoc.Object{}
	for k, was := range old.All() {
		if is, stays := doc.Lookup(k); stays {
			out.Set(k, replacedValue(was, is))
		} else {
			out.Set(k, nil)
		}
	}
	for k, is := range doc.All() {
		if _, there := old.Lookup(k); !there {
			out.Set(k, is)
		}
	}
	return out
}

func replacedValue(old, value any) any {
	was, wasObject := old.(*jsondoc.Object)
	is, isObject := value.(*jsondoc.Object)
	if wasObject && isObject {
		return Replacement(was, is)
	}
	return value
}
