package twin

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

// seeds are texts of some trouble each.
func seeds() []string {
	return []string{
		goodDocument, `{}`, `{"a":1,"$version":3}`, `{"a":{"b":null},"c":[1,null]}`,
		`{"@this":1,"x*":2,"e|f":3,"a\\.b":4,"":5}`, `{"a":1,"a":2,"\u0061":3}`,
		`{"n":[1.10,11e-1,-0,1e999999999,1E+21]}`, `"\ud83d\ude00\ud800"`, `[[[[{}]]]]`, "{\"\xff\":1}",
		`{"desired":{"$version":1},"reported":{"$version":1,"s":"a\u0001b\u0085c"}}`, `{"a":tru`, ``,
	}
}

func FuzzParseDocument(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDocument(b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrIncomplete) {
				t.Fatalf("got %v, want one of the two errors", err)
			}
			return
		}
		again, err := ParseDocument(d.JSON())
		if err != nil || again.String() != d.String() {
			t.Fatalf("%v does not come back: %v, %v", d, again, err)
		}
		if d.Desired.tree().Acts || d.Reported.tree().Acts {
			t.Fatalf("%v holds a null member", d)
		}
	})
}

func FuzzParsePatch(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parseFromHub(b)
		if err == nil != (json.Valid(b) && utf8.Valid(b)) && len(b) < tree.MaxDepth {
			t.Fatalf("got %v, and encoding/json says %v", err, json.Valid(b))
		}
		if err == nil {
			treetest.Sound(t, n)
			if treetest.PlainText(treetest.PlainOf(t, string(b))) != treetest.PlainText(treetest.PlainOf(t, string(tree.AppendJSON(nil, n)))) {
				t.Fatalf("%s became %s", b, tree.AppendJSON(nil, n))
			}
		}
		p, err := ParsePatch(b)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("got %v, want ErrInvalid", err)
			}
			return
		}
		if again, err := ParsePatch(p.JSON()); err != nil || again.String() != p.String() {
			t.Fatalf("%v does not come back: %v, %v", p, again, err)
		}
		_ = Validate(Properties{}, p)
		for range p.Paths() {
			continue
		}
	})
}

func FuzzApplyDiff(f *testing.F) {
	all := seeds()
	for i, s := range all {
		f.Add([]byte(s), []byte(all[(i+1)%len(all)]))
	}
	f.Add([]byte(`{"a":{"b":1,"c":2}}`), []byte(`{"a":{"b":null,"d":{"e":null}}}`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		n, err := parseDocument(doc)
		if err != nil || n.Kind != tree.Object {
			return
		}
		p, _, err := ParseNotification(tree.Key{}, patch)
		if err != nil {
			return
		}
		a := propertiesOf(dropSystem(n), 1)
		before := a.String()
		b := Apply(a, p)
		treetest.Sound(t, b.root)
		if Apply(b, p).root != b.root {
			t.Fatalf("%v on %v is not idempotent", p, a)
		}
		want := treetest.PlainMerge(treetest.PlainOf(t, a.At("").String()), treetest.PlainOf(t, p.String()))
		if treetest.PlainText(treetest.PlainOf(t, b.At("").String())) != treetest.PlainText(want) {
			t.Fatalf("%v on %v: got %v, want %v", p, a, b, want)
		}
		d := Diff(a, b)
		if got := Apply(a, d); !got.Equal(b) {
			t.Fatalf("%v to %v by %v: got %v", a, b, d, got)
		}
		if !Diff(a, a).IsEmpty() || a.String() != before {
			t.Fatalf("%s changed to %v", before, a)
		}
		if len(doc)+len(patch) < 1<<10 {
			minimal(t, a, b, d)
		}
	})
}

func FuzzSetPath(f *testing.F) {
	for _, path := range []string{"", "a", "a.b", ".", "a..b", "fan.", ".rpm", "@this", "x*", "e|f", `a\.b`, "$version", "\xff"} {
		f.Add(path, "a.c", "text")
		f.Add("a", path, "\xff")
	}
	f.Fuzz(func(t *testing.T, first, second, text string) {
		p := Set(first, map[string]any{"k": text}).Set(second, text)
		if err := p.Err(); err != nil {
			if !errors.Is(err, ErrInvalid) || !p.At("").Equal(Patch{}.At("")) {
				t.Fatalf("got %v with %v, want ErrInvalid and nothing", err, p)
			}
			return
		}
		var got string
		if err := p.At(second).Decode(&got); err != nil || got != text {
			t.Fatalf("set %q to %q: got %q, %v", second, text, got, err)
		}
		if err := p.Delete(second).Err(); err != nil {
			t.Fatalf("delete %q: %v", second, err)
		}
		treetest.Sound(t, p.root)
		keys, err := splitPath(second)
		if err != nil || joinPath(keys) != second || slices.Contains(keys, "") || slices.Contains(strings.Split(first, "."), "") && first != "" {
			t.Fatalf("%q: got %q, %v", second, keys, err)
		}
	})
}

func FuzzReplace(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(`{"a":{"b":{"x":1},"c":[null]},"":{"":2}}`), "a.b", []byte(s))
		f.Add([]byte(s), "", []byte(`{"a":{"b":null,"c":{}},"d":1}`))
		f.Add([]byte(s), "a.", []byte(`{"":{"":null}}`))
		f.Add([]byte(s), "a.c.0", []byte(`{"":{"":null}}`))
	}
	f.Fuzz(func(t *testing.T, doc []byte, path string, value []byte) {
		n, err := parseDocument(doc)
		if err != nil || n.Kind != tree.Object {
			return
		}
		p := Replace(path, json.RawMessage(value))
		if err := p.Err(); err != nil {
			if !errors.Is(err, ErrInvalid) || p.replaced().Exists() {
				t.Fatalf("got %v with %v, want ErrInvalid and nothing", err, p)
			}
			return
		}
		a := propertiesOf(dropSystem(n), 1)
		b := Apply(a, p)
		treetest.Sound(t, b.root)
		want := ""
		if v := treetest.PlainOf(t, string(value)); v != nil {
			want = treetest.PlainText(treetest.PlainMerge(nil, v)) // without its nulls
		}
		if got := b.At(path); !got.Exists() != (want == "") || got.Exists() && treetest.PlainText(treetest.PlainOf(t, string(got.JSON()))) != want {
			t.Fatalf("%q of %v replaced by %s: got %v, want %s", path, a, value, got, want)
		}
		merge := patchOf(tree.Resolve(p.root, a.root))
		treetest.Sound(t, merge.root)
		if got := Apply(a, merge); !got.Equal(b) || merge.replaced().Exists() {
			t.Fatalf("%v on %v, resolved to %v: got %v, want %v", p, a, merge, got, b)
		}
		if rest := Diff(Apply(a, p.Set(path, nil)), Apply(b, p.Set(path, nil))); path != "" && !rest.IsEmpty() {
			t.Fatalf("%v on %v changed something else: %v", p, a, rest)
		}
	})
}
