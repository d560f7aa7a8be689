// Package tree is the JSON of a twin as a tree that never changes, and the few
// walks over it: merging, comparing, finding, and the composition of patches.
// Package twin gives users values over it. The machines of package device work
// on it directly.
//
// # Parsing
//
// Parsing JSON is not what this module is for, so gjson does it: it is one
// package without dependencies outside its own family, it walks over a text
// without reflection, and it keeps the text of a number. This package adds what
// gjson leaves open, and each check is here for a reason:
//
//   - The size comes first, then the depth of 64 levels: gjson recurses, and a
//     text of brackets would grow the stack.
//   - gjson.Valid comes before any reading. Of wrong JSON gjson returns something
//     and no error.
//   - UTF-8, and in what firmware wants whole surrogate pairs: gjson checks
//     neither.
//   - Of a key that appears twice the last wins. gjson.Get finds the first.
//   - Objects are walked key by key and never searched by a path. "@this", "x*",
//     "#" and "e|f" are keys of twins, and gjson's paths mean something else by
//     them.
//   - Strings and numbers are copied. gjson returns parts of the text, of which
//     the smallest keeps all of it in memory for as long as a twin holds it.
//
// gjson says whether a text is wrong and not where. Only then this package walks
// over the text by itself, to name the byte. The price of gjson is time, as each
// level of a text is scanned anew: at most 64 times.
package tree

// A Key is asked for by the functions of package twin that take its values
// apart. Only packages of this module can make one, so users cannot call them.
type Key struct{ _ internal }

type internal struct{}
