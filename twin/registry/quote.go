package registry

import (
	"fmt"
	"strings"
)

// Quote returns text as a string literal of the hub's query language, quotes
// included, so that values can be put into a query whatever they hold:
//
//	query := "SELECT * FROM devices WHERE tags.owner = " + registry.Quote(owner)
//
// Bytes that are not UTF-8 become U+FFFD, as no query can hold them.
func Quote(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range text {
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
