package twin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// A word writes itself as text, by a method of its pointer.
type word struct{ text string }

func (w *word) MarshalText() ([]byte, error) { return []byte(w.text), nil }

// A loop may hold itself where encoding/json does not look.
type loop struct {
	Name string
	Self *loop `json:"-"`
	next *loop
	More *loop `json:",omitzero"`
}

func (l *loop) IsZero() bool { return true }

// TestReplacementCharacter: U+FFFD in a Go value is a character like any other,
// and what encoding/json writes for bytes that are not UTF-8 is refused, however
// it is spelt.
func TestReplacementCharacter(t *testing.T) {
	const bad, good = "x\xff", "x\ufffd"
	type inside struct{ Text string }
	tests := []struct {
		name string
		make func(text string) any
	}{
		{"in a slice", func(s string) any { return []string{"\ufffd", s} }},
		{"in an array", func(s string) any { return [2]string{"\ufffd", s} }},
		{"a map's value", func(s string) any { return map[int]string{1: "\ufffd", 2: s} }},
		{"a map's key", func(s string) any { return map[string]int{s: 1} }},
		{"a key that writes itself", func(s string) any { return map[*word]int{{s}: 1} }},
		{"a field", func(s string) any { return struct{ A, B string }{"\ufffd", s} }},
		{"an embedded field", func(s string) any { return struct{ inside }{inside{s}} }},
		{"behind pointers", func(s string) any { p := &s; return struct{ P **string }{&p} }},
		{"behind an interface", func(s string) any { return struct{ V any }{[]any{s}} }},
		{"a named string", func(s string) any { type name string; return name(s) }},
		{"text that writes itself", func(s string) any { return &word{s} }},
		{"the same as a field", func(s string) any { return &struct{ W word }{word{s}} }},
		{"raw JSON", func(s string) any { return []json.RawMessage{json.RawMessage(`"` + s + `"`)} }},
		{"beside raw JSON", func(s string) any { return []any{json.RawMessage(`"\ufffd"`), []string{s}} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Set("a", tt.make(good))
			if err := p.Err(); err != nil || !strings.Contains(p.String(), good) {
				t.Errorf("with U+FFFD: got %v, %v", p, err)
			}
			err := Set("a", tt.make(bad)).Err()
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "not UTF-8") {
				t.Errorf("with bytes that are not UTF-8: got %v, want ErrInvalid with \"not UTF-8\"", err)
			}
		})
	}
}

// TestReplacementCharacterBeside: what encoding/json leaves out is not looked
// at, or only within bounds.
func TestReplacementCharacterBeside(t *testing.T) {
	l := &loop{Name: "\ufffd"}
	l.Self, l.next = l, l
	if err := Set("a", l).Err(); err != nil {
		t.Errorf("fields that JSON never has: got %v", err)
	}
	if got := l.next.Name; got != "\ufffd" {
		t.Errorf("got %q", got)
	}
	l.More = l
	if err := Set("a", l).Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a field that is left out and holds itself: got %v, want ErrInvalid", err)
	}
	if err := Set("a", struct {
		A string
		B string `json:"-"`
		c string
	}{"\ufffd", "\xff", "\xff"}).Err(); err != nil {
		t.Errorf("fields that are not written: got %v", err)
	}
}
