package twin

import (
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// This file is what a patch does that no merge patch can say: an object that
// is whole takes the place of what is there, members that it does not name
// included. Where it is known what is there, a merge patch does it after all,
// with null for each of those; that one is sent.

// Replace is a patch that replaces one value; see [Patch.Replace].
func Replace(path string, v any) Patch { return Patch{}.Replace(path, v) }

// Replace is Set, but an object takes the place of what is there instead of
// merging with it: its members, at every depth, that v does not have are
// deleted, whoever reported them. Other values do so with Set already. A path
// of "" replaces the whole half.
//
// No single merge patch can say that, so a patch that replaces is for a
// device's reports, and for [Apply]: the client knows what the hub has, and
// sends the deletions by name.
//
// A later Set or Delete below path changes what takes the place; one above
// forgets it, as always.
func (p Patch) Replace(path string, v any) Patch {
	if p.err != nil {
		return p
	}
	n, err := nodeOf(v)
	if err != nil {
		return Patch{err: refusal(path, err)}
	}
	return p.put(path, tree.AsWhole(n))
}

// replaced is ReplacedOf.
func (p Patch) replaced() Value { return Value{n: tree.Replaced(p.root)} }

// errReplaces says that the JSON of a patch does not say all that it does.
func errReplaces(replaced *tree.Node) error {
	var paths []string
	tree.Nulls(replaced, nil, &paths)
	return fmt.Errorf("%w: the patch replaces what is at %q, which JSON merge patch cannot say; set it instead, and delete by name what is to go",
		ErrInvalid, clip(strings.Join(paths, ", ")))
}
