package twin

import "github.com/devicetwin/devicetwin-go/internal/tree"

// Diff is the smallest patch that makes a of b: Apply(a, Diff(a, b)) equals b,
// no member of the patch can go, and the patch is empty when a equals b.
// Numbers that are written differently but have the same value, such as 1.10
// and 1.1, make no difference; an array that differs is named whole. Versions
// are not looked at.
//
// Branches that a and b share, as when one came of the other by [Apply], cost
// nothing.
func Diff(a, b Properties) Patch {
	return patchOf(tree.Diff(a.tree(), b.tree()))
}
