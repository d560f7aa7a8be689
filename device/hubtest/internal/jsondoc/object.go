// Package jsondoc keeps JSON as a hub does: objects in the order in which their
// members were written, numbers by their text. It is pure, and shares no code
// with package twin, which the hub judges.
package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Object is the members of a JSON object, in the order in which they were
// written. A nil one has none.
type Object struct {
	keys   []string
	values map[string]any
}

// New makes an object of names and values in turn.
func New(pairs ...any) *Object {
	m := &Object{}
	for i := 0; i < len(pairs); i += 2 {
		m.Set(pairs[i].(string), pairs[i+1])
	}
	return m
}

// Len is the number of members.
func (m *Object) Len() int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Lookup returns the member of that name, and whether there is one.
func (m *Object) Lookup(key string) (any, bool) {
	if m == nil {
		return nil, false
	}
	v, ok := m.values[key]
	return v, ok
}

// Get returns the member of that name, or nil.
func (m *Object) Get(key string) any {
	v, _ := m.Lookup(key)
	return v
}

// Fold is Lookup without regard to case, as the model of a service's request is
// read. The exact name goes before another.
func (m *Object) Fold(key string) (any, bool) {
	if v, ok := m.Lookup(key); ok {
		return v, true
	}
	for k, v := range m.All() {
		if strings.EqualFold(k, key) {
			return v, true
		}
	}
	return nil, false
}

// Set writes a member. A new one comes last, any other keeps its place.
func (m *Object) Set(key string, v any) {
	if m.values == nil {
		m.values = map[string]any{}
	}
	if _, there := m.values[key]; !there {
		m.keys = append(m.keys, key)
	}
	m.values[key] = v
}

// Text is the member of that name, in any case, as a text, or empty where it is
// none.
func (m *Object) Text(key string) string {
	v, _ := m.Fold(key)
	text, _ := v.(string)
	return text
}

// All are the members in their order.
func (m *Object) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if m == nil {
			return
		}
		for _, k := range m.keys {
			if !yield(k, m.values[k]) {
				return
			}
		}
	}
}

// Without is a copy that lacks some members.
func (m *Object) Without(keys ...string) *Object {
	out := &Object{}
	for k, v := range m.All() {
		if !slices.Contains(keys, k) {
			out.Set(k, v)
		}
	}
	return out
}

// Sorted is a value with the members of every object in it in the order of their
// names.
func Sorted(v any) any {
	switch v := v.(type) {
	case *Object:
		out := &Object{}
		if v == nil {
			return out
		}
		for _, k := range slices.Sorted(maps.Keys(v.values)) {
			out.Set(k, Sorted(v.values[k]))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Sorted(e)
		}
		return out
	}
	return v
}

// ErrNotObject is what ParseObject says of any other value.
var ErrNotObject = errors.New("not a JSON object")

// ParseObject reads one JSON object: numbers keep their text, members their
// order, of duplicate keys the last wins, and nothing may follow.
func ParseObject(text []byte) (*Object, error) {
	v, err := Parse(text)
	if err != nil {
		return nil, err
	}
	m, ok := v.(*Object)
	if !ok {
		return nil, ErrNotObject
	}
	return m, nil
}

// Parse reads one JSON value: *Object, []any, json.Number, string, bool or
// nil.
func Parse(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	var whole json.RawMessage // judged at once, depth included
	if err := d.Decode(&whole); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	d = json.NewDecoder(bytes.NewReader(whole))
	d.UseNumber()
	return parseValue(d)
}

// parseValue reads the next value of valid JSON.
func parseValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m := &Object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			m.Set(name, v)
		}
		_, err := d.Token() // its end
		return m, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}

// Append writes a value without white space.
func Append(b []byte, v any) []byte {
	switch v := v.(type) {
	case *Object:
		b = append(b, '{')
		first := true
		for k, e := range v.All() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = Append(append(AppendText(b, k), ':'), e)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = Append(b, e)
		}
		return append(b, ']')
	case string:
		return AppendText(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

// AppendText writes a JSON string. What JSON allows as it is stays.
func AppendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
