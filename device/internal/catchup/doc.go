// Package catchup decides what brings a device's twin back in step: for the
// desired half, which of the hub's words count and which listener is called
// with what, and for the reported half, what is to be sent next, and what became of
// it. Both machines are pure. They do no I/O and have no clock. Package device
// drives them.
package catchup

import (
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The machines work on trees, their callers on the values of package twin.

func propertiesOf(root *tree.Node, version int64) twin.Properties {
	return twin.PropertiesOf(tree.Key{}, root, version)
}

func patchOf(root *tree.Node) twin.Patch { return twin.PatchOf(tree.Key{}, root) }

func rootOf[T twin.Patch | twin.Properties | twin.Value](v T) *tree.Node {
	return twin.RootOf(tree.Key{}, v)
}
