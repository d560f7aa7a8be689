// Package tree is the JSON of a twin as a tree that never changes, and the few
// walks over it: merging, comparing, finding, and the composition of patches.
// Package twin gives users values over it. The machines of package device work
// on it directly.
package tree

// A Key is asked for by the functions of package twin that take its values
// apart. Only packages of this module can make one, so users cannot call them.
type Key struct{ _ internal }

type internal struct{}
