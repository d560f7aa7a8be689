package catchup

import (
	"math/rand/v2"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestLawWhole holds all that is said of whole objects on random documents: what
// applying one makes, that the merge patch which it is resolved to makes the
// same and deletes by name only what is there, that what a store keeps of it
// does, and that two patches in a row compose.
func TestLawWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 11))
	for range 2000 {
		s := newSaying(rnd)
		judge := newModelHub(mergeRFC7396)
		judge.merge(collidingPatch(rnd, 3))
		doc := judge.properties()
		s.tell(judge)
		want := judge.text()
		if got := string(twin.Apply(doc, s.patch).At("").JSON()); got != want {
			t.Fatalf("apply %v, replacing %v, to %v: got %s, want %s", s.patch, twin.ReplacedOf(tree.Key{}, s.patch), doc, got, want)
		}
		merge := patchOf(tree.Resolve(tree.OrEmpty(rootOf(s.patch)), rootOf(doc)))
		treetest.Sound(t, rootOf(merge))
		if got := string(twin.Apply(doc, merge).At("").JSON()); got != want || twin.ReplacedOf(tree.Key{}, merge).Exists() {
			t.Fatalf("%v, replacing %v, resolved for %v to %v: got %s, want %s", s.patch, twin.ReplacedOf(tree.Key{}, s.patch), doc, merge, got, want)
		}
		if twin.ReplacedOf(tree.Key{}, s.patch).Exists() && len(s.merges) == 0 { // a merge may delete what it likes
			treetest.DeletesOnlyWhatIs(t, tree.OrEmpty(rootOf(doc)), tree.OrEmpty(rootOf(merge)))
		}
		steps := doc
		for _, p := range written([]twin.Patch{s.patch}) {
			steps = twin.Apply(steps, p)
		}
		if got := string(steps.At("").JSON()); got != want {
			t.Fatalf("%v, and %v deleted before, on %v: got %s, want %s", s.patch, twin.ReplacedOf(tree.Key{}, s.patch), doc, got, want)
		}
		next := newSaying(rnd)
		one := patchOf(tree.Compose(tree.OrEmpty(rootOf(s.patch)), tree.OrEmpty(rootOf(next.patch))))
		treetest.Sound(t, rootOf(one))
		next.tell(judge)
		if got, want := string(twin.Apply(doc, one).At("").JSON()), judge.text(); got != want {
			t.Fatalf("on %v, %v and then %v, as one: got %s, want %s", doc, s.patch, next.patch, got, want)
		}
	}
}
