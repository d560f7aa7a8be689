// Package own holds the key to what packages of this module share and users do
// not call. A function that asks for a [Key] is public to the compiler only.
package own

// A Key can be made by packages of this module alone, since no other can import
// this one.
type Key struct{ _ key }

type key struct{}
