package twin

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// The hub's limits, from "Understand and use device twins in IoT Hub" and the
// validator of IoT Edge.
const (
	maxSection  = 32 << 10 // of either half, in each reading of tree.Size
	maxKey      = 1 << 10  // bytes
	maxString   = 4 << 10  // bytes
	maxTwinDeep = 10       // levels of objects and arrays below the root
)

// Validate says whether the hub would refuse the patch, were it sent for a half
// of a twin that stands as base: the patch for its keys, strings, integers,
// depth and nulls in arrays, and the half after the merge for its size. Where
// the hub's documents can be read in more than one way, it refuses only what
// every reading refuses: nil is no promise, but an error is certain.
//
// The error is a *LimitError, or what [Patch.Err] tells; both match
// ErrInvalid. A half that is too large already may still shrink.
func Validate(base Properties, p Patch) error {
	if p.err != nil {
		return p.err
	}
	if err := (&validator{}).object(p.tree()); err != nil {
		return err
	}
	before, after := base.sizes(), Apply(base, p).sizes()
	if !grewTooLarge(before.Runes, after.Runes) || !grewTooLarge(before.UTF16, after.UTF16) ||
		!grewTooLarge(before.Bytes, after.Bytes) {
		return nil
	}
	return &LimitError{
		Limit:  limitSection,
		Got:    strconv.Itoa(after.Runes) + " characters after the patch",
		Max:    strconv.Itoa(maxSection),
		advice: "delete properties or shorten strings; large or fast-changing data belongs into messages",
	}
}

// grewTooLarge holds the hub to its word that only a patch which makes a half
// larger is refused.
func grewTooLarge(before, after int) bool { return after > maxSection && after > before }

// A validator walks a patch.
type validator struct {
	keys   []string // from the root to the value
	depth  int      // of the object or array that is walked; the root's is 0
	arrays int      // how many of those above are arrays
}

// refuse returns the error of a limit that is broken here. Inlined, it would cost a device program 1 KB.
//
//go:noinline
func (v *validator) refuse(limit, got, allowed, advice string) error {
	return &LimitError{Path: joinPath(v.keys), Limit: limit, Got: got, Max: allowed, advice: advice}
}

func (v *validator) object(n *tree.Node) error {
	for _, m := range n.Members() {
		v.keys = append(v.keys, m.Key)
		if err := v.key(m.Key); err != nil {
			return err
		}
		if err := v.value(m.Value); err != nil {
			return err
		}
		v.keys = v.keys[:len(v.keys)-1]
	}
	return nil
}

func (v *validator) array(n *tree.Node) error {
	v.arrays++
	for _, item := range n.Items() {
		if err := v.value(item); err != nil {
			return err
		}
	}
	v.arrays--
	return nil
}

func (v *validator) key(key string) error {
	if len(key) > maxKey {
		return v.refuse(limitKeyLength, bytesLong(key), bytesOf(maxKey), "shorten the key")
	}
	for _, r := range key {
		switch {
		case r == '$':
			return v.refuse(limitKeyCharacter, "'$'", "none of . $ # space, or control characters",
				"keys with '$' are the hub's own; rename the key")
		case r == '.':
			return v.refuse(limitKeyCharacter, "'.'", "none of . $ # space, or control characters",
				"nest objects, or use Set, which takes a path")
		case r == '#', r == ' ', tree.IsControl(r):
			// The documentation does not name '#'; the hub's own error does.
			return v.refuse(limitKeyCharacter, strconv.QuoteRune(r), "none of . $ # space, or control characters",
				"rename the key")
		}
	}
	return nil
}

func (v *validator) value(n *tree.Node) error {
	switch n.Kind {
	case tree.Null:
		if v.arrays > 0 {
			return v.refuse(limitNull, "null", "any other value", "leave the element or member out")
		}
	case tree.Number:
		if !tree.InRange(n.Text) {
			return v.refuse(limitInteger, clip(n.Text), tree.MinInteger+" to "+tree.MaxInteger,
				"send it as a string")
		}
	case tree.String:
		if len(n.Text) > maxString {
			return v.refuse(limitString, bytesLong(n.Text), bytesOf(maxString),
				"shorten it; long texts belong into messages or files")
		}
	case tree.Object, tree.Array:
		return v.nested(n)
	}
	return nil
}

func (v *validator) nested(n *tree.Node) error {
	if v.depth++; v.depth > maxTwinDeep {
		return v.refuse(limitDepth, fmt.Sprintf("level %d", v.depth), fmt.Sprintf("%d levels below the root", maxTwinDeep),
			"flatten objects and arrays")
	}
	walk := v.object
	if n.Kind == tree.Array {
		walk = v.array
	}
	if err := walk(n); err != nil {
		return err
	}
	v.depth--
	return nil
}

func bytesLong(s string) string {
	if n := utf8.RuneCountInString(s); n != len(s) {
		return fmt.Sprintf("%d bytes (%d characters)", len(s), n)
	}
	return bytesOf(len(s))
}

func bytesOf(n int) string { return strconv.Itoa(n) + " bytes" }
