package hubtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// members are those of a JSON object, in the order in which they were written,
// as a hub keeps them. Nil has none.
type members struct {
	keys   []string
	values map[string]any
}

// newMembers makes an object of names and values in turn.
func newMembers(pairs ...any) *members {
	m := &members{}
	for i := 0; i < len(pairs); i += 2 {
		m.set(pairs[i].(string), pairs[i+1])
	}
	return m
}

func (m *members) len() int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// lookup returns the member of that name, and whether there is one.
func (m *members) lookup(key string) (any, bool) {
	if m == nil {
		return nil, false
	}
	v, ok := m.values[key]
	return v, ok
}

// get returns the member of that name, or nil.
func (m *members) get(key string) any {
	v, _ := m.lookup(key)
	return v
}

// fold is lookup without regard to case, as the model of a service's request is
// read. The exact name goes before another.
func (m *members) fold(key string) (any, bool) {
	if v, ok := m.lookup(key); ok {
		return v, true
	}
	for k, v := range m.all() {
		if strings.EqualFold(k, key) {
			return v, true
		}
	}
	return nil, false
}

// set writes a member. A new one comes last, any other keeps its place.
func (m *members) set(key string, v any) {
	if m.values == nil {
		m.values = map[string]any{}
	}
	if _, there := m.values[key]; !there {
		m.keys = append(m.keys, key)
	}
	m.values[key] = v
}

// all are the members in their order.
func (m *members) all() iter.Seq2[string, any] {
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

// without is a copy that lacks some members.
func (m *members) without(keys ...string) *members {
	out := &members{}
	for k, v := range m.all() {
		if !slices.Contains(keys, k) {
			out.set(k, v)
		}
	}
	return out
}

// sorted is a value with the members of every object in it in the order of their
// names.
func sorted(v any) any {
	switch v := v.(type) {
	case *members:
		out := &members{}
		if v == nil {
			return out
		}
		for _, k := range sortedKeys(v.values) {
			out.set(k, sorted(v.values[k]))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = sorted(e)
		}
		return out
	}
	return v
}

var errNotObject = errors.New("not a JSON object")

// parseObject reads one JSON object: numbers keep their text, members their
// order, of duplicate keys the last wins, and nothing may follow.
func parseObject(text []byte) (*members, error) {
	v, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	m, ok := v.(*members)
	if !ok {
		return nil, errNotObject
	}
	return m, nil
}

// parseJSON reads one JSON value: *members, []any, json.Number, string, bool or
// nil.
func parseJSON(text []byte) (any, error) {
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
		m := &members{}
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
			m.set(name, v)
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

// appendSection writes a document with its version as the last member.
func appendSection(b []byte, doc *members, version int64) []byte {
	b = appendJSON(b, doc)
	b = b[:len(b)-1]
	if doc.len() > 0 {
		b = append(b, ',')
	}
	b = append(b, `"$version":`...)
	b = strconv.AppendInt(b, version, 10)
	return append(b, '}')
}

// appendJSON writes a value without white space.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case *members:
		b = append(b, '{')
		first := true
		for k, e := range v.all() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendJSON(append(appendText(b, k), ':'), e)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case string:
		return appendText(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

// appendText writes a JSON string. What JSON allows as it is stays.
func appendText(b []byte, s string) []byte {
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
