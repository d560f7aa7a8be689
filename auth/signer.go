package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// A Signer holds a symmetric key, wherever that lives: in memory ([ParseKey]),
// in a TPM, behind PKCS#11.
type Signer interface {
	// Sign returns the HMAC-SHA256 of data under the key: 32 bytes. It may be
	// slow, honours ctx, may be called concurrently, and keeps no data.
	Sign(ctx context.Context, data []byte) ([]byte, error)
}

// A Key is a Signer in memory. It shows itself in no log and no format verb.
// The zero Key signs nothing. Keys may be copied and used concurrently.
type Key struct {
	// A func, since fmt calls no methods on what stands in another type's
	// unexported field, nor after a wrong verb, and would print bytes; what a
	// func closes over is printed by nothing.
	secret func() []byte
}

// ParseKey reads a key as the hub hands it out: standard base64, padded. White
// space and other invisible characters around it, as files have them, and line
// breaks in it are skipped. The error matches ErrInvalid and quotes nothing of
// the text.
func ParseKey(base64Text string) (Key, error) { return parseKey(visible.Trim(base64Text)) }

func parseKey(text string) (Key, error) {
	if err := visible.Check(text, "\r\n"); err != nil {
		return Key{}, fmt.Errorf("%w: the key: %w", ErrInvalid, err)
	}
	// Not Strict: a key that a person made up may end in bits that no byte
	// needs. Hub and SDKs drop them, so they must not matter here.
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		// The cause tells an offset only, but that is of no use to anybody who
		// may not see the key either.
		return Key{}, fmt.Errorf("%w: the key is not base64; copy it whole, with its closing '='", ErrInvalid)
	}
	if len(secret) == 0 {
		return Key{}, fmt.Errorf("%w: the key is empty", ErrInvalid)
	}
	return Key{secret: func() []byte { return secret }}, nil
}

// Sign implements Signer.
func (k Key) Sign(ctx context.Context, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.secret == nil {
		return nil, errNoKey()
	}
	mac := hmac.New(sha256.New, k.secret())
	mac.Write(data)
	return mac.Sum(nil), nil
}

func errNoKey() error {
	return fmt.Errorf("%w: the key is empty; make it with ParseKey", ErrInvalid)
}

const redacted = "REDACTED"

// String says that there is a key, and nothing else of it.
func (k Key) String() string {
	if k.secret == nil {
		return "no key"
	}
	return "key " + redacted
}

// Format is String for every verb, %x, %d and %#v included.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText is String for JSON, slog and their like.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
