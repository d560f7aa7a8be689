package tree

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
// A patch may hold null members, and objects that are whole. A document holds
// neither, except for nulls within arrays: an array is one opaque value to
// every merge.
type Node struct {
	Kind    Kind
	Whole   bool     // Object: it replaces what is there, and does not merge with it
	Acts    bool     // it is null or whole, or has a member that is: no document holds it
	Depth   uint8    // levels of objects and arrays, this one included
	Text    string   // Number: the literal. String: decoded. Bool: true or false
	Members []Member // Object: sorted by key, each key once
	Items   []*Node  // Array
	Size    Size
	Wire    int // bytes of its compact JSON
}

// A member is one key of an object, with its value.
type Member struct {
	Key   string
	Value *Node
}

// NewNull returns null.
func NewNull() *Node { return &Node{Kind: Null, Acts: true, Wire: 4} }

// NewBool returns a boolean.
func NewBool(b bool) *Node {
	text := strconv.FormatBool(b)
	return &Node{Kind: Bool, Text: text, Size: FlatSize(sizeBool), Wire: len(text)}
}

// NewNumber takes a valid literal.
func NewNumber(literal string) *Node {
	return &Node{Kind: Number, Text: literal, Size: FlatSize(sizeNumber), Wire: len(literal)}
}

// NewString takes valid UTF-8.
func NewString(s string) *Node {
	return &Node{Kind: String, Text: s, Size: TextSize(s), Wire: QuotedLen(s)}
}

// NewArray keeps items.
func NewArray(items []*Node) *Node {
	n := &Node{Kind: Array, Depth: 1, Items: items, Wire: 1}
	for _, item := range items {
		n.Size = n.Size.Plus(item.Size)
		n.Wire += item.Wire + 1
		n.Depth = max(n.Depth, deeper(item))
	}
	n.Wire = max(n.Wire, 2)
	return n
}

// objectOf keeps members, which are sorted and unique.
func NewObject(members ...Member) *Node {
	n := &Node{Kind: Object, Members: members, Wire: 1}
	for _, m := range members {
		n.Size = n.Size.Plus(m.size())
		n.Wire += m.wire()
	}
	n.Wire = max(n.Wire, 2)
	n.survey()
	return n
}

// survey computes depth and acts again. Size and wire are kept by sums.
func (n *Node) survey() {
	n.Depth, n.Acts = 1, n.Whole
	for _, m := range n.Members {
		n.Depth = max(n.Depth, deeper(m.Value))
		n.Acts = n.Acts || m.Value.Acts
	}
}

// deeper is the depth of what holds n.
func deeper(n *Node) uint8 { return min(n.Depth, 254) + 1 }

func (m Member) size() Size { return TextSize(m.Key).Plus(m.Value.Size) }

// wire is the member's share of its object's JSON, with colon and comma.
func (m Member) wire() int { return QuotedLen(m.Key) + m.Value.Wire + 2 }

// Seek finds the place of key among sorted members, or would.
func Seek(members []Member, key string) (int, bool) {
	return slices.BinarySearchFunc(members, key, func(m Member, key string) int {
		return strings.Compare(m.Key, key)
	})
}

// Get is the value of an object's key, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != Object {
		return nil
	}
	if i, ok := Seek(n.Members, key); ok {
		return n.Members[i].Value
	}
	return nil
}

// With is n with key set to v, or without key when v is nil. It copies
// n's own level and shares the rest. It is n itself when nothing changes. What is no
// object counts as an empty one.
func (n *Node) With(key string, v *Node) *Node {
	if n == nil || n.Kind != Object {
		n = NewObject()
	}
	e := editor{from: n}
	e.set(key, v, 1)
	return e.done()
}

// An editor makes a changed copy of an object, key by key in ascending order.
// It copies nothing before the first change.
type editor struct {
	from    *Node
	copied  int // from.members[:copied] are dealt with
	members []Member
	to      *Node // nil until the first change
	stale   bool  // to.depth and to.acts must be computed again
}

// set gives key the value v, nil for none. At most grow keys are still to
// come, this one included.
func (e *editor) set(key string, v *Node, grow int) {
	rest := e.from.Members[e.copied:]
	i, found := Seek(rest, key)
	var old *Node
	if found {
		old = rest[i].Value
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
		e.add(Member{key, v})
	}
}

func (e *editor) start(grow int) {
	from := e.from
	e.to = &Node{Kind: Object, Size: from.Size, Wire: from.Wire, Depth: from.Depth, Whole: from.Whole, Acts: from.Acts}
	if len(from.Members) == 0 {
		e.to.Wire = 1
	}
	e.members = make([]Member, 0, len(from.Members)+grow)
}

func (e *editor) drop(m Member) {
	e.to.Size = e.to.Size.minus(m.size())
	e.to.Wire -= m.wire()
	e.stale = e.stale || m.Value.Acts || m.Value.Depth > 0
}

func (e *editor) add(m Member) {
	e.members = append(e.members, m)
	e.to.Size = e.to.Size.Plus(m.size())
	e.to.Wire += m.wire()
	e.to.Depth = max(e.to.Depth, deeper(m.Value))
	e.to.Acts = e.to.Acts || m.Value.Acts
}

// done is the changed copy, or the object itself when nothing changed.
func (e *editor) done() *Node {
	if e.to == nil {
		return e.from
	}
	e.to.Members = append(e.members, e.from.Members[e.copied:]...)
	if spare := cap(e.to.Members) - len(e.to.Members); spare > len(e.to.Members)/8 {
		e.to.Members = slices.Clone(e.to.Members)
	}
	e.to.Wire = max(e.to.Wire, 2)
	if e.stale {
		e.to.survey()
	}
	return e.to
}

// Equal compares two trees, numbers by value.
func Equal(a, b *Node) bool { return alike(a, b, EqualNumbers) }

// Identical compares two trees, numbers by their text.
func Identical(a, b *Node) bool {
	return alike(a, b, func(x, y string) bool { return x == y })
}

func alike(a, b *Node, numbers func(x, y string) bool) bool {
	if a == b {
		return true
	}
	// A number's size is the same whatever its text, so equal trees have
	// equal sizes.
	if a == nil || b == nil || a.Kind != b.Kind || a.Size != b.Size {
		return false
	}
	switch a.Kind {
	case Number:
		return numbers(a.Text, b.Text)
	case Object:
		return slices.EqualFunc(a.Members, b.Members, func(x, y Member) bool {
			return x.Key == y.Key && alike(x.Value, y.Value, numbers)
		})
	case Array:
		return slices.EqualFunc(a.Items, b.Items, func(x, y *Node) bool {
			return alike(x, y, numbers)
		})
	}
	return a.Text == b.Text
}

// AppendJSON writes n as compact JSON.
func AppendJSON(b []byte, n *Node) []byte {
	switch n.Kind {
	case Null:
		return append(b, "null"...)
	case String:
		return AppendQuoted(b, n.Text)
	case Object:
		b = append(b, '{')
		for i, m := range n.Members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(AppendQuoted(b, m.Key), ':')
			b = AppendJSON(b, m.Value)
		}
		return append(b, '}')
	case Array:
		b = append(b, '[')
		for i, item := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendJSON(b, item)
		}
		return append(b, ']')
	}
	return append(b, n.Text...)
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
