package section

import (
	"strings"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// What the documentation counts for a value that is no text.
const (
	sizeNumber = 8
	sizeBool   = 4
)

// size counts a section as the documentation does, in its strictest reading:
// keys and texts by their UTF-8 bytes without control characters, arrays as
// the sum of their elements, null as nothing. The hub's own members, which
// begin with '$', do not count.
func size(v any) int {
	n := 0
	switch v := v.(type) {
	case *jsondoc.Object:
		for k, e := range v.All() {
			if !strings.HasPrefix(k, "$") {
				n += textSize(k) + size(e)
			}
		}
	case []any:
		for _, e := range v {
			n += size(e)
		}
	case string:
		n = textSize(v)
	case bool:
		n = sizeBool
	case nil:
	default:
		n = sizeNumber
	}
	return n
}

// textSize counts UTF-8 bytes, except those of C0 and C1 control characters.
func textSize(s string) int {
	n := len(s)
	for _, r := range s {
		switch {
		case r < 0x20:
			n--
		case 0x80 <= r && r < 0xa0:
			n -= 2
		}
	}
	return n
}

// CheckSize refuses a half over the limit, unless it shrinks the section.
func CheckSize(name string, old, doc *jsondoc.Object) *fault.Fault {
	if n := size(doc); n > maxSection && n > size(old) {
		return fault.New(fault.Oversize, "'%s' size should be less than %d bytes.", name, maxSection)
	}
	return nil
}

// CheckTags refuses tags over their limit, unless they shrink.
func CheckTags(old, tags *jsondoc.Object) *fault.Fault {
	if n := size(tags); n > maxTags && n > size(old) {
		return fault.New(fault.Oversize, "'Tags' size should be less than %d bytes.", maxTags)
	}
	return nil
}
