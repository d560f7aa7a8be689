package tree

import (
	"fmt"
	"unicode/utf8"
)

// explain finds the first byte that no JSON within our bounds has there. A
// checker says only that there is one, and encoding/json counts differently
// from one version to the next. Nobody waits for an error, so it is short
// rather than fast.
func explain(b []byte) *SyntaxError {
	e := explainer{b: b}
	if e.value(1) {
		if e.space(); e.i < len(b) {
			e.fail("more text after the value")
		}
	}
	if e.i >= len(b) {
		return &SyntaxError{len(b), "the text ends too early"}
	}
	return &SyntaxError{e.i, e.reason}
}

// An explainer walks over JSON. Its steps return false where the text is wrong
// at i.
type explainer struct {
	b      []byte
	i      int // the next byte
	reason string
}

func (e *explainer) fail(reason string) bool {
	e.reason = reason
	return false
}

// peek is the next byte, 0 at the end of the text.
func (e *explainer) peek() byte {
	if e.i < len(e.b) {
		return e.b[e.i]
	}
	return 0
}

// skip consumes c, which is not 0, if it is next. Inlined in its many callers it
// would double them, for speed that nobody needs.
//
//go:noinline
func (e *explainer) skip(c byte) bool {
	if e.peek() != c {
		return false
	}
	e.i++
	return true
}

func (e *explainer) space() {
	for e.skip(' ') || e.skip('\t') || e.skip('\n') || e.skip('\r') {
		continue
	}
}

// token is skip after white space.
func (e *explainer) token(c byte) bool {
	e.space()
	return e.skip(c)
}

// value walks over a value, which is at the given level if it has one.
func (e *explainer) value(level int) bool {
	e.space()
	switch c := e.peek(); {
	case (c == '{' || c == '[') && level > MaxDepth:
		return e.fail(fmt.Sprintf("more than %d levels of objects and arrays", MaxDepth))
	case c == '{':
		return e.nested('}', "want ',' or '}' after a member", level)
	case c == '[':
		return e.nested(']', "want ',' or ']' after an element", level)
	case c == '"':
		return e.text()
	case c == '-' || isDigit(c):
		return e.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if e.peek() != word[0] {
			continue
		}
		for i := range len(word) {
			if !e.skip(word[i]) {
				return e.fail("a misspelt " + word)
			}
		}
		return true
	}
	return e.fail("no value begins like this")
}

// nested walks over an object or an array.
func (e *explainer) nested(shut byte, between string, level int) bool {
	e.i++
	for first := true; !e.token(shut); first = false {
		if !first && !e.token(',') {
			return e.fail(between)
		}
		if shut == '}' && !e.key() || !e.value(level+1) {
			return false
		}
	}
	return true
}

// key walks over a key and its colon.
func (e *explainer) key() bool {
	if e.space(); e.peek() != '"' {
		return e.fail("want a key in quotes")
	}
	if !e.text() {
		return false
	}
	return e.token(':') || e.fail("want ':' after a key")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (e *explainer) number() bool {
	e.skip('-')
	if !e.skip('0') && !e.digits() { // after 0 no digit may follow
		return false
	}
	if e.skip('.') && !e.digits() {
		return false
	}
	if e.skip('e') || e.skip('E') {
		_ = e.skip('+') || e.skip('-')
		return e.digits()
	}
	return true
}

// digits walks over one digit or more.
//
//go:noinline
func (e *explainer) digits() bool {
	start := e.i
	for isDigit(e.peek()) {
		e.i++
	}
	return e.i > start || e.fail("want a digit")
}

func (e *explainer) text() bool {
	e.i++
	start := e.i
	for !e.skip('"') {
		switch c := e.peek(); {
		case c < ' ':
			return e.fail("a control character in a string; escape it")
		case c != '\\':
			e.i++
		case !e.escape():
			return false
		}
	}
	// An escape means whole characters, so it can neither mend nor break the
	// bytes around it.
	if !utf8.Valid(e.b[start : e.i-1]) {
		e.i = start
		return e.fail("the string is not UTF-8")
	}
	return true
}

func (e *explainer) escape() bool {
	e.i++
	for _, c := range []byte(`"\/bfnrt`) {
		if e.skip(c) {
			return true
		}
	}
	if !e.skip('u') {
		return e.fail("an unknown escape")
	}
	for range 4 {
		c := e.peek()
		if lower := c | 0x20; !isDigit(c) && (lower < 'a' || lower > 'f') {
			return e.fail("want four hexadecimal digits after \\u")
		}
		e.i++
	}
	return true
}
