package amqpwire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Constructors (AMQP 1.0 part 1, section 1.6). Those that only their width
// tells apart are told apart by the high half of the byte (section 1.2).
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeBool       = 0x56
	codeUshort     = 0x60
	codeUint       = 0x70
	codeUlong      = 0x80
	codeBin8       = 0xa0
	codeStr8       = 0xa1
	codeSym8       = 0xa3
	codeBin32      = 0xb0
	codeStr32      = 0xb1
	codeSym32      = 0xb3
	codeList8      = 0xc0
	codeMap8       = 0xc1
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray8     = 0xe0
	codeArray32    = 0xf0
)

// unknown is the descriptor of a described value whose descriptor is no
// number; no numeric descriptor of AMQP has it.
const unknown = math.MaxUint64

// A value is one encoded value, its widths and lengths checked and taken off.
// It shares the memory it was read from.
type value struct {
	code  byte   // its constructor, codeDescribed never
	data  []byte // what the constructor announces; of compounds the items
	count uint32 // the items announced, of a list, map or array

	described  bool
	descriptor uint64 // of a described value
}

// consumeValue reads the value that b begins with and returns how many bytes
// it has; n is 0 when b is cut short or no value. What is inside a compound is
// not looked at, so a value of any depth is stepped over at once.
func consumeValue(b []byte) (v value, n int) {
	if len(b) > 0 && b[0] == codeDescribed {
		descriptor, d := consumePlain(b[1:])
		if d == 0 {
			return value{}, 0
		}
		v, n = consumePlain(b[1+d:])
		if n == 0 {
			return value{}, 0
		}
		v.described, v.descriptor = true, unknown
		if number, ok := descriptor.ulong(); ok {
			v.descriptor = number
		}
		return v, 1 + d + n
	}
	return consumePlain(b)
}

// consumePlain reads a value that is not described.
func consumePlain(b []byte) (v value, n int) {
	if len(b) == 0 {
		return value{}, 0
	}
	v.code = b[0]
	width, ok := fixedWidth(v.code)
	if ok {
		if len(b) < 1+width {
			return value{}, 0
		}
		v.data = b[1 : 1+width : 1+width]
		return v, 1 + width
	}
	if !isVariable(v.code) {
		return value{}, 0
	}
	size, lead := consumeSize(b[1:], v.code)
	if lead == 0 || uint64(size) > uint64(len(b)-1-lead) {
		return value{}, 0
	}
	n = 1 + lead + int(size)
	v.data = b[1+lead : n : n]
	if v.code >= codeList8 { // compounds and arrays count their items
		count, lead := consumeSize(v.data, v.code)
		if lead == 0 {
			return value{}, 0
		}
		v.count, v.data = count, v.data[lead:]
	}
	return v, n
}

// fixedWidth is how many bytes follow a constructor of fixed width.
func fixedWidth(code byte) (width int, ok bool) {
	switch code {
	case codeNull, codeTrue, codeFalse, codeUint0, codeUlong0, codeList0:
		return 0, true
	case codeUbyte, 0x51, codeSmallUint, codeSmallUlong, 0x54, 0x55, codeBool:
		return 1, true
	case codeUshort, 0x61:
		return 2, true
	case codeUint, 0x71, 0x72, 0x73, 0x74:
		return 4, true
	case codeUlong, 0x81, 0x82, 0x83, 0x84:
		return 8, true
	case 0x94, 0x98:
		return 16, true
	}
	return 0, false
}

// isVariable reports whether a size follows the constructor.
func isVariable(code byte) bool {
	switch code {
	case codeBin8, codeStr8, codeSym8, codeBin32, codeStr32, codeSym32,
		codeList8, codeMap8, codeList32, codeMap32, codeArray8, codeArray32:
		return true
	}
	return false
}

// consumeSize reads a size or count, of one byte or four as the constructor
// says (0xa_, 0xc_, 0xe_ or 0xb_, 0xd_, 0xf_); n is 0 when b is too short.
func consumeSize(b []byte, code byte) (size uint32, n int) {
	if code&0x10 == 0 {
		if len(b) < 1 {
			return 0, 0
		}
		return uint32(b[0]), 1
	}
	if len(b) < 4 {
		return 0, 0
	}
	return binary.BigEndian.Uint32(b), 4
}

func (v value) isNull() bool { return v.code == codeNull && !v.described }

func (v value) ulong() (uint64, bool) {
	switch v.code {
	case codeUlong0:
		return 0, true
	case codeSmallUlong:
		return uint64(v.data[0]), true
	case codeUlong:
		return binary.BigEndian.Uint64(v.data), true
	}
	return 0, false
}

