package twin

// A Size is how much of its 32 KB a section uses, as the hub counts: the
// lengths of all keys and strings without control characters, 8 for each
// number, 4 for each boolean, and nothing for braces, quotes, commas, nulls and
// the hub's own "$" keys.
//
// The documentation speaks of "characters" without saying which kind. Each
// field is one reading. Bytes is never the smallest, Runes never the largest.
type Size struct {
	Bytes int // UTF-8 bytes
	Runes int // Unicode code points
	UTF16 int // UTF-16 units
}
