package twin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// The judge knows nothing of nodes: plain maps, encoding/json, big.Rat. It is
// slow, obvious, and shares no line with what it judges.

// plain reads JSON into maps.
func plainOf(t testing.TB, text string) any {
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

// plainMerge is the pseudo code of RFC 7396, section 2, word for word.
func plainMerge(target, patch any) any {
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
			result[name] = plainMerge(result[name], value)
		}
	}
	return result
}

// plainText is a canonical text: equal values have equal texts.
func plainText(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(&b, "%q:%s,", key, plainText(v[key]))
		}
		return "{" + b.String() + "}"
	case []any:
		var b strings.Builder
		for _, item := range v {
			b.WriteString(plainText(item) + ",")
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

// plainSize counts as protocol-mqtt 6.3 says, in the three readings.
func plainSize(v any) Size {
	switch v := v.(type) {
	case map[string]any:
		var n Size
		for key, value := range v {
			n = n.plus(plainSize(key)).plus(plainSize(value))
		}
		return n
	case []any:
		var n Size
		for _, item := range v {
			n = n.plus(plainSize(item))
		}
		return n
	case json.Number:
		return Size{8, 8, 8}
	case bool:
		return Size{4, 4, 4}
	case string:
		var kept []rune
		for _, r := range v {
			if r > 0x1f && (r < 0x80 || r > 0x9f) {
				kept = append(kept, r)
			}
		}
		return Size{len(string(kept)), len(kept), len(utf16.Encode(kept))}
	}
	return Size{}
}

// sound checks all that a node promises of itself.
func sound(t testing.TB, n *node) {
	t.Helper()
	if n == nil {
		return
	}
	text := string(appendJSON(nil, n))
	v := plainOf(t, text)
	if got, want := n.wire, len(text); got != want {
		t.Errorf("wire of %s: got %d, want %d", text, got, want)
	}
	if got, want := n.size, plainSize(v); got != want {
		t.Errorf("size of %s: got %v, want %v", text, got, want)
	}
	depth, acts := uint8(0), n.kind == Null || n.whole
	for i, m := range n.members {
		sound(t, m.value)
		depth, acts = max(depth, m.value.depth), acts || m.value.acts
		if i > 0 && n.members[i-1].key >= m.key {
			t.Errorf("key %q stands before %q", n.members[i-1].key, m.key)
		}
	}
	for _, item := range n.items {
		sound(t, item)
		depth = max(depth, item.depth)
		if replaced(item) != nil {
			t.Errorf("%s: an element replaces something", text)
		}
	}
	if n.kind == Object || n.kind == Array {
		depth++
	}
	if n.depth != depth || n.acts != acts {
		t.Errorf("%s: got depth %d and acts %v, want %d and %v", text, n.depth, n.acts, depth, acts)
	}
}

// A dice rolls JSON of few keys and few values, so that two rolls collide.
type dice struct{ *rand.Rand }

func newDice(t testing.TB) dice {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return dice{rand.New(rand.NewPCG(seed, 0))}
}

func (d dice) pick(from []string) string { return from[d.IntN(len(from))] }

func (d dice) value(depth int, nulls bool) string {
	switch n := d.IntN(10); {
	case n < 4 && depth > 0:
		return d.object(depth-1, nulls)
	case n == 4 && depth > 0:
		return d.array(depth - 1)
	case n == 5 && nulls, n == 6 && nulls:
		return "null"
	}
	return d.pick([]string{"0", "-0", "1", "1.0", "1.10", "1.1", "11e-1", "1e400", "10E399", "true", "false",
		`""`, `"x"`, `"é€😀"`, `"\u0001\n\u0085"`, `"<&>"`})
}

func (d dice) object(depth int, nulls bool) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range d.IntN(5) {
		if i > 0 {
			b.WriteByte(',')
		}
		key := d.pick([]string{"a", "b", "c", "d", "", "@this", "x*", "e|f", `a\\.b`, "温度"})
		fmt.Fprintf(&b, `"%s":%s`, key, d.value(depth, nulls))
	}
	b.WriteByte('}')
	return b.String()
}

func (d dice) array(depth int) string {
	items := make([]string, d.IntN(3))
	for i := range items {
		items[i] = d.value(depth, true)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// half reads an object as a half of a twin.
func half(t testing.TB, text string) Properties {
	t.Helper()
	n, err := parseDocument([]byte(text))
	if err != nil {
		t.Fatalf("half %s: %v", text, err)
	}
	return propertiesOf(dropSystem(n), 1)
}

// change reads an object as a patch of the hub's.
func change(t testing.TB, text string) Patch {
	t.Helper()
	p, _, err := ParseNotification([]byte(text))
	if err != nil {
		t.Fatalf("patch %s: %v", text, err)
	}
	return p
}
