package twin

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// splitPath takes a path apart into its keys. "" is the root. It fails,
// matching ErrInvalid, on empty keys, on keys that are not UTF-8, and on more
// than tree.MaxDepth of them.
func splitPath(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if !utf8.ValidString(path) {
		return nil, fmt.Errorf("%w: path %q is not UTF-8", ErrInvalid, clip(path))
	}
	if n := strings.Count(path, ".") + 1; n > tree.MaxDepth {
		return nil, fmt.Errorf("%w: path %q has %d keys; at most %d are walked",
			ErrInvalid, clip(path), n, tree.MaxDepth)
	}
	keys := strings.Split(path, ".")
	if slices.Contains(keys, "") {
		return nil, fmt.Errorf("%w: path %q has an empty key; put one dot between two keys, and none at either end",
			ErrInvalid, clip(path))
	}
	return keys, nil
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
