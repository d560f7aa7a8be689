package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// The codes of an acknowledgement. They read like HTTP's, and others of that
// kind may be used.
const (
	AckOK      = 200 // the value is in effect
	AckPending = 202 // being worked on; another acknowledgement follows
	AckDefault = 203 // the device's own default, nothing is desired yet: Version 0
	AckBad     = 400 // the value makes no sense
	AckFailed  = 500 // the value made sense but could not be put into effect
)

// An Ack is the answer of IoT Plug and Play to a writable property, reported
// at the same path as the desired property that it answers:
//
//	twin.Replace("targetTemperature", twin.Ack{Value: 21.5, Code: twin.AckOK, Version: 3})
//
// becomes {"targetTemperature":{"value":21.5,"ac":200,"av":3}}. Set would leave
// the Description of the one before, and members of its Value. A listener has
// [Change.Ack].
type Ack struct {
	// Value is the value now in effect, which need not be the desired one. nil
	// reports none.
	Value any `json:"value"`
	// Code is one of AckOK and its siblings.
	Code int `json:"ac"`
	// Version is the desired half's that is being answered.
	Version int64 `json:"av"`
	// Description is text for a person, or empty for none. It is cleaned as
	// Change.Ack does it.
	Description string `json:"ad,omitempty"`
}

// MarshalJSON implements json.Marshaler, with a Description that a hub takes.
func (a Ack) MarshalJSON() ([]byte, error) {
	type plain Ack
	a.Description = ackText(a.Description)
	return json.Marshal(plain(a))
}

// An AckError is an error that a listener returns to name the code and the text
// of the acknowledgement that is sent for it. It may be wrapped.
//
//	return &twin.AckError{Code: twin.AckBad, Text: "rpm is at most 3000"}
type AckError struct {
	// Code is one of AckBad and its siblings. Zero means AckBad if Err is a
	// *DecodeError, else AckFailed.
	Code int
	// Text is for a person at the back end. If empty, it is the text of Err.
	Text string
	// Err is the cause, or nil.
	Err error
}

// Error returns code, text and cause.
func (e *AckError) Error() string {
	if e == nil {
		return "twin: acknowledge: nil *AckError"
	}
	s := "twin: acknowledge"
	if e.Code != 0 {
		s += fmt.Sprint(" with ", e.Code)
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += fmt.Sprint(": ", errtext.Bare("twin", e.Err))
	}
	return s
}

// Unwrap returns the cause.
func (e *AckError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// prefix begins the errors of this package. The back end need not read it.
const prefix = "twin: "

// ackFor is the code and the text for what a listener returned. fmt contains
// the panic of an error that is a nil pointer.
func ackFor(result error) (code int, text string) {
	if result == nil {
		return AckOK, ""
	}
	code, text = AckFailed, strings.TrimPrefix(fmt.Sprint(result), prefix)
	if _, bad := errs.As[*DecodeError](result); bad {
		code = AckBad
	}
	named, _ := errs.As[*AckError](result)
	if named == nil {
		return code, text
	}
	if named.Code != 0 {
		code = named.Code
	}
	switch {
	case named.Text != "":
		text = named.Text
	case named.Err != nil:
		text = strings.TrimPrefix(fmt.Sprint(named.Err), prefix)
	default:
		text = ""
	}
	return code, text
}

// Ack is the Plug and Play acknowledgement of this change, to be reported at
// the same path: the value as heard, the code and the text given, and the
// version that it answers. It replaces what is reported there, as
// [Patch.Replace] does, so nothing of an acknowledgement before it stays.
//
// The text is cleaned, so that no hub refuses it: bytes that are not UTF-8
// become U+FFFD, line breaks and tabs become blanks, other control characters
// go, and it is cut to 256 bytes.
//
// A value that the hub took can be one that it does not take back: the
// acknowledgement adds a level to it, and some bytes. If an acknowledgement is
// certain to be refused (see [Validate]), Ack returns one with AckFailed, which
// says why and has no value: another value in its place, even a text, would
// read as the one in effect. If the half is too full for the value, only the
// report fails. Report an [Ack] without a Value then.
//
// There is nothing to acknowledge where Value is missing. The whole twin (path
// "") cannot be acknowledged, and neither can a property that is so deep that
// an acknowledgement would be a level too deep. Those patches are errors.
func (c Change) Ack(code int, description string) Patch { return answer(&c, code, description, nil) }

// answer is Ack. If refused is not nil, the value was refused for that reason
// and is left out.
func answer(c *Change, code int, text string, refused error) Patch {
	switch {
	case c.Path == "":
		return Patch{err: refusal("", errors.New("the whole twin cannot be acknowledged; acknowledge a property"))}
	case !isDesired(c.Value):
		return Patch{err: refusal(c.Path, errors.New("there is no value to acknowledge; check Value.Exists"))}
	}
	text = ackText(text)
	if refused == nil {
		full := ackPatch(c, code, text, true)
		if refused = Validate(Properties{}, full); refused == nil {
			return full
		}
	}
	bare := ackPatch(c, AckFailed, ackText(whyBare(code, text, refused)), false)
	if err := Validate(Properties{}, bare); err != nil {
		return Patch{err: err}
	}
	return bare
}

// ackPatch is the acknowledgement, with the value if echo is true.
func ackPatch(c *Change, code int, text string, echo bool) Patch {
	ack := map[string]any{"ac": code, "av": c.Version}
	if text != "" {
		ack["ad"] = text
	}
	if echo {
		ack["value"] = c.Value
	}
	p := Replace(c.Path, ack)
	for i, b := range []byte(c.Path) {
		// A component that the desired half marks must be marked here, too.
		if parent := c.Path[:i]; b == '.' && c.Desired.At(parent).IsComponent() {
			p = p.Component(parent)
		}
	}
	return p
}

// whyBare is the text of an acknowledgement that cannot hold the value. It
// keeps the code and the text that there would have been.
func whyBare(code int, text string, refused error) string {
	if limit, ok := errs.As[*LimitError](refused); ok {
		refused = fmt.Errorf("%s: %s; allowed: %s", limit.Limit, limit.Got, limit.Max)
	}
	return strings.TrimRight(fmt.Sprintf("the value cannot be echoed: %v; the answer was %d %s", refused, code, text), " ")
}

// maxAckText bounds the text of an acknowledgement, well below what a property
// may hold.
const maxAckText = 256

// ackText makes a text one that every hub takes. strings.Map replaces what is
// not UTF-8.
func ackText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case !unicode.IsControl(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, s)
	if len(s) <= maxAckText {
		return s
	}
	end := maxAckText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
