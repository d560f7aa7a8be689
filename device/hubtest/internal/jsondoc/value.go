package jsondoc

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Absent is the value of a path that leads nowhere.
type Absent struct{}

// At follows a path; keys hold no dot, by the hub's rules.
func At(v any, path string) any {
	if path == "" {
		return v
	}
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(*Object)
		if !ok {
			return Absent{}
		}
		if v, ok = m.Lookup(key); !ok {
			return Absent{}
		}
	}
	return v
}

// Equal compares JSON values.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case *Object:
		b, ok := b.(*Object)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for k, v := range a.All() {
			if w, ok := b.Lookup(k); !ok || !Equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && equalNumbers(string(a), string(b))
	}
	return a == b
}

// equalNumbers compares as doubles, which hold every whole number of a twin.
func equalNumbers(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && x == y
}

// Int is a whole number as Parse has one.
func Int(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// UTF16Len is the length of a text in .NET's characters.
func UTF16Len(s string) (n int) {
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}
