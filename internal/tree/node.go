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

// A Node is a JSON value. It is never changed once it is built, so trees share
// their branches and any goroutine may read them. A nil *Node is no value.
//
// A patch may hold null members, and objects that are whole. A document holds
// neither, except for nulls within arrays: an array is one opaque value to
// every merge.
//
// A device keeps a node for each value of its twin, and most are leaves. So a
// node holds what a leaf needs, and its size and length are computed when asked
// for. That takes 32 bytes, and 16 on a 32-bit machine.
type Node struct {
	Kind  Kind
	Whole bool   // Object: it replaces what is there, and does not merge with it
	Acts  bool   // it is null or whole, or has a member that is: no document holds it
	Depth uint8  // levels of objects and arrays, this one included
	Text  string // Number: the literal. String: decoded. Bool: true or false
	inner *inner // Object and Array only
}

// An inner is what an object or an array holds, and the sums over it.
type inner struct {
	members []Member // Object: sorted by key, each key once
	items   []*Node  // Array
	size    Size
	wire    int
}

// A branch is an object or an array with its inside, in one piece of memory.
type branch struct {
	Node
	inside inner
}

// newBranch returns an empty object or array that may still be filled.
//
//go:noinline
func newBranch(kind Kind) *Node {
	b := &branch{Node: Node{Kind: kind, Depth: 1}, inside: inner{wire: 1}}
	b.inner = &b.inside
	return &b.Node
}

// A Member is one key of an object, with its value.
type Member struct {
	Key   string
	Value *Node
}

// Members returns the members of an object, sorted by key, each key once.
// Anything else has none. They are not the caller's to change.
func (n *Node) Members() []Member {
	if n.inner == nil {
		return nil
	}
	return n.inner.members
}

// Items returns the elements of an array. Anything else has none. They are not
// the caller's to change.
func (n *Node) Items() []*Node {
	if n.inner == nil {
		return nil
	}
	return n.inner.items
}

// Size returns what the value counts of its section.
func (n *Node) Size() Size {
	size, _ := n.sums()
	return size
}

// Wire returns the number of bytes of the compact JSON.
func (n *Node) Wire() int {
	_, wire := n.sums()
	return wire
}

// sums are Size and Wire, for which a text is looked through once.
func (n *Node) sums() (size Size, wire int) {
	switch n.Kind {
	case Null:
		return Size{}, len("null")
	case Bool:
		return FlatSize(sizeBool), len(n.Text)
	case Number:
		return FlatSize(sizeNumber), len(n.Text)
	case String:
		return measure(n.Text)
	}
	return n.inner.size, n.inner.wire
}

// NewNull returns null.
func NewNull() *Node { return &Node{Kind: Null, Acts: true} }

// NewBool returns a boolean.
func NewBool(b bool) *Node { return newLeaf(Bool, strconv.FormatBool(b)) }

// NewNumber takes a valid literal.
func NewNumber(literal string) *Node { return newLeaf(Number, literal) }

// NewString takes valid UTF-8.
func NewString(s string) *Node { return newLeaf(String, s) }

//go:noinline
func newLeaf(kind Kind, text string) *Node { return &Node{Kind: kind, Text: text} }

// NewArray keeps items.
func NewArray(items []*Node) *Node {
	n := newBranch(Array)
	in := n.inner
	in.items = items
	for _, item := range items {
		size, wire := item.sums()
		in.size = in.size.Plus(size)
		in.wire += wire + 1
		n.Depth = max(n.Depth, deeper(item))
	}
	in.wire = max(in.wire, 2)
	return n
}

// NewObject keeps members, which are sorted and unique.
func NewObject(members ...Member) *Node {
	n := newBranch(Object)
	in := n.inner
	in.members = members
	for _, m := range members {
		size, wire := m.sums()
		in.size = in.size.Plus(size)
		in.wire += wire
	}
	in.wire = max(in.wire, 2)
	n.survey()
	return n
}

// survey computes depth and acts again. Size and wire are kept by sums.
func (n *Node) survey() {
	n.Depth, n.Acts = 1, n.Whole
	for _, m := range n.Members() {
		n.Depth = max(n.Depth, deeper(m.Value))
		n.Acts = n.Acts || m.Value.Acts
	}
}

// deeper is the depth of what holds n.
func deeper(n *Node) uint8 { return min(n.Depth, 254) + 1 }

// sums are what a member counts of its section, and its share of its object's
// JSON, with colon and comma.
func (m Member) sums() (Size, int) {
	keySize, keyWire := measure(m.Key)
	size, wire := m.Value.sums()
	return keySize.Plus(size), keyWire + wire + 2
}

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
	if i, ok := Seek(n.Members(), key); ok {
		return n.Members()[i].Value
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
	rest := e.from.Members()[e.copied:]
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
	e.to = newBranch(Object)
	e.to.Depth, e.to.Whole, e.to.Acts = from.Depth, from.Whole, from.Acts
	if len(from.Members()) > 0 { // else its wire has no comma that could go
		e.to.inner.size, e.to.inner.wire = from.inner.size, from.inner.wire
	}
	e.members = make([]Member, 0, len(from.Members())+grow)
}

func (e *editor) drop(m Member) {
	size, wire := m.sums()
	e.to.inner.size = e.to.inner.size.minus(size)
	e.to.inner.wire -= wire
	e.stale = e.stale || m.Value.Acts || m.Value.Depth > 0
}

func (e *editor) add(m Member) {
	e.members = append(e.members, m)
	size, wire := m.sums()
	e.to.inner.size = e.to.inner.size.Plus(size)
	e.to.inner.wire += wire
	e.to.Depth = max(e.to.Depth, deeper(m.Value))
	e.to.Acts = e.to.Acts || m.Value.Acts
}

// done is the changed copy, or the object itself when nothing changed.
func (e *editor) done() *Node {
	if e.to == nil {
		return e.from
	}
	members := append(e.members, e.from.Members()[e.copied:]...)
	if spare := cap(members) - len(members); spare > len(members)/8 {
		members = slices.Clone(members)
	}
	e.to.inner.members = members
	e.to.inner.wire = max(e.to.inner.wire, 2)
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
	if a == nil || b == nil || a.Kind != b.Kind {
		return false
	}
	// A number's size is the same whatever its text, so equal trees have
	// equal sizes.
	if a.inner != nil && a.inner.size != b.inner.size {
		return false
	}
	switch a.Kind {
	case Number:
		return numbers(a.Text, b.Text)
	case Object:
		return slices.EqualFunc(a.Members(), b.Members(), func(x, y Member) bool {
			return x.Key == y.Key && alike(x.Value, y.Value, numbers)
		})
	case Array:
		return slices.EqualFunc(a.Items(), b.Items(), func(x, y *Node) bool {
			return alike(x, y, numbers)
		})
	}
	return a.Text == b.Text
}
