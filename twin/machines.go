package twin

import (
	"fmt"
	"strconv"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// This file is for package device, whose machines work on trees. Its functions
// ask for a tree.Key, which only packages of this module can make.

// RootOf returns the tree of a value, or nil where it is empty or missing.
func RootOf[T Patch | Properties | Value](_ tree.Key, v T) *tree.Node {
	switch v := any(v).(type) {
	case Patch:
		return v.root
	case Properties:
		return v.root
	case Value:
		return v.n
	}
	return nil
}

// ParseNotification reads what the hub says of a change of the desired half:
// a patch, and beside it in "$version" the version after it, 0 when there is
// none. The hub's other keys at the root that begin with "$" are dropped.
//
// The error is a *SyntaxError, or matches ErrIncomplete when the text is no
// object or its version is none.
func ParseNotification(_ tree.Key, b []byte) (Patch, int64, error) {
	n, err := parseFromHub(b)
	if err != nil {
		return Patch{}, 0, err
	}
	if n.Kind != tree.Object {
		return Patch{}, 0, fmt.Errorf("%w: the notification is of kind %v, not an object", ErrIncomplete, n.Kind)
	}
	version, err := versionOf(n.Get(keyVersion))
	if err != nil {
		return Patch{}, 0, fmt.Errorf("%w: the notification %w", ErrIncomplete, err)
	}
	return patchOf(dropSystem(n)), version, nil
}

// ReplacedOf returns null at each path at which a patch replaces what is there, or
// null itself where that is the whole half. It is missing when the patch is a
// merge patch, as which its JSON says all. To delete these and then merge the JSON
// is what the patch does.
func ReplacedOf(_ tree.Key, p Patch) Value { return p.replaced() }

// PatchOf makes a patch of an object without "$" keys, or of nil.
func PatchOf(_ tree.Key, root *tree.Node) Patch { return patchOf(root) }

// PropertiesOf makes a half of an object without "$" keys and null members, or
// of nil.
func PropertiesOf(_ tree.Key, root *tree.Node, version int64) Properties {
	return propertiesOf(root, version)
}

// ValueOf makes a value that was found at path.
func ValueOf(_ tree.Key, n *tree.Node, path string) Value { return Value{n: n, path: path} }

// ChangeOf completes a change with the keys of its path and with what patches
// named below it.
func ChangeOf(_ tree.Key, c Change, keys []string, named *tree.Node) Change {
	c.path, c.named = keys, named
	return c
}

// TooLong is the error of a patch that no connection carries, in bytes.
func TooLong(_ tree.Key, got, limit int, advice string) error {
	return &LimitError{Limit: limitLength, Got: strconv.Itoa(got) + " bytes", Max: strconv.Itoa(limit) + " bytes", advice: advice}
}

// AckOf returns the acknowledgement of a change whose listener returned result:
// 200 for nil, what an *AckError names, 400 for a *DecodeError, 500 for
// anything else. refused is nil at first. If that acknowledgement could not be
// reported, refused is the reason, and AckOf returns one without the value.
// The limits that no report can keep are seen to here already.
func AckOf(_ tree.Key, c Change, result, refused error) Patch {
	code, text := ackFor(result)
	return answer(&c, code, text, refused)
}
