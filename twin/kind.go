package twin

import "github.com/devicetwin/devicetwin-go/internal/tree"

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds of values.
const (
	Missing = Kind(tree.Missing) // no value at all
	Null    = Kind(tree.Null)
	Bool    = Kind(tree.Bool)
	Number  = Kind(tree.Number)
	String  = Kind(tree.String)
	Object  = Kind(tree.Object)
	Array   = Kind(tree.Array)
)

// String returns the name of the kind.
func (k Kind) String() string { return tree.Kind(k).String() }
