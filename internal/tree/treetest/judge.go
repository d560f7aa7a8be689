// Package treetest judges trees by plain maps: what a merge makes, what a size
// counts, and that the sums that a tree carries are right.
package treetest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// A TB is the part of testing.TB that is used here.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}

// plain reads JSON into maps.
func PlainOf(t TB, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("the judge cannot read %s: %v", text, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("the judge finds more after %s", text)
	}
	return v
}

// PlainMerge is the pseudo code of RFC 7396, section 2, word for word.
func PlainMerge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	result := map[string]any{}
	if t, ok := target.(map[string]any); ok {
		maps.Copy(result, t)
	}
	for name, value := range p {
		if value == nil {
			delete(result, name)
		} else {
			result[name] = PlainMerge(result[name], value)
		}
	}
	return result
}

// PlainText is a canonical text: equal values have equal texts.
func PlainText(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(&b, "%q:%s,", key, PlainText(v[key]))
		}
		return "{" + b.String() + "}"
	case []any:
		var b strings.Builder
		for _, item := range v {
			b.WriteString(PlainText(item) + ",")
		}
		return "[" + b.String() + "]"
	case json.Number:
		r, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return "not a number: " + v.String()
		}
		return r.RatString()
	}
	return fmt.Sprintf("%#v", v)
}

// PlainSize counts as protocol-mqtt 6.3 says, in the three readings.
func PlainSize(v any) tree.Size {
	switch v := v.(type) {
	case map[string]any:
		var n tree.Size
		for key, value := range v {
			n = n.Plus(PlainSize(key)).Plus(PlainSize(value))
		}
		return n
	case []any:
		var n tree.Size
		for _, item := range v {
			n = n.Plus(PlainSize(item))
		}
		return n
	case json.Number:
		return tree.Size{Bytes: 8, Runes: 8, UTF16: 8}
	case bool:
		return tree.Size{Bytes: 4, Runes: 4, UTF16: 4}
	case string:
		var kept []rune
		for _, r := range v {
			if r > 0x1f && (r < 0x80 || r > 0x9f) {
				kept = append(kept, r)
			}
		}
		return tree.Size{Bytes: len(string(kept)), Runes: len(kept), UTF16: len(utf16.Encode(kept))}
	}
	return tree.Size{}
}

// Sound checks all that a node promises of itself.
func Sound(t TB, n *tree.Node) {
	t.Helper()
	if n == nil {
		return
	}
	text := string(tree.AppendJSON(nil, n))
	v := PlainOf(t, text)
	if got, want := n.Wire(), len(text); got != want {
		t.Errorf("wire of %s: got %d, want %d", text, got, want)
	}
	if got, want := n.Size(), PlainSize(v); got != want {
		t.Errorf("size of %s: got %v, want %v", text, got, want)
	}
	depth, acts := uint8(0), n.Kind == tree.Null || n.Whole
	for i, m := range n.Members() {
		Sound(t, m.Value)
		depth, acts = max(depth, m.Value.Depth), acts || m.Value.Acts
		if i > 0 && n.Members()[i-1].Key >= m.Key {
			t.Errorf("key %q stands before %q", n.Members()[i-1].Key, m.Key)
		}
	}
	for _, item := range n.Items() {
		Sound(t, item)
		depth = max(depth, item.Depth)
		if tree.Replaced(item) != nil {
			t.Errorf("%s: an element replaces something", text)
		}
	}
	if n.Kind == tree.Object || n.Kind == tree.Array {
		depth++
	}
	if n.Depth != depth || n.Acts != acts {
		t.Errorf("%s: got depth %d and acts %v, want %d and %v", text, n.Depth, n.Acts, depth, acts)
	}
}

// DeletesOnlyWhatIs checks that a diff holds null only for what is there:
// hubs disagree on what other nulls do.
func DeletesOnlyWhatIs(t TB, doc, patch *tree.Node) {
	t.Helper()
	for _, m := range patch.Members() {
		switch v := doc.Get(m.Key); {
		case m.Value.Kind == tree.Null && v == nil:
			t.Fatalf("diff %s deletes %q of %s", tree.AppendJSON(nil, patch), m.Key, tree.AppendJSON(nil, doc))
		case m.Value.Kind == tree.Object:
			DeletesOnlyWhatIs(t, v, m.Value)
		}
	}
}
