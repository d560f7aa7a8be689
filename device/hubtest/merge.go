package hubtest

import "maps"

// merge applies a patch in the way of RFC 7396: objects merge, null deletes,
// anything else replaces. Neither argument is changed.
func merge(target, patch map[string]any, rule MergeRule) map[string]any {
	out := maps.Clone(target)
	if out == nil {
		out = make(map[string]any, len(patch))
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, k)
		case map[string]any:
			old, merges := out[k].(map[string]any)
			if !merges && rule == MergeKeepNulls {
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
