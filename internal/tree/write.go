package tree

import "strings"

// AppendJSON writes n as compact JSON.
func AppendJSON(b []byte, n *Node) []byte {
	switch n.Kind {
	case Null:
		return append(b, "null"...)
	case String:
		return AppendQuoted(b, n.Text)
	case Object:
		b = append(b, '{')
	case Array:
		b = append(b, '[')
	default:
		return append(b, n.Text...)
	}
	for i, m := range n.Members() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(AppendQuoted(b, m.Key), ':')
		b = AppendJSON(b, m.Value)
	}
	for i, item := range n.Items() {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSON(b, item)
	}
	if n.Kind == Object {
		return append(b, '}')
	}
	return append(b, ']')
}

const hexDigits = "0123456789abcdef"

// The characters that have an escape of two, and its second one.
const (
	shortEscaped = "\"\\\b\f\n\r\t"
	shortEscapes = `"\bfnrt`
)

// AppendQuoted writes a JSON string. It escapes only what it must, in the
// shortest way, so no text that was read becomes longer.
func AppendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		if plain(s[i]) {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		b = appendEscape(b, s[i])
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	if i := strings.IndexByte(shortEscaped, c); i >= 0 {
		return append(b, '\\', shortEscapes[i])
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// QuotedLen is the number of bytes that AppendQuoted writes.
func QuotedLen(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case plain(c):
		case strings.IndexByte(shortEscaped, c) >= 0:
			n++
		default:
			n += 5
		}
	}
	return n
}

// plain reports whether a byte is written as it is in a JSON string.
func plain(c byte) bool { return c >= ' ' && c != '"' && c != '\\' }