func (v value) uint() (uint32, bool) {
	switch v.code {
	case codeUint0:
		return 0, true
	case codeSmallUint:
		return uint32(v.data[0]), true
	case codeUint:
		return binary.BigEndian.Uint32(v.data), true
	}
	return 0, false
}

func (v value) boolean() (b, ok bool) {
	switch v.code {
	case codeTrue:
		return true, true
	case codeFalse:
		return false, true
	case codeBool:
		return v.data[0] != 0, v.data[0] <= 1
	}
	return false, false
}

// text is a string or a symbol: no client is hurt when we take one for the other.
func (v value) text() (string, bool) {
	switch v.code {
	case codeStr8, codeStr32, codeSym8, codeSym32:
		return string(v.data), utf8.Valid(v.data)
	}
	return "", false
}

func (v value) binary() ([]byte, bool) {
	return v.data, v.code == codeBin8 || v.code == codeBin32
}

// list gives the items of a list.
func (v value) list() (fields, bool) {
	switch v.code {
	case codeList0, codeList8, codeList32:
		return fields{rest: v.data, left: v.count}, true
	}
	return fields{}, false
}

// texts reads the entries of a map whose key and value are texts; it passes
// over the others. It is nil for a map without such entries and for no map.
func (v value) texts() map[string]string {
	if v.code != codeMap8 && v.code != codeMap32 {
		return nil
	}
	var m map[string]string
	for rest, left := v.data, v.count; left >= 2; left -= 2 {
		key, n := consumeValue(rest)
		if n == 0 {
			return m
		}
		entry, k := consumeValue(rest[n:])
		if k == 0 {
			return m
		}
		rest = rest[n+k:]
		name, ok := key.text()
		content, ok2 := entry.text()
		if !ok || !ok2 {
			continue
		}
		if m == nil {
			m = map[string]string{}
		}
		m[name] = content
	}
	return m
}

// Appending takes the smallest form, as a real hub does.

func appendNulls(b []byte, n int) []byte {
	for range n {
		b = append(b, codeNull)
	}
	return b
}

func appendBool(b []byte, set bool) []byte {
	if set {
		return append(b, codeTrue)
	}
	return append(b, codeFalse)
}

func appendUshort(b []byte, n uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, codeUshort), n)
}

func appendUint(b []byte, n uint32) []byte {
	switch {
	case n == 0:
		return append(b, codeUint0)
	case n <= math.MaxUint8:
		return append(b, codeSmallUint, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, codeUint), n)
}

func appendUlong(b []byte, n uint64) []byte {
	switch {
	case n == 0:
		return append(b, codeUlong0)
	case n <= math.MaxUint8:
		return append(b, codeSmallUlong, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, codeUlong), n)
}

func appendString(b []byte, s string) []byte { return append(appendLength(b, codeStr8, len(s)), s...) }
func appendSymbol(b []byte, s string) []byte { return append(appendLength(b, codeSym8, len(s)), s...) }
func appendBinary(b, s []byte) []byte        { return append(appendLength(b, codeBin8, len(s)), s...) }

// appendText appends a string, null for an empty one.
func appendText(b []byte, s string) []byte {
	if s == "" {
		return append(b, codeNull)
	}
	return appendString(b, s)
}

// appendLength appends a constructor of bytes or text with its length.
func appendLength(b []byte, code byte, n int) []byte {
	if n <= math.MaxUint8 {
		return append(b, code, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, code|0x10), uint32(n))
}

// openList begins a list; at is for closeList, which needs the count.
func openList(b []byte) (grown []byte, at int) {
	return append(b, codeList8, 0, 0), len(b)
}

// openDescribed begins a described list.
func openDescribed(b []byte, descriptor byte) (grown []byte, at int) {
	return openList(append(b, codeDescribed, codeSmallUlong, descriptor))
}

// closeList ends a list of at most 255 items. One over 254 bytes is moved, to
// make room for the wide form.
func closeList(b []byte, at, count int) []byte {
	const narrow, wide = 3, 9
	size := len(b) - at - narrow
	if size+1 <= math.MaxUint8 {
		b[at+1], b[at+2] = byte(size+1), byte(count)
		return b
	}
	b = append(b, make([]byte, wide-narrow)...)
	copy(b[at+wide:], b[at+narrow:at+narrow+size])
	b[at] = codeList32
	binary.BigEndian.PutUint32(b[at+1:], uint32(size+4))
	binary.BigEndian.PutUint32(b[at+5:], uint32(count))
	return b
}
