package twin

import (
	"encoding/json"
	"iter"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// A Value is one JSON value of a twin, or nothing: the zero Value is missing.
// It never changes; copy it, keep it, read it from any goroutine. Compare
// values with [Value.Equal]; == compares something else.
type Value struct {
	n    *tree.Node
	path string // from the root that it was found from, for errors
	// array is 0, or 1 plus the length of the part of path that leads to an
	// array, and beyond which therefore nothing is.
	array int
}

// Kind says what the value is; Missing when there is none.
func (v Value) Kind() Kind {
	if v.n == nil {
		return Missing
	}
	return Kind(v.n.Kind)
}

// Exists reports whether there is a value. A null exists: it stands in
// patches, where it deletes, and in arrays.
func (v Value) Exists() bool { return v.n != nil }

// At is the value at a path of keys, such as "climate.temperature"; "" is the
// value itself. It is missing when any step of the way is. Arrays have no
// keys; use Index for them.
//
// A path walks one key for each part between dots, whatever its characters:
// none is special. A hub may hold an empty key, so At reads one, as an empty
// part: "a.". At a root only [Properties.All] finds it. Paths that are written
// or listened to have no empty part. See [Patch.Set].
func (v Value) At(path string) Value {
	if path == "" {
		return v
	}
	n, array := tree.FindPath(v.n, path)
	found := Value{n: n, path: below(v.path, path)}
	switch {
	case v.array > 0:
		found.array = v.array
	case array > 0:
		found.array = len(found.path) - len(path) + array + 1
	case array == 0:
		found.array = len(v.path) + 1
	}
	return found
}

// absence is why there is no value.
func (v Value) absence() error {
	if v.array > 0 {
		return errInArray(v.path[:v.array-1])
	}
	return ErrMissing
}

// Decode stores the value in what into points to, by the rules of
// encoding/json: case-insensitive field names, unknown members ignored. So
// a number in an any becomes a float64; decode into a json.Number or an int64
// where every digit counts.
//
// The error is a *DecodeError with the path at which the value was found. It
// matches ErrMissing when there is no value, and then nothing is stored. If the
// path leads into an array, it says so, and matches ErrInvalid instead.
func (v Value) Decode(into any) error {
	if v.n == nil {
		return &DecodeError{v.path, v.absence()}
	}
	if to, ok := into.(*Value); ok && to != nil {
		*to = v
		return nil
	}
	if err := json.Unmarshal(v.JSON(), into); err != nil {
		return &DecodeError{v.path, err}
	}
	return nil
}

// JSON is the value as compact JSON: keys in bytewise order, numbers as they
// were written; nil when missing. The bytes are the caller's.
func (v Value) JSON() []byte {
	if v.n == nil {
		return nil
	}
	return tree.AppendJSON(make([]byte, 0, v.n.Wire()), v.n)
}

// String is the text of a string, without quotes. Of anything else it is the
// text of JSON, "" when missing.
func (v Value) String() string {
	if v.Kind() == String {
		return v.n.Text
	}
	return string(v.JSON())
}

// MarshalJSON implements json.Marshaler. A missing value becomes null.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.n == nil {
		return []byte("null"), nil
	}
	return v.JSON(), nil
}

// Equal reports whether two values are the same: numbers by their exact
// decimal value (1.10 equals 1.1 and 11e-1, and 0 equals -0), members in any
// order, elements in theirs. Missing equals missing only.
func (v Value) Equal(w Value) bool { return tree.Equal(v.n, w.n) }

// All walks the members of an object in the order of their keys; anything else
// has none.
func (v Value) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		for _, m := range v.n.Members() {
			if !yield(m.Key, Value{n: m.Value, path: below(v.path, m.Key)}) {
				return
			}
		}
	}
}
