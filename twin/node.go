package twin

import (
	"slices"
	"strconv"
	"strings"
)

// Kind says what a JSON value is.
type Kind uint8

// The kinds of values.
const (
	Missing Kind = iota // no value at all
	Null
	Bool
	Number
	String
	Object
	Array
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Missing:
		return "missing"
	case Null:
		return "null"
	case Bool:
		return "bool"
	case Number:
		return "number"
	case String:
		return "string"
	case Object:
		return "object"
	case Array:
		return "array"
	}
	return "kind " + strconv.Itoa(int(k))
}

// A node is a JSON value. It is never changed once it is built, so trees share
// their branches and any goroutine may read them. A nil *node is no value.
//
// A patch may hold null members, and objects that are whole; a document holds
// neither, except for nulls within arrays: an array is one opaque value to
// every merge.
type node struct {
	kind    Kind
	whole   bool     // Object: it replaces what is there, and does not merge with it
	acts    bool     // it is null or whole, or has a member that is: no document holds it
	depth   uint8    // levels of objects and arrays, this one included
	text    string   // Number: the literal; String: decoded; Bool: true or false
	members []member // Object: sorted by key, each key once
	items   []*node  // Array
	size    Size
	wire    int // bytes of its compact JSON
}

// A member is one key of an object, with its value.
type member struct {
	key   string
	value *node
}

func nullNode() *node { return &node{kind: Null, acts: true, wire: 4} }

func newBool(b bool) *node {
	text := strconv.FormatBool(b)
	return &node{kind: Bool, text: text, size: flatSize(sizeBool), wire: len(text)}
}

// newNumber takes a valid literal.
func newNumber(literal string) *node {
	return &node{kind: Number, text: literal, size: flatSize(sizeNumber), wire: len(literal)}
}

// newString takes valid UTF-8.
func newString(s string) *node {
	return &node{kind: String, text: s, size: textSize(s), wire: quotedLen(s)}
}

// newArray keeps items.
func newArray(items []*node) *node {
	n := &node{kind: Array, depth: 1, items: items, wire: 1}
	for _, item := range items {
		n.size = n.size.plus(item.size)
		n.wire += item.wire + 1
		n.depth = max(n.depth, deeper(item))
	}
	n.wire = max(n.wire, 2)
	return n
}

// objectOf keeps members, which are sorted and unique.
func objectOf(members ...member) *node {
	n := &node{kind: Object, members: members, wire: 1}
	for _, m := range members {
		n.size = n.size.plus(m.size())
		n.wire += m.wire()
	}
	n.wire = max(n.wire, 2)
	n.survey()
	return n
}

// survey finds depth and acts anew; size and wire are kept by sums.
func (n *node) survey() {
	n.depth, n.acts = 1, n.whole
	for _, m := range n.members {
		n.depth = max(n.depth, deeper(m.value))
		n.acts = n.acts || m.value.acts
	}
}

// deeper is the depth of what holds n.
func deeper(n *node) uint8 { return min(n.depth, 254) + 1 }

func (m member) size() Size { return textSize(m.key).plus(m.value.size) }

// wire is the member's share of its object's JSON, with colon and comma.
func (m member) wire() int { return quotedLen(m.key) + m.value.wire + 2 }

// seek finds where key stands among sorted members, or would.
func seek(members []member, key string) (int, bool) {
	return slices.BinarySearchFunc(members, key, func(m member, key string) int {
		return strings.Compare(m.key, key)
	})
}

// get is the value of an object's key; nil when there is none.
func (n *node) get(key string) *node {
	if n == nil || n.kind != Object {
		return nil
	}
	if i, ok := seek(n.members, key); ok {
		return n.members[i].value
	}
	return nil
}

// withMember is n with key set to v, or without key when v is nil. It copies
// n's own level and shares the rest; n itself when nothing changes. What is no
// object counts as an empty one.
func (n *node) withMember(key string, v *node) *node {
	if n == nil || n.kind != Object {
		n = objectOf()
	}
	e := editor{from: n}
	e.set(key, v, 1)
	return e.done()
}

