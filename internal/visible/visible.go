// Package visible finds characters that a person cannot see in a text: byte-order
// marks, no-break spaces, zero-width characters and the rest of their kind. Files
// and copied texts bring them, and without a word about them an error claims what
// the reader sees to be untrue.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Trim returns s without the white space and the other invisible characters
// around it. No name, key or token begins or ends in one.
func Trim(s string) string { return strings.TrimFunc(s, Invisible) }

// Check returns an error about the first character of s that cannot be seen. It
// says which one and at which byte, counted from 0, and quotes nothing else of s.
// A space can be seen, and so can what allowed holds.
func Check(s, allowed string) error {
	if IsUTF16(s) {
		return fmt.Errorf("the text is UTF-16, as Windows writes it; save it as UTF-8")
	}
	for i, r := range s {
		switch {
		case r == ' ' || strings.ContainsRune(allowed, r) && r != utf8.RuneError:
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			return fmt.Errorf("byte %d is no character of UTF-8; type that part again", i)
		case Invisible(r):
			return fmt.Errorf("an invisible character (%s) stands at byte %d; type that part again", name(r), i)
		}
	}
	return nil
}

// IsUTF16 reports whether a text is UTF-16: by its byte-order mark, or by a zero
// byte beside each letter.
func IsUTF16[T string | []byte](s T) bool {
	head := string(s[:min(len(s), 4)])
	return strings.HasPrefix(head, "\xff\xfe") || strings.HasPrefix(head, "\xfe\xff") ||
		len(head) == 4 && (head[0] == 0) != (head[1] == 0) && (head[0] == 0) == (head[2] == 0) && (head[1] == 0) == (head[3] == 0)
}

// Invisible reports whether a character leaves no mark on the screen, such as
// white space.
func Invisible(r rune) bool {
	switch {
	case unicode.IsSpace(r), unicode.IsControl(r), unicode.In(r, unicode.Z, unicode.Cf):
		return true
	case r == 0x2800, r == 0x16fe4, r == 0x1d159:
		return true // blanks and fillers that are letters, marks or signs by their class
	}
	// What Unicode calls ignorable: more fillers, joiners and selectors.
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// name is a character as a person looks it up.
func name(r rune) string {
	switch r {
	case '\t':
		return "tab, U+0009"
	case '\n', '\r':
		return fmt.Sprintf("line break, %U", r)
	case 0xa0:
		return "no-break space, U+00A0"
	case 0x200b:
		return "zero-width space, U+200B"
	case 0xfeff:
		return "byte-order mark, U+FEFF"
	}
	return fmt.Sprintf("%U", r)
}
