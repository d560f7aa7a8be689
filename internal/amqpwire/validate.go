package amqpwire

// maxDepth is how deep compounds may stand in one another: twice what an IoT
// hub's clients ever send. It bounds the recursion of whoever decodes them.
const maxDepth = 8

// wellFormed reports whether b is exactly one value that holds what it
// announces at every level, no deeper than maxDepth, with map keys that are
// plain. Such a value cannot make a decoder allocate more than in proportion
// to its length, nor index a Go map by what Go cannot hash.
func wellFormed(b []byte) bool {
	n, ok := checkValue(b, maxDepth)
	return ok && n == len(b)
}

// checkValue is wellFormed of the value that b begins with.
func checkValue(b []byte, depth int) (n int, ok bool) {
	v, n := consumeValue(b)
	if n == 0 || v.described && depth == 0 {
		return 0, false
	}
	switch v.code {
	case codeList8, codeList32:
		return n, depth > 0 && checkItems(v.data, v.count, false, depth-1)
	case codeMap8, codeMap32:
		return n, depth > 0 && v.count%2 == 0 && checkItems(v.data, v.count, true, depth-1)
	case codeArray8, codeArray32:
		return n, checkArray(v)
	}
	return n, true
}

// checkItems checks that items fill b exactly. Of a map every other is a key.
func checkItems(b []byte, count uint32, isMap bool, depth int) bool {
	for i := range count {
		if isMap && i%2 == 0 && !plainKey(b) {
			return false
		}
		n, ok := checkValue(b, depth)
		if !ok {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}

// plainKey reports whether a map's key begins as a number, a text or another
// value of one piece.
func plainKey(b []byte) bool {
	v, n := consumeValue(b)
	if n == 0 || v.described {
		return false
	}
	switch v.code {
	case codeNull, codeBin8, codeBin32, codeList0:
		return false
	}
	return v.code < codeList8 || v.code == codeStr8 || v.code == codeSym8
}

// checkArray checks an array of plain elements that fill it exactly. Elements
// without width, which would let a short array announce a billion of them, and
// elements that are compounds or described, which nobody sends, are refused.
func checkArray(v value) bool {
	if len(v.data) == 0 || v.data[0] == codeDescribed {
		return false
	}
	code, rest := v.data[0], v.data[1:]
	if width, ok := fixedWidth(code); ok {
		return width > 0 && uint64(v.count)*uint64(width) == uint64(len(rest))
	}
	if !isVariable(code) || code >= codeList8 {
		return false
	}
	for range v.count {
		size, lead := consumeSize(rest, code)
		if lead == 0 || uint64(size) > uint64(len(rest)-lead) {
			return false
		}
		rest = rest[lead+int(size):]
	}
	return len(rest) == 0
}
