package twin

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

// cases is how many random cases the two great laws stand; others a part of it.
const cases = 20_000

func TestLawApplyIsRFC7396(t *testing.T) {
	d := newDice(t)
	for i := range cases {
		docText, patchText := d.object(3, false), d.object(3, true)
		doc, patch := half(t, docText), change(t, patchText)
		got := Apply(doc, patch)
		want := treetest.PlainMerge(treetest.PlainOf(t, docText), treetest.PlainOf(t, patchText))
		if treetest.PlainText(treetest.PlainOf(t, string(got.At("").JSON()))) != treetest.PlainText(want) {
			t.Fatalf("apply %s to %s: got %v, want %v", patchText, docText, got, want)
		}
		if got.root.Acts {
			t.Fatalf("apply %s to %s: got %v, want no null members", patchText, docText, got)
		}
		if again := Apply(got, patch); again.root != got.root {
			t.Fatalf("apply %s twice: got %v, then %v, want the same tree", patchText, got, again)
		}
		if i%16 == 0 {
			treetest.Sound(t, got.root)
		}
		if doc.String() != half(t, docText).String() || patch.String() != change(t, patchText).String() {
			t.Fatalf("apply %s to %s changed an argument", patchText, docText)
		}
	}
}

func TestLawDiffThenApply(t *testing.T) {
	d := newDice(t)
	for i := range cases {
		aText, bText := d.object(3, false), d.object(3, false)
		a, b := half(t, aText), half(t, bText)
		if i%2 == 0 { // a neighbour, which shares branches
			b = Apply(a, change(t, d.object(3, true)))
		}
		patch := Diff(a, b)
		if got := Apply(a, patch); !got.Equal(b) {
			t.Fatalf("from %v to %v by %v: got %v", a, b, patch, got)
		}
		equal := treetest.PlainText(treetest.PlainOf(t, string(a.At("").JSON()))) == treetest.PlainText(treetest.PlainOf(t, string(b.At("").JSON())))
		if got := a.Equal(b); got != equal {
			t.Fatalf("%v equals %v: got %v, want %v", a, b, got, equal)
		}
		if got := patch.IsEmpty(); got != equal {
			t.Fatalf("diff of %v and %v is empty: got %v, want %v", a, b, got, equal)
		}
		if got := Diff(a, half(t, aText)); !got.IsEmpty() {
			t.Fatalf("diff of %v and itself: got %v", a, got)
		}
		if i%16 == 0 {
			treetest.Sound(t, patch.root)
		}
		minimal(t, a, b, patch)
		treetest.DeletesOnlyWhatIs(t, a.tree(), patch.tree())
	}
}

// minimal checks that no member of the patch can go.
func minimal(t *testing.T, a, b Properties, patch Patch) {
	t.Helper()
	for _, less := range without(patch.root) {
		if Apply(a, patchOf(less)).Equal(b) {
			t.Fatalf("from %v to %v: got %v, but %s does", a, b, patch, tree.AppendJSON(nil, less))
		}
	}
}

// without lists the trees that n is with one member less, at any level.
func without(n *tree.Node) []*tree.Node {
	if n == nil {
		return nil
	}
	var all []*tree.Node
	for _, m := range n.Members() {
		all = append(all, n.With(m.Key, nil))
		for _, less := range without(m.Value) {
			all = append(all, n.With(m.Key, less))
		}
	}
	return all
}

func TestLawTextComesBack(t *testing.T) {
	d := newDice(t)
	for range cases / 4 {
		text := d.object(4, true)
		patch := change(t, text)
		again := change(t, patch.String())
		if got, want := again.String(), patch.String(); got != want {
			t.Fatalf("%s: got %s, want %s", text, got, want)
		}
		if !tree.Identical(again.root, patch.root) {
			t.Fatalf("%s: got another tree after its own text", text)
		}
		if treetest.PlainText(treetest.PlainOf(t, text)) != treetest.PlainText(treetest.PlainOf(t, patch.String())) {
			t.Fatalf("%s: got %s", text, patch)
		}
	}
}

func TestLawWithMember(t *testing.T) {
	d := newDice(t)
	for range cases / 4 {
		n := change(t, d.object(2, true)).tree()
		before := string(tree.AppendJSON(nil, n))
		key := d.pick([]string{"a", "b", "", "zz"})
		v := change(t, d.object(2, true)).root
		if d.IntN(2) == 0 {
			v = nil
		}
		got := n.With(key, v)
		treetest.Sound(t, got)
		if got.Get(key) != v {
			t.Fatalf("%s with %q: got %s", before, key, tree.AppendJSON(nil, got))
		}
		for _, m := range n.Members() {
			if m.Key != key && got.Get(m.Key) != m.Value {
				t.Fatalf("%s with %q lost %q: %s", before, key, m.Key, tree.AppendJSON(nil, got))
			}
		}
		if after := string(tree.AppendJSON(nil, n)); after != before {
			t.Fatalf("withMember changed its receiver from %s to %s", before, after)
		}
		if back := got.With(key, n.Get(key)); !tree.Identical(back, n) {
			t.Fatalf("%s with and without %q: got %s", before, key, tree.AppendJSON(nil, back))
		}
		treetest.Sound(t, tree.Settled(n))
	}
}
