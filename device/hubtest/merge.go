package hubtest

import "maps"

// merge applies a patch to a section in the way of RFC 7396: objects merge,
// null deletes, anything else replaces. Neither argument is changed.
func merge(section, patch map[string]any, rule MergeRule) map[string]any {
	out := maps.Clone(section)
	if out == nil {
		out = make(map[string]any, len(patch))
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, k)
		case map[string]any:
			old, merges := out[k].(map[string]any)
			switch {
			case merges && rule == MergeEmpties && deletesInVain(old, v):
				old = nil
			case !merges && rule == MergeKeepNulls:
				out[k] = v
				continue
			}
			out[k] = merge(old, v, rule)
		default:
			out[k] = v
		}
	}
	return out
}

// deletesInVain reports whether a patch deletes a member that isn't there.
func deletesInVain(doc, patch map[string]any) bool {
	for k, v := range patch {
		if _, there := doc[k]; v == nil && !there {
			return true
		}
	}
	return false
}

// replacement is what a device is told of a replaced section: every new member
// with its value, changed or not, and null for every one that vanished, at
// every level that both documents have.
func replacement(old, doc map[string]any) map[string]any {
	out := make(map[string]any, len(doc))
	for k := range old {
		if _, stays := doc[k]; !stays {
			out[k] = nil
		}
	}
	for k, v := range doc {
		was, wasObject := old[k].(map[string]any)
		is, isObject := v.(map[string]any)
		if wasObject && isObject {
			out[k] = replacement(was, is)
			continue
		}
		out[k] = v
	}
	return out
}
