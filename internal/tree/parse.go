package tree

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// What is read of anybody's JSON. Both are far above what a hub stores (two
// sections of 32 KB, 10 levels) and keep a hostile text cheap.
const (
	MaxText  = 512 << 10 // bytes
	MaxTwin  = 1 << 20   // bytes of a whole twin, as a transport bounds its packets
	MaxDepth = 64        // levels of objects and arrays
)

// ParseDocument reads what the hub stores. It drops null members, except within
// arrays. Half of a surrogate pair becomes U+FFFD, as encoding/json has it:
// refusing would keep a device from its twin for as long as somebody's mistake
// is in it.
func ParseDocument(b []byte) (*Node, error) {
	return parse(b, MaxTwin, false, builder{document: true})
}

// ParseFromHub reads what the hub changes. It treats half of a surrogate pair
// as ParseDocument does.
func ParseFromHub(b []byte) (*Node, error) { return parse(b, MaxText, false, builder{}) }

// ParseFromCaller reads what firmware wants. It refuses half of a surrogate
// pair.
func ParseFromCaller(b []byte) (*Node, error) { return parse(b, MaxText, true, builder{}) }

// parse checks all that can be wrong with a text, and then builds the tree,
// which cannot fail. The text's depth comes first, since gjson recurses.
func parse(b []byte, limit int, strict bool, to builder) (*Node, error) {
	switch {
	case len(b) > limit:
		return nil, &SyntaxError{limit, fmt.Sprintf("the text is %d bytes long; at most %d are read", len(b), limit)}
	case tooDeep(b) || !gjson.ValidBytes(b) || !utf8.Valid(b):
		return nil, explain(b)
	case strict:
		if at := loneSurrogate(b); at >= 0 {
			return nil, &SyntaxError{at, "half of a surrogate pair"}
		}
	}
	return to.node(gjson.ParseBytes(b)), nil
}

// tooDeep reports whether a text has more than MaxDepth levels of objects and
// arrays. It counts exactly as far as the text is JSON, and nobody reads
// further.
func tooDeep(b []byte) bool {
	level := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if level++; level > MaxDepth {
				return true
			}
		case '}', ']':
			level--
		}
	}
	return false
}

// loneSurrogate finds the first escape in JSON that is half of a surrogate
// pair. It is negative where there is none.
func loneSurrogate(b []byte) int {
	for i := 0; ; {
		next := bytes.IndexByte(b[i:], '\\')
		if next < 0 {
			return -1
		}
		i += next
		switch r := escaped(b[i:]); {
		case r < 0:
			i += 2
		case !utf16.IsSurrogate(r):
			i += 6
		case utf16.DecodeRune(r, escaped(b[i+6:])) == utf8.RuneError:
			return i
		default:
			i += 12
		}
	}
}

// escaped is what a \u escape means that JSON goes on with. It is negative
// where JSON goes on with anything else.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	r, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(r)
}

// A builder makes nodes of JSON that was checked. It copies each string and
// number: a part of a text keeps all of the text in memory.
type builder struct {
	document bool // drop null members, except within arrays
	arrays   int  // how many arrays are open

	members []Member // of the open objects, innermost last
	items   []*Node  // of the open arrays, likewise
	sorted  byKey    // the members being sorted
}

func (b *builder) node(v gjson.Result) *Node {
	switch v.Type {
	case gjson.True, gjson.False:
		return NewBool(v.Type == gjson.True)
	case gjson.Number:
		return NewNumber(strings.Clone(v.Raw))
	case gjson.String:
		return NewString(text(v))
	case gjson.JSON:
		return b.nested(v)
	}
	return NewNull()
}

// text copies what gjson has not. Whatever has an escape became shorter, and so
// is a string of its own.
func text(v gjson.Result) string {
	if len(v.Str)+len(`""`) == len(v.Raw) {
		return strings.Clone(v.Str)
	}
	return v.Str
}

func (b *builder) nested(v gjson.Result) *Node {
	if b.members == nil {
		b.members = make([]Member, 0, 8)
	}
	isArray := v.IsArray()
	if isArray {
		b.arrays++
	}
	members, items := len(b.members), len(b.items)
	v.ForEach(func(key, value gjson.Result) bool {
		n := b.node(value)
		if isArray {
			b.items = append(b.items, n)
		} else {
			b.members = append(b.members, Member{text(key), n})
		}
		return true
	})
	if isArray {
		b.arrays--
		n := NewArray(slices.Clone(b.items[items:]))
		b.items = b.items[:items]
		return n
	}
	n := NewObject(slices.Clone(b.tidy(members))...)
	b.members = b.members[:members]
	return n
}

// byKey is for package sort, which gjson links already. The stable sort of
// package slices would be 4 KB more for this type.
type byKey struct{ members []Member }

func (s *byKey) Len() int           { return len(s.members) }
func (s *byKey) Less(i, j int) bool { return s.members[i].Key < s.members[j].Key }

//go:noinline
func (s *byKey) Swap(i, j int) { s.members[i], s.members[j] = s.members[j], s.members[i] }

// few is how many members are sorted faster one by one.
const few = 12

// tidy sorts the members from base on by key, in place, and keeps the last of
// each, and in a document none that are null.
func (b *builder) tidy(base int) []Member {
	members, drop := b.members[base:], b.document && b.arrays == 0
	s := &b.sorted
	s.members = members
	if len(members) <= few {
		for i := range members {
			for ; i > 0 && s.Less(i, i-1); i-- {
				s.Swap(i, i-1)
			}
		}
	} else if !sort.IsSorted(s) {
		sort.Stable(s)
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
