package twin

import (
	"iter"
	"strconv"
)

// Get returns the value at a path, decoded as [Value.Decode] does it:
//
//	rpm, err := twin.Get[int](doc.Desired, "fan.rpm")
//
// v is a Value, Properties or a Patch, or anything else that has values by path.
// "" is v itself. An element of an array is found by [Value.Index].
//
// The error is a *DecodeError with the path. It matches ErrMissing where there
// is no value, or a null, which deletes. Where there is one that does not fit T,
// it unwraps to the cause.
func Get[T any](v interface{ At(path string) Value }, path string) (T, error) {
	var out T
	err := v.At(path).get(&out)
	return out, err
}

// GetOr is Get with a default, which it returns where there is no value, a null,
// or a value that does not fit T. Use Get to tell these apart.
//
//	rpm := twin.GetOr(doc.Desired, "fan.rpm", 1200)
func GetOr[T any](v interface{ At(path string) Value }, path string, def T) T {
	var out T
	if v.At(path).get(&out) != nil {
		return def
	}
	return out
}

// get is Decode, to which null is no value.
func (v Value) get(into any) error {
	if v.Kind() == Null {
		return &DecodeError{v.path, ErrMissing}
	}
	return v.Decode(into)
}

// Len returns the number of elements of an array, or of members of an object.
// Anything else has none.
func (v Value) Len() int {
	if v.n == nil {
		return 0
	}
	return len(v.n.Items()) + len(v.n.Members())
}

// Index returns an element of an array, counted from 0. It is missing where
// there is no such element, or no array.
func (v Value) Index(i int) Value {
	at := Value{path: v.path + "[" + strconv.Itoa(i) + "]"}
	if v.n != nil && 0 <= i && i < len(v.n.Items()) {
		at.n = v.n.Items()[i]
	}
	return at
}

// Elements walks the elements of an array in order. Anything else has none.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.Kind() != Array {
			return
		}
		for i := range v.n.Items() {
			if !yield(i, v.Index(i)) {
				return
			}
		}
	}
}
