package section

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Limits that a hub's documentation gives for twins.
const (
	maxSection = 32 << 10 // bytes of desired, and of reported
	maxTags    = 8 << 10
	maxDepth   = 10 // levels
	maxKey     = 1 << 10
	maxText    = 4 << 10

	minInt int64 = -1 << 52
	maxInt int64 = 1<<52 - 1
)

// Rules are what differs from hub to hub; the zero value is the documentation's.
type Rules struct {
	Merge          MergeRule
	RewriteNumbers bool // numbers are written as a .NET library would
}

// Parse reads and checks a patch, or a whole section when nulls are not
// allowed.
func (r Rules) Parse(text []byte, nulls bool) (*jsondoc.Object, *fault.Fault) {
	patch, err := jsondoc.ParseObject(text)
	if errors.Is(err, jsondoc.ErrNotObject) {
		return nil, notSection()
	}
	if err != nil {
		return nil, fault.New(fault.Format, "Cannot deserialize the body as JSON: %v.", err)
	}
	return r.Check(patch, nulls)
}

// Check is Parse of a value that was read before. It may change it.
func (r Rules) Check(v any, nulls bool) (*jsondoc.Object, *fault.Fault) {
	part, ok := v.(*jsondoc.Object)
	if !ok {
		return nil, notSection()
	}
	if f := checkObject(part, 0, nulls); f != nil {
		return nil, f
	}
	if r.RewriteNumbers {
		rewriteNumbers(part)
	}
	return part, nil
}

func notSection() *fault.Fault {
	return fault.New(fault.Invalid, "Provided json is not a valid 'tags' or 'properties' object.")
}

// checkObject checks the members of an object that sits at the depth; the
// section itself is at 0.
func checkObject(m *jsondoc.Object, depth int, nulls bool) *fault.Fault {
	for k, v := range m.All() {
		if f := checkKey(k); f != nil {
			return f
		}
		if f := checkValue(k, v, depth+1, nulls); f != nil {
			return f
		}
	}
	return nil
}

// checkKey refuses what the hub's own message names.
func checkKey(k string) *fault.Fault {
	if len(k) > maxKey {
		return fault.New(fault.Invalid, "Property or Tag name should be maximum %d bytes.", maxKey)
	}
	if strings.ContainsFunc(k, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(".$# ", r) }) {
		return fault.New(fault.Invalid, "Property or Tag name has invalid characters. Error in Property/Tag %s. Must not contain Control Characters, '.', '$', '#', or ' '.", k)
	}
	return nil
}

// checkValue checks the value of the member or element named key; an object or
// array would sit at the depth.
func checkValue(key string, v any, depth int, nulls bool) *fault.Fault {
	switch v := v.(type) {
	case nil:
		if !nulls {
			return fault.New(fault.Invalid, "Value of Property or Tag cannot be null. Error in Property/Tag %s", key)
		}
	case string:
		if len(v) > maxText {
			return fault.New(fault.Invalid, "Property or Tag value should be maximum %d bytes.", maxText)
		}
	case json.Number:
		return checkNumber(key, string(v))
	case *jsondoc.Object:
		if depth > maxDepth {
			return tooDeep()
		}
		return checkObject(v, depth, nulls)
	case []any:
		if depth > maxDepth {
			return tooDeep()
		}
		for _, e := range v {
			// An element is never deleted, so null is no value of it, at any
			// level below.
			if f := checkValue(key, e, depth+1, false); f != nil {
				return f
			}
		}
	}
	return nil
}

func tooDeep() *fault.Fault {
	return fault.New(fault.Invalid, "Nested depth of twin property exceeds %d", maxDepth)
}

// checkNumber refuses whole numbers beyond 53 bits and others beyond a double.
func checkNumber(key, text string) *fault.Fault {
	if strings.ContainsAny(text, ".eE") {
		if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsInf(f, 0) {
			return fault.New(fault.Invalid, "Value of Property or Tag is not a double. Error in Property/Tag %s", key)
		}
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < minInt || n > maxInt {
		return fault.New(fault.Invalid, "Value of Property or Tag is outside of %d to %d. Error in Property/Tag %s", minInt, maxInt, key)
	}
	return nil
}

// rewriteNumbers writes numbers in place, as a .NET library would.
func rewriteNumbers(v any) any {
	switch v := v.(type) {
	case *jsondoc.Object:
		for k, e := range v.All() {
			v.Set(k, rewriteNumbers(e))
		}
	case []any:
		for i, e := range v {
			v[i] = rewriteNumbers(e)
		}
	case json.Number:
		return rewriteNumber(v)
	}
	return v
}

func rewriteNumber(n json.Number) json.Number {
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || !strings.ContainsAny(string(n), ".eE") {
		return n
	}
	if a := math.Abs(f); f != 0 && (a < 1e-5 || a >= 1e15) {
		return json.Number(strconv.FormatFloat(f, 'E', -1, 64))
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return json.Number(text)
}
