package twin

import (
	"errors"
	"fmt"
	"iter"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// A Patch is a change of one half of a twin, as JSON Merge Patch (RFC 7396):
// what it names is set, what it names as null is deleted, and what it does not
// name stays; and, what JSON cannot say, an object may replace another whole
// ([Replace]). It is built from a path ([Set], [Delete], [Replace]), from Go
// values ([From]) or from JSON ([ParsePatch], json.Unmarshal). The zero Patch
// is empty.
//
// A Patch never changes: Set and its like return another one. Copy it, keep it,
// read it from any goroutine. What goes wrong while building is kept and told
// by [Patch.Err], and by everything that would send the patch; a failed patch
// changes nothing.
type Patch struct {
	root *tree.Node // an object without "$" keys, or nil when empty
	err  error
}

// Set is a patch that sets one value; see [Patch.Set].
func Set(path string, v any) Patch { return Patch{}.Set(path, v) }

// Delete is a patch that deletes what is at a path; see [Patch.Delete].
func Delete(path string) Patch { return Patch{}.Delete(path) }

// From is a patch from a Go value that is an object in JSON: a struct, a map,
// a json.RawMessage, a Value, a Patch, or Properties (without their version).
// Structs and the like go by the rules of encoding/json, tags included; and
// as there, nil pointers, maps and slices become null, which deletes.
func From(v any) Patch { return Patch{}.Set("", v) }

// ParsePatch reads a patch from JSON, which must be an object. The error
// matches ErrInvalid, and is a *SyntaxError where the text isn't JSON.
func ParsePatch(b []byte) (Patch, error) {
	n, err := parseFromCaller(b)
	if err != nil {
		return Patch{}, refusal("", err)
	}
	p := Patch{}.put("", n)
	if p.err != nil {
		return Patch{}, p.err
	}
	return p, nil
}

// patchOf takes an object without "$" keys, or nil.
func patchOf(root *tree.Node) Patch { return Patch{root: root} }

// tree is the root, never nil.
func (p Patch) tree() *tree.Node {
	if p.root == nil {
		return tree.NewObject()
	}
	return p.root
}

// Set is the patch with the value at path set to v, which is a Go value as for
// [From], or any other that encoding/json can write; nil is null and so
// deletes. What the patch said of that path, or of anything below it, is
// forgotten. A path of "" sets the whole patch, and v must be an object.
//
// An object merges with the one that the hub has: to be rid of members that
// are not named, delete them by name, or use [Patch.Replace]. A path below one that this patch already
// sets to something else than an object, or deletes, is an error, since no
// single merge patch can say that. An array is one value: no path leads into
// it. A path with an empty key, such as "fan..rpm" or "fan.", is an error too.
// Where a key has to be empty, set the object that holds it.
func (p Patch) Set(path string, v any) Patch {
	if p.err != nil {
		return p
	}
	n, err := nodeOf(v)
	if err != nil {
		return Patch{err: refusal(path, err)}
	}
	return p.put(path, n)
}

// Delete is the patch with null at path, so that what is there is deleted. It
// obeys the rules of Set.
func (p Patch) Delete(path string) Patch {
	if p.err != nil {
		return p
	}
	return p.put(path, tree.NewNull())
}

// put is the patch with n at path.
func (p Patch) put(path string, n *tree.Node) Patch {
	keys, err := splitPath(path)
	if err != nil {
		return Patch{err: err}
	}
	root, err := putNode(p.root, keys, 0, n)
	if err == nil {
		err = checkRoot(root)
	}
	if err != nil {
		return Patch{err: refusal(path, err)}
	}
	return Patch{root: root}
}

// refusal is the error of a patch, for what a caller gave at path.
func refusal(path string, err error) error {
	switch {
	case errors.Is(err, ErrInvalid):
		return err
	case path == "":
		return fmt.Errorf("%w: patch: %w", ErrInvalid, errtext.Bare("twin", err))
	}
	return fmt.Errorf("%w: patch at %q: %w", ErrInvalid, clip(path), errtext.Bare("twin", err))
}

// putNode is the tree with v at the end of the keys, of which the first at led
// to n.
func putNode(n *tree.Node, keys []string, at int, v *tree.Node) (*tree.Node, error) {
	switch {
	case at == len(keys):
		return v, nil
	case n != nil && n.Kind == tree.Array:
		return nil, errInArray(joinPath(keys[:at]))
	case n != nil && n.Kind != tree.Object:
		return nil, fmt.Errorf("%v stands above it in this patch; one merge patch cannot set both", n.Kind)
	}
	child, err := putNode(n.Get(keys[at]), keys, at+1, v)
	if err != nil {
		return nil, err
	}
	return n.With(keys[at], child), nil
}

// checkRoot holds what every patch holds; limits of the hub that may change
// are Validate's.
func checkRoot(root *tree.Node) error {
	if root.Kind != tree.Object {
		return fmt.Errorf("want an object, got %v", root.Kind)
	}
	if from, to := system(root); from < to {
		return fmt.Errorf("key %q belongs to the hub; keys with '$' never travel in a patch", clip(root.Members()[from].Key))
	}
	if root.Depth > tree.MaxDepth {
		return errDeep()
	}
	if root.Wire() > tree.MaxText {
		return errLarge()
	}
	return nil
}

// Err is what went wrong while building; nil for a good patch. It matches
// ErrInvalid. Whether the hub would take the patch is for [Validate].
func (p Patch) Err() error { return p.err }

// IsEmpty reports whether the patch changes nothing, whatever it is applied to.
// A failed patch isn't empty, nor is one that replaces a half by nothing.
func (p Patch) IsEmpty() bool {
	return p.err == nil && (p.root == nil || len(p.root.Members()) == 0 && !p.root.Whole)
}

// At is what the patch says of a path: Null deletes, Missing says nothing. See
// [Value.At].
func (p Patch) At(path string) Value { return Value{n: p.tree()}.At(path) }

// Paths walks the leaves of the patch, with their paths, in order: each value
// that it sets, each array as a whole, each null, and each empty object.
func (p Patch) Paths() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for key, v := range p.At("").All() {
			if !leaves(key, v.n, yield) {
				return
			}
		}
	}
}

func leaves(path string, n *tree.Node, yield func(string, Value) bool) bool {
	if n.Kind != tree.Object || len(n.Members()) == 0 {
		return yield(path, Value{n: n, path: path})
	}
	for _, m := range n.Members() {
		if !leaves(path+"."+m.Key, m.Value, yield) {
			return false
		}
	}
	return true
}

// JSON is the patch as compact JSON, keys in bytewise order; {} when it is
// empty or failed. It is a merge patch, and so does not say what else is
// deleted where [Patch.Replace] was used. The bytes are the caller's.
func (p Patch) JSON() []byte { return p.At("").JSON() }

// String is the same text as JSON.
func (p Patch) String() string { return string(p.JSON()) }

// MarshalJSON implements json.Marshaler. A failed patch is an error, and so is
// one that replaces: its JSON would do something else.
func (p Patch) MarshalJSON() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	if gone := tree.Replaced(p.root); gone != nil {
		return nil, errReplaces(gone)
	}
	return p.JSON(), nil
}
