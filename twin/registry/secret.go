package registry

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a key, or a text that holds one. It shows itself only through
// Reveal: every log, error and format verb gets it redacted. The zero Secret is
// empty.
type Secret struct {
	// A func, since what a func closes over is printed by nothing.
	text func() string
}

// NewSecret makes a Secret of a text, such as a key in base64.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: func() string { return text }}
}

// IsEmpty reports whether there is none.
func (s Secret) IsEmpty() bool { return s.text == nil }

// Reveal is the secret itself.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return s.text()
}

// String is "REDACTED", or empty for the empty Secret.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return "REDACTED"
}

// Format is String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String for JSON and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
