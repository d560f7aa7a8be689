package twin

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// splitPath takes a path apart into the keys to walk: "" is the root, and
// otherwise each part between dots is a key, empty ones included. It fails,
// matching ErrInvalid, on what no twin can hold: keys that are not UTF-8, and
// more than maxDepth of them.
func splitPath(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if !utf8.ValidString(path) {
		return nil, fmt.Errorf("%w: path %q is not UTF-8", ErrInvalid, clip(path))
	}
	if n := strings.Count(path, ".") + 1; n > maxDepth {
		return nil, fmt.Errorf("%w: path %q has %d keys; at most %d are walked",
			ErrInvalid, clip(path), n, maxDepth)
	}
	return strings.Split(path, "."), nil
}

// joinPath is the path of the keys.
func joinPath(keys []string) string { return strings.Join(keys, ".") }

// below is the path of a key under the value at path.
func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// find walks from n along the keys; nil when the way ends.
func find(n *node, keys []string) *node {
	for _, key := range keys {
		if n = n.get(key); n == nil {
			return nil
		}
	}
	return n
}

// findPath is find for a path that need not be taken apart: it allocates
// nothing.
func findPath(n *node, path string) *node {
	if path == "" {
		return n
	}
	for more := true; more && n != nil; {
		var key string
		key, path, more = strings.Cut(path, ".")
		n = n.get(key)
	}
	return n
}
