package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
)

// A Signer holds a symmetric key, wherever that lives: in memory ([ParseKey]),
// in a TPM, behind PKCS#11.
type Signer interface {
	// Sign returns the HMAC-SHA256 of data under the key: 32 bytes. It may be
	// slow, honours ctx, may be called concurrently, and keeps no data.
	Sign(ctx context.Context, data []byte) ([]byte, error)
}

// A Key is a Signer in memory. It shows itself in no log and no format verb.
type Key struct{ secret []byte }

// ParseKey reads a key as the hub hands it out: standard base64, padded.
func ParseKey(base64Text string) (Key, error) {
	secret, err := base64.StdEncoding.Strict().DecodeString(base64Text)
	if err != nil {
		// The cause would quote a part of the key: only where is told.
		return Key{}, fmt.Errorf("%w: the key is not base64; copy it whole, with its closing '='", ErrInvalid)
	}
	if len(secret) == 0 {
		return Key{}, fmt.Errorf("%w: the key is empty", ErrInvalid)
	}
	return Key{secret: secret}, nil
}

// Sign implements Signer.
func (k Key) Sign(ctx context.Context, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(k.secret) == 0 {
		return nil, fmt.Errorf("%w: the key is empty; make it with ParseKey", ErrInvalid)
	}
	mac := hmac.New(sha256.New, k.secret)
	mac.Write(data)
	return mac.Sum(nil), nil
}

const redacted = "REDACTED"

// String, GoString, Format and LogValue keep the key out of every text.
func (k Key) String() string { return redacted }

// GoString keeps the key out of %#v.
func (k Key) GoString() string { return "auth.Key(" + redacted + ")" }

// Format keeps the key out of every other verb, %x and %d included.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue keeps the key out of slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the key out of JSON and its like.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
