package twin

import (
	"encoding"
	"encoding/json"
	"reflect"
	"unicode/utf8"
)

// replacement is what encoding/json writes for bytes that are not UTF-8.
const replacement = string(utf8.RuneError)

// A reader looks for bytes that are not UTF-8 in a Go value that encoding/json
// has written. It reads what encoding/json reads. It is bounded for the sake of
// fields that are left out of the JSON: they may hold themselves.
type reader struct{ left int }

// maxSteps is how many pointers and levels encoding/json follows before it
// looks for circles.
const maxSteps = 1000

// value returns the error of the first string or key that is not UTF-8.
func (r *reader) value(v reflect.Value, steps int) error {
	if r.left--; r.left < 0 || steps > maxSteps {
		return errLarge()
	}
	kind := v.Kind()
	indirect := kind == reflect.Pointer || kind == reflect.Interface
	if kind == reflect.Invalid || indirect && v.IsNil() {
		return nil
	}
	if done, err := marshals(v); done {
		return err
	}
	switch kind {
	case reflect.String:
		if s := v.String(); !utf8.ValidString(s) {
			return errNotUTF8("string", s)
		}
	case reflect.Pointer, reflect.Interface:
		return r.value(v.Elem(), steps+1)
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if err := r.value(v.Index(i), steps+1); err != nil {
				return err
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			for _, part := range [...]reflect.Value{entries.Key(), entries.Value()} {
				if err := r.value(part, steps+1); err != nil {
					return err
				}
			}
		}
	case reflect.Struct:
		return r.fields(v, steps)
	}
	return nil
}

func (r *reader) fields(v reflect.Value, steps int) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() && !field.Anonymous || field.Tag.Get("json") == "-" {
			continue
		}
		if err := r.value(v.Field(i), steps+1); err != nil {
			return err
		}
	}
	return nil
}

// marshals reports whether a value writes itself. Only its text is in the JSON
// then. encoding/json copies what MarshalJSON returns, bytes that are not UTF-8
// included, and the parser has seen to those.
func marshals(v reflect.Value) (bool, error) {
	if !v.CanInterface() {
		return false, nil
	}
	if v.CanAddr() {
		v = v.Addr() // it has the methods of both
	}
	switch m := v.Interface().(type) {
	case json.Marshaler:
		return true, nil
	case encoding.TextMarshaler:
		text, err := m.MarshalText()
		if err == nil && !utf8.Valid(text) {
			err = errNotUTF8("string", string(text))
		}
		return true, err
	}
	return false, nil
}
