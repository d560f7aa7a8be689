package registry

import (
	"fmt"
	"io"
)

// A Secret is a key, or a text that contains one. Only Reveal returns it. Package
// fmt, log/slog and encoding/json get REDACTED in its place, or nothing for the
// zero Secret, which is empty.
type Secret struct {
	// A func, since no printer shows the variables of a closure.
	text func() string
}

// NewSecret returns text, such as a key in base64, as a Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: func() string { return text }}
}

// IsEmpty reports whether the Secret is the empty text.
func (s Secret) IsEmpty() bool { return s.text == nil }

// Reveal returns the secret text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return s.text()
}

// Format writes REDACTED for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.redacted()) }

// MarshalText returns REDACTED, for encoding/json, log/slog and others.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.redacted()), nil }

func (s Secret) redacted() string {
	if s.text == nil {
		return ""
	}
	return "REDACTED"
}
