package tree

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner is how this package read JSON before gjson did: text into a tree in
// one pass. Tests compare the two. It takes exactly RFC 8259,
// in valid UTF-8. Of a key that appears twice in an object, the last wins.
type scanner struct {
	b []byte
	i int // the next byte
	// strict refuses an escaped surrogate without its pair. A caller gets an error.
	// From the hub it becomes U+FFFD, as encoding/json has it, since refusing
	// would keep a device from its twin for as long as somebody's mistake
	// is in it.
	strict bool
	// document drops null members, except within arrays.
	document bool
	arrays   int // how many arrays are open

	members []Member // of the open objects, innermost last
	items   []*Node  // of the open arrays, likewise
	buf     []byte   // the string being unescaped
}

// parse reads the whole text: one value.
func (p *scanner) parse() (*Node, error) {
	limit := MaxText
	if p.document {
		limit = MaxTwin
	}
	if len(p.b) > limit {
		return nil, p.fail(limit, "the text is %d bytes long; at most %d are read", len(p.b), limit)
	}
	n, err := p.value(1)
	if err != nil {
		return nil, err
	}
	if p.space(); p.i < len(p.b) {
		return nil, p.fail(p.i, "more text after the value")
	}
	return n, nil
}

func (p *scanner) fail(offset int, format string, args ...any) error {
	if offset >= len(p.b) {
		return &SyntaxError{Offset: len(p.b), Reason: "the text ends too early"}
	}
	return &SyntaxError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

func (p *scanner) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// take consumes c, after white space, if it is next.
func (p *scanner) take(c byte) bool {
	p.space()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

// peek is the next byte, 0 at the end of the text.
func (p *scanner) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

// value reads one value, which is at the given level if it has one.
func (p *scanner) value(level int) (*Node, error) {
	p.space()
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if level > MaxDepth {
			return nil, p.fail(p.i, "more than %d levels of objects and arrays", MaxDepth)
		}
		p.i++
		if c == '{' {
			return p.object(level)
		}
		return p.array(level)
	case c == '"':
		s, err := p.text()
		if err != nil {
			return nil, err
		}
		return NewString(s), nil
	case c == '-' || isDigit(c):
		return p.number()
	}
	return p.word()
}

// word reads true, false or null.
func (p *scanner) word() (*Node, error) {
	for _, w := range [...]string{"true", "false", "null"} {
		if !strings.HasPrefix(w, string(p.peek())) {
			continue
		}
		for i := range len(w) {
			if p.peek() != w[i] {
				return nil, p.fail(p.i, "a misspelt %s", w)
			}
			p.i++
		}
		if w == "null" {
			return NewNull(), nil
		}
		return NewBool(w == "true"), nil
	}
	return nil, p.fail(p.i, "no value begins like this")
}

// object reads on after the opening brace.
func (p *scanner) object(level int) (*Node, error) {
	base := len(p.members)
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return nil, p.fail(p.i, "want ',' or '}' after a member")
		}
		p.space()
		if p.peek() != '"' {
			return nil, p.fail(p.i, "want a key in quotes")
		}
		key, err := p.text()
		if err != nil {
			return nil, err
		}
		if !p.take(':') {
			return nil, p.fail(p.i, "want ':' after a key")
		}
		v, err := p.value(level + 1)
		if err != nil {
			return nil, err
		}
		p.members = append(p.members, Member{key, v})
	}
	drop := p.document && p.arrays == 0
	members := scannedMembers(p.members[base:], drop)
	n := NewObject(slices.Clone(members)...)
	p.members = p.members[:base]
	return n, nil
}

