package twin

import (
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// What can go wrong with a twin's data, as errors.Is tells it through any
// wrapping.
var (
	// ErrInvalid is matched by every refusal of what a caller gave: a path, a
	// patch, a value that the hub would not take. No retry mends it.
	ErrInvalid = errors.New("twin: invalid data")
	// ErrSyntax says that bytes are not the JSON that they should be; the
	// error is a *SyntaxError.
	ErrSyntax = errors.New("twin: not valid JSON")
	// ErrIncomplete says that a twin from the hub lacks a section, or has a
	// version that is no version, and so proves nothing: ask again.
	ErrIncomplete = errors.New("twin: incomplete twin")
	// ErrMissing says that there is no value to decode.
	ErrMissing = errors.New("twin: no such value")
)

// A SyntaxError says where JSON text goes wrong, and how. It matches
// ErrSyntax, and ErrInvalid too when the text was a caller's.
type SyntaxError struct {
	// Offset counts the bytes before the one that is wrong.
	Offset int
	// Reason is what is wrong there. It quotes nothing from the text.
	Reason string
}

// Error tells offset and reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%v: byte %d: %s", ErrSyntax, e.Offset, e.Reason)
}

// Is matches ErrSyntax.
func (e *SyntaxError) Is(target error) bool { return target == ErrSyntax }

// A DecodeError says that a value does not fit the Go type it was to be
// decoded into. It unwraps to its cause: ErrMissing, an error that matches
// ErrInvalid where the path leads into an array, or one of encoding/json.
type DecodeError struct {
	// Path is where the value stands, "" for the root.
	Path string
	// Err is the cause.
	Err error
}

// errInArray is the error of a path that leads into the array at another.
func errInArray(array string) error {
	return fmt.Errorf("%w: %q is an array, and arrays are whole values; set all of it, or read it by Value.Index", ErrInvalid, clip(array))
}

// Error tells path and cause.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("twin: decode %q: %v", clip(e.Path), errtext.Bare("twin", e.Err))
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// The limits that a LimitError can name.
const (
	limitKeyLength    = "key length"
	limitKeyCharacter = "key character"
	limitString       = "string length"
	limitInteger      = "integer range"
	limitDepth        = "depth"
	limitNull         = "null in an array"
	limitSection      = "section size"
	limitLength       = "length as JSON"
)

// A LimitError says which limit of the hub a patch breaks, where, and what to
// do instead. It matches ErrInvalid.
type LimitError struct {
	// Path is where the value stands; for a key's own limits it ends in that
	// key. "" is the whole section.
	Path string
	// Limit is one of "key length", "key character", "string length",
	// "integer range", "depth", "null in an array", "section size" and "length
	// as JSON".
	Limit string
	// Got is what was found: a length, a depth, a number or a character.
	Got string
	// Max is what the hub allows, in the same words.
	Max string

	advice string
}

// Error tells path, limit, value and a way out.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: %q breaks the limit on %s: %s; allowed: %s; %s",
		ErrInvalid, clip(e.Path), e.Limit, e.Got, e.Max, e.advice)
}

// Is matches ErrInvalid.
func (e *LimitError) Is(target error) bool { return target == ErrInvalid }

// maxQuote bounds what a path or a value may add to an error and so to a log.
const maxQuote = 128

func clip(s string) string {
	if len(s) > maxQuote {
		return s[:maxQuote] + "…"
	}
	return s
}
