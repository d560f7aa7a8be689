package tree

import "unicode/utf8"

// A Size is how much of its 32 KB a section uses, by the hub's way of
// counting: the lengths of all keys and strings without control characters, 8
// for each number, 4 for each boolean, and nothing for braces, quotes and
// commas, nulls, and the hub's own "$" keys.
//
// The documentation speaks of "characters" and does not say which: each field
// is one reading. Bytes is never the smallest, Runes never the largest.
type Size struct {
	Bytes int // UTF-8 bytes
	Runes int // Unicode code points
	UTF16 int // UTF-16 units
}

// What scalars count, whatever they say.
const (
	sizeNumber = 8
	sizeBool   = 4
)

// FlatSize is n in each reading.
func FlatSize(n int) Size { return Size{n, n, n} }

// Plus is the sum of two sizes.
func (s Size) Plus(t Size) Size {
	return Size{s.Bytes + t.Bytes, s.Runes + t.Runes, s.UTF16 + t.UTF16}
}

func (s Size) minus(t Size) Size {
	return Size{s.Bytes - t.Bytes, s.Runes - t.Runes, s.UTF16 - t.UTF16}
}

// TextSize is what a key or a string counts.
func TextSize(s string) Size {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf {
			return FlatSize(i).Plus(oddSize(s[i:]))
		}
	}
	return FlatSize(len(s))
}

// measure is TextSize and QuotedLen at once.
func measure(s string) (Size, int) {
	for i := range len(s) {
		if !plain(s[i]) || s[i] >= utf8.RuneSelf {
			return TextSize(s), QuotedLen(s)
		}
	}
	return FlatSize(len(s)), len(s) + len(`""`)
}

// oddSize is textSize for text that is not plain ASCII.
func oddSize(s string) Size {
	var n Size
	for _, r := range s {
		switch {
		case IsControl(r):
			continue
		case r > 0xffff:
			n.UTF16++
		}
		n.Bytes += utf8.RuneLen(r)
		n.Runes++
		n.UTF16++
	}
	return n
}

// IsControl reports whether r is of the segments C0 or C1. DEL is of neither.
func IsControl(r rune) bool { return r < 0x20 || 0x80 <= r && r < 0xa0 }