// scannedMembers sorts members by key, in place, and keeps the last of each, and with
// drop none that are null.
func scannedMembers(members []Member, drop bool) []Member {
	byKey := func(a, b Member) int { return strings.Compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(members, byKey) {
		slices.SortStableFunc(members, byKey)
	}
	kept := members[:0]
	for i, m := range members {
		if i+1 < len(members) && members[i+1].Key == m.Key {
			continue
		}
		if drop && m.Value.Kind == Null {
			continue
		}
		kept = append(kept, m)
	}
	return kept
}

// array reads on after the opening bracket.
func (p *scanner) array(level int) (*Node, error) {
	base := len(p.items)
	p.arrays++
	for first := true; !p.take(']'); first = false {
		if !first && !p.take(',') {
			return nil, p.fail(p.i, "want ',' or ']' after an element")
		}
		v, err := p.value(level + 1)
		if err != nil {
			return nil, err
		}
		p.items = append(p.items, v)
	}
	p.arrays--
	n := NewArray(slices.Clone(p.items[base:]))
	p.items = p.items[:base]
	return n, nil
}

// number reads a number and keeps its text.
func (p *scanner) number() (*Node, error) {
	start := p.i
	if p.peek() == '-' {
		p.i++
	}
	if p.peek() == '0' {
		p.i++ // and no digit may follow
	} else if err := p.digits(); err != nil {
		return nil, err
	}
	if p.peek() == '.' {
		p.i++
		if err := p.digits(); err != nil {
			return nil, err
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		if err := p.digits(); err != nil {
			return nil, err
		}
	}
	return NewNumber(string(p.b[start:p.i])), nil
}

// digits reads one digit or more.
func (p *scanner) digits() error {
	start := p.i
	for isDigit(p.peek()) {
		p.i++
	}
	if p.i == start {
		return p.fail(p.i, "want a digit")
	}
	return nil
}

// text reads a string, from its opening quote on.
func (p *scanner) text() (string, error) {
	p.i++
	start, ascii := p.i, true
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			raw := p.b[start:p.i]
			p.i++
			if !ascii && !utf8.Valid(raw) {
				return "", p.fail(start, "the string is not UTF-8")
			}
			return string(raw), nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fail(p.i, "a control character in a string; escape it")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", p.fail(p.i, "")
}

// escaped reads the rest of a string that begins at start and has an escape
// at p.i.
func (p *scanner) escaped(start int) (string, error) {
	p.buf = append(p.buf[:0], p.b[start:p.i]...)
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			// An escape means whole characters, so it can neither mend
			// nor break the bytes around it.
			if !utf8.Valid(p.buf) {
				return "", p.fail(start, "the string is not UTF-8")
			}
			return string(p.buf), nil
		case c == '\\':
			if err := p.escape(); err != nil {
				return "", err
			}
		case c < ' ':
			return "", p.fail(p.i, "a control character in a string; escape it")
		default:
			p.buf = append(p.buf, c)
			p.i++
		}
	}
	return "", p.fail(p.i, "")
}

// escape reads one escape, from its backslash on.
func (p *scanner) escape() error {
	p.i++
	c := p.peek()
	if c == 'u' {
		p.i--
		return p.unicode()
	}
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	i := strings.IndexByte(letters, c)
	if i < 0 {
		return p.fail(p.i, "an unknown escape")
	}
	p.buf = append(p.buf, meanings[i])
	p.i++
	return nil
}

// unicode reads a \u escape, or the two of them that make a surrogate pair.
func (p *scanner) unicode() error {
	at := p.i
	r, err := p.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		high := r
		r = utf8.RuneError
		if p.peek() == '\\' && p.i+1 < len(p.b) && p.b[p.i+1] == 'u' {
			second := p.i
			low, err := p.hex()
			if err != nil {
				return err
			}
			if r = utf16.DecodeRune(high, low); r == utf8.RuneError {
				p.i = second // it means itself
			}
		}
		if r == utf8.RuneError && p.strict {
			return p.fail(at, "half of a surrogate pair")
		}
	}
	p.buf = utf8.AppendRune(p.buf, r)
	return nil
}

// hex reads the four digits of a \u escape.
func (p *scanner) hex() (rune, error) {
	p.i += 2
	var r rune
	for range 4 {
		c := p.peek()
		switch lower := c | 0x20; {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case 'a' <= lower && lower <= 'f':
			r = r<<4 | rune(lower-'a'+10)
		default:
			return 0, p.fail(p.i, "want four hexadecimal digits after \\u")
		}
		p.i++
	}
	return r, nil
}