// An editor makes a changed copy of an object, key by key in ascending order.
// It copies nothing before the first change.
type editor struct {
	from    *node
	copied  int // from.members[:copied] are dealt with
	members []member
	to      *node // nil until the first change
	stale   bool  // to.depth and to.acts must be found anew
}

// set gives key the value v, nil for none. At most grow keys are still to
// come, this one included.
func (e *editor) set(key string, v *node, grow int) {
	rest := e.from.members[e.copied:]
	i, found := seek(rest, key)
	var old *node
	if found {
		old = rest[i].value
	}
	if v == old {
		return
	}
	if e.to == nil {
		e.start(grow)
	}
	e.members = append(e.members, rest[:i]...)
	e.copied += i
	if found {
		e.drop(rest[i])
		e.copied++
	}
	if v != nil {
		e.add(member{key, v})
	}
}

func (e *editor) start(grow int) {
	from := e.from
	e.to = &node{kind: Object, size: from.size, wire: from.wire, depth: from.depth, whole: from.whole, acts: from.acts}
	if len(from.members) == 0 {
		e.to.wire = 1
	}
	e.members = make([]member, 0, len(from.members)+grow)
}

func (e *editor) drop(m member) {
	e.to.size = e.to.size.minus(m.size())
	e.to.wire -= m.wire()
	e.stale = e.stale || m.value.acts || m.value.depth > 0
}

func (e *editor) add(m member) {
	e.members = append(e.members, m)
	e.to.size = e.to.size.plus(m.size())
	e.to.wire += m.wire()
	e.to.depth = max(e.to.depth, deeper(m.value))
	e.to.acts = e.to.acts || m.value.acts
}

// done is the changed copy, or the object itself when nothing changed.
func (e *editor) done() *node {
	if e.to == nil {
		return e.from
	}
	e.to.members = append(e.members, e.from.members[e.copied:]...)
	if spare := cap(e.to.members) - len(e.to.members); spare > len(e.to.members)/8 {
		e.to.members = slices.Clone(e.to.members)
	}
	e.to.wire = max(e.to.wire, 2)
	if e.stale {
		e.to.survey()
	}
	return e.to
}

// equalNodes compares two trees, numbers by value.
func equalNodes(a, b *node) bool { return alike(a, b, equalNumbers) }

// identical compares two trees, numbers by their text.
func identical(a, b *node) bool {
	return alike(a, b, func(x, y string) bool { return x == y })
}

func alike(a, b *node, numbers func(x, y string) bool) bool {
	if a == b {
		return true
	}
	// A number's size is the same whatever its text, so equal trees have
	// equal sizes.
	if a == nil || b == nil || a.kind != b.kind || a.size != b.size {
		return false
	}
	switch a.kind {
	case Number:
		return numbers(a.text, b.text)
	case Object:
		return slices.EqualFunc(a.members, b.members, func(x, y member) bool {
			return x.key == y.key && alike(x.value, y.value, numbers)
		})
	case Array:
		return slices.EqualFunc(a.items, b.items, func(x, y *node) bool {
			return alike(x, y, numbers)
		})
	}
	return a.text == b.text
}

// appendJSON writes n as compact JSON.
func appendJSON(b []byte, n *node) []byte {
	switch n.kind {
	case Null:
		return append(b, "null"...)
	case String:
		return appendQuoted(b, n.text)
	case Object:
		b = append(b, '{')
		for i, m := range n.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, m.key), ':')
			b = appendJSON(b, m.value)
		}
		return append(b, '}')
	case Array:
		b = append(b, '[')
		for i, item := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, item)
		}
		return append(b, ']')
	}
	return append(b, n.text...)
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string. Only what must be is escaped.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		if plain(s[i]) {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}

// quotedLen is the number of bytes that appendQuoted writes.
func quotedLen(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case plain(c):
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t':
			n++
		default:
			n += 5
		}
	}
	return n
}

// plain reports whether a byte stands for itself in a JSON string.
func plain(c byte) bool { return c >= ' ' && c != '"' && c != '\\' }
