package hubtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Error codes that the hub answers with. The status is the code / 1000.
const (
	codeInvalid      = 400004 // ArgumentInvalid
	codeFormat       = 400006 // IotHubFormatError
	codeOversize     = 403100
	codeUnknown      = 404001 // DeviceNotFound
	codePrecondition = 412001
)

// fault is why the hub refuses a request.
type fault struct {
	code int
	text string
	info string // JSON, empty for none; REST tells it of direct methods

	ungated bool // the tracking id of REST names no gateway

	pause int // seconds for which a device is asked to wait, or 0 for none
}

func (f *fault) status() int { return f.code / 1000 }

func refuse(code int, format string, args ...any) *fault {
	return &fault{code: code, text: fmt.Sprintf(format, args...)}
}

// parsePatch reads and checks a patch, or a whole section when nulls are not
// allowed.
func (o *Options) parsePatch(text []byte, nulls bool) (*jsondoc.Object, *fault) {
	patch, err := jsondoc.ParseObject(text)
	if errors.Is(err, jsondoc.ErrNotObject) {
		return nil, refuse(codeInvalid, "Provided json is not a valid 'tags' or 'properties' object.")
	}
	if err != nil {
		return nil, refuse(codeFormat, "Cannot deserialize the body as JSON: %v.", err)
	}
	if f := checkObject(patch, 0, nulls); f != nil {
		return nil, f
	}
	if o.RewriteNumbers {
		rewriteNumbers(patch)
	}
	return patch, nil
}

// checkObject checks the members of an object that sits at the depth; the
// section itself is at 0.
func checkObject(m *jsondoc.Object, depth int, nulls bool) *fault {
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
func checkKey(k string) *fault {
	if len(k) > maxKey {
		return refuse(codeInvalid, "Property or Tag name should be maximum %d bytes.", maxKey)
	}
	if strings.ContainsFunc(k, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(".$# ", r) }) {
		return refuse(codeInvalid, "Property or Tag name has invalid characters. Error in Property/Tag %s. Must not contain Control Characters, '.', '$', '#', or ' '.", k)
	}
	return nil
}

// checkValue checks the value of the member or element named key; an object or
// array would sit at the depth.
func checkValue(key string, v any, depth int, nulls bool) *fault {
	switch v := v.(type) {
	case nil:
		if !nulls {
			return refuse(codeInvalid, "Value of Property or Tag cannot be null. Error in Property/Tag %s", key)
		}
	case string:
		if len(v) > maxText {
			return refuse(codeInvalid, "Property or Tag value should be maximum %d bytes.", maxText)
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

func tooDeep() *fault {
	return refuse(codeInvalid, "Nested depth of twin property exceeds %d", maxDepth)
}

// checkNumber refuses whole numbers beyond 53 bits and others beyond a double.
func checkNumber(key, text string) *fault {
	if strings.ContainsAny(text, ".eE") {
		if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsInf(f, 0) {
			return refuse(codeInvalid, "Value of Property or Tag is not a double. Error in Property/Tag %s", key)
		}
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err != nil || n < minInt || n > maxInt {
		return refuse(codeInvalid, "Value of Property or Tag is outside of %d to %d. Error in Property/Tag %s", minInt, maxInt, key)
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
