package twin

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
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
	if n := strings.Count(path, ".") + 1; n > tree.MaxDepth {
		return nil, fmt.Errorf("%w: path %q has %d keys; at most %d are walked",
			ErrInvalid, clip(path), n, tree.MaxDepth)
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
