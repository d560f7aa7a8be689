package twin

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// Properties is one half of a twin, desired or reported, as it stood at one
// version. It never changes: Apply makes another one that shares what is
// untouched. Copy it, keep it, read it from any goroutine. The zero
// Properties is an empty half of no version.
type Properties struct {
	root    *tree.Node // an object without "$" keys and null members, or nil when empty
	version int64
}

// keyVersion is the member by which the hub tells a section's version.
const keyVersion = "$version"

// ParseProperties reads one half of a twin as the hub writes it:
// {"a":1,"$version":8}. "$version" is an integer from 1 on, which is where a
// hub starts. Where it is missing, as IoT Edge sends it, the version is not
// known: [Properties.Version] is 0. The hub's other keys at the root that begin
// with "$", such as "$metadata", are dropped, and so are members that are null.
//
// The error is a *SyntaxError, or matches ErrIncomplete.
func ParseProperties(b []byte) (Properties, error) {
	n, err := parseDocument(b)
	if err != nil {
		return Properties{}, err
	}
	return sectionOf(n, "the section")
}

// sectionOf makes a parsed section; name is for the error.
func sectionOf(n *tree.Node, name string) (Properties, error) {
	if n == nil {
		return Properties{}, fmt.Errorf("%w: %s is missing", ErrIncomplete, name)
	}
	if n.Kind != tree.Object {
		return Properties{}, fmt.Errorf("%w: %s is of kind %v, not an object", ErrIncomplete, name, n.Kind)
	}
	version, err := versionOf(n.Get(keyVersion))
	if err != nil {
		return Properties{}, fmt.Errorf("%w: %s %w", ErrIncomplete, name, err)
	}
	return propertiesOf(dropSystem(n), version), nil
}

// versionOf reads the value of "$version", or 0.
func versionOf(n *tree.Node) (int64, error) {
	if n == nil {
		return 0, nil
	}
	if n.Kind != tree.Number {
		return 0, fmt.Errorf("has a %s of kind %v, not a number", keyVersion, n.Kind)
	}
	v, err := strconv.ParseInt(n.Text, 10, 64)
	if err != nil || v < 1 {
		return 0, fmt.Errorf("has a %s of %s, not an integer from 1 on", keyVersion, clip(n.Text))
	}
	return v, nil
}

// system is the range of an object's members that are the hub's own: "$" is
// the first character of their keys.
func system(n *tree.Node) (from, to int) {
	from, _ = tree.Seek(n.Members(), "$")
	to = from
	for to < len(n.Members()) && strings.HasPrefix(n.Members()[to].Key, "$") {
		to++
	}
	return from, to
}

// dropSystem is an object without the hub's own keys.
func dropSystem(n *tree.Node) *tree.Node {
	from, to := system(n)
	if from == to {
		return n
	}
	return tree.NewObject(slices.Concat(n.Members()[:from], n.Members()[to:])...)
}

// propertiesOf takes an object without "$" keys and null members, or nil.
func propertiesOf(root *tree.Node, version int64) Properties { return Properties{root, version} }

// tree is the root, never nil.
func (p Properties) tree() *tree.Node {
	if p.root == nil {
		return tree.NewObject()
	}
	return p.root
}

// Version counts the writes to this half, from 1 on; 0 when not known.
func (p Properties) Version() int64 { return p.version }

// WithVersion is the same half at another version; 0 or less means not known.
func (p Properties) WithVersion(version int64) Properties {
	return Properties{p.root, max(version, 0)}
}

// At is the value at a path of keys; see [Value.At]. "" is the whole half, as
// an object.
func (p Properties) At(path string) Value { return Value{n: p.tree()}.At(path) }

// All walks the top-level properties in the order of their keys.
func (p Properties) All() iter.Seq2[string, Value] { return p.At("").All() }

// Equal reports whether two halves hold the same, whatever their versions; see
// [Value.Equal].
func (p Properties) Equal(q Properties) bool { return tree.Equal(p.tree(), q.tree()) }

// Size is how much of its 32 KB the half uses, as the hub counts: the lengths of
// all keys and strings without control characters, 8 for each number, 4 for each
// boolean, and nothing for braces, quotes, commas, nulls and the hub's own "$"
// keys. It costs nothing to ask.
//
// The documentation speaks of "characters" without saying which kind. Size counts
// UTF-8 bytes, which is the most. [Validate] refuses only what is too large by
// every reading.
func (p Properties) Size() int { return p.sizes().Bytes }

// sizes is Size in each reading.
func (p Properties) sizes() tree.Size { return p.tree().Size() }

// JSON is the half as compact JSON: keys in bytewise order, then "$version"
// if it is known. [ParseProperties] reads it back. The bytes are the caller's.
func (p Properties) JSON() []byte {
	root := p.tree()
	return p.appendJSON(make([]byte, 0, root.Wire()+len(keyVersion)+24))
}

func (p Properties) appendJSON(b []byte) []byte {
	b = tree.AppendJSON(b, p.tree())
	if p.version == 0 {
		return b
	}
	b = b[:len(b)-1]
	if p.root != nil && len(p.root.Members()) > 0 {
		b = append(b, ',')
	}
	b = append(tree.AppendQuoted(b, keyVersion), ':')
	return append(strconv.AppendInt(b, p.version, 10), '}')
}

// String is the same text as JSON.
func (p Properties) String() string { return string(p.JSON()) }

// MarshalJSON implements json.Marshaler.
func (p Properties) MarshalJSON() ([]byte, error) { return p.JSON(), nil }
