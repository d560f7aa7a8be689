package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// ErrTokenExpired says that a given token has ended; get a new one.
var ErrTokenExpired = errors.New("auth: the given SAS token expired")

// A Token is a shared access signature: a bearer secret with an end. It shows
// itself only through Reveal; every other text of it is redacted. Tokens may be
// copied and used concurrently; they cannot be compared with ==.
type Token struct {
	// A func for the reason given at Key; nil in the zero Token.
	text func() string
	// The resource as it stands in the text, still percent-encoded: no secret.
	sr      string
	expires time.Time
}

const tokenPrefix = "SharedAccessSignature "

// maxExpiry is the last end that a token may have, in seconds since 1970: the
// last year of four digits. What is later is most often in milliseconds.
const maxExpiry = 253402300799 // 9999-12-31T23:59:59Z

// signFunc is the Sign of a Signer.
type signFunc func(ctx context.Context, data []byte) ([]byte, error)

// SignToken makes the token with which the holder of signer's key may use the
// audience until expires, which is cut to whole seconds. The policy is empty
// for a device's own key.
//
// The form is the one of the documentation and the official SDKs, byte for
// byte: sr, sig, se and skn in this order, percent-encoded in upper case.
//
// An error of the signer is passed on; every other matches ErrInvalid.
func SignToken(_ own.Key, ctx context.Context, signer Signer, audience, policy string, expires time.Time) (Token, error) {
	if signer == nil {
		return signToken(ctx, nil, audience, policy, expires)
	}
	return signToken(ctx, signer.Sign, audience, policy, expires)
}

func signToken(ctx context.Context, sign signFunc, audience, policy string, expires time.Time) (Token, error) {
	if sign == nil {
		return Token{}, errNoSigner()
	}
	if audience == "" {
		return Token{}, fmt.Errorf("%w: a token for an empty audience", ErrInvalid)
	}
	se := expires.Unix()
	if se <= 0 || se > maxExpiry {
		return Token{}, fmt.Errorf("%w: a token that ends in the year %d; is the clock set?", ErrInvalid, expires.Year())
	}
	sr := url.QueryEscape(audience)
	end := strconv.FormatInt(se, 10)
	mac, err := sign(ctx, []byte(sr+"\n"+end))
	if err != nil {
		return Token{}, fmt.Errorf("auth: sign a token: %w", errtext.Bare("auth", err))
	}
	if len(mac) != sha256.Size {
		return Token{}, fmt.Errorf("%w: the signer returned %d bytes; HMAC-SHA256 has %d", ErrInvalid, len(mac), sha256.Size)
	}
	text := tokenPrefix + "sr=" + sr + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac)) + "&se=" + end
	if policy != "" {
		text += "&skn=" + url.QueryEscape(policy)
	}
	return newToken(text, sr, se), nil
}

func errNoSigner() error {
	return fmt.Errorf("%w: no signer for a token; make one with ParseKey, or bring your own", ErrInvalid)
}

func newToken(text, sr string, se int64) Token {
	return Token{text: func() string { return text }, sr: sr, expires: time.Unix(se, 0)}
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.text == nil }

// Expires is the end of the token, in whole seconds.
func (t Token) Expires() time.Time { return t.expires }

// Reveal is the token as it goes over the wire: a secret.
func (t Token) Reveal() string {
	if t.IsZero() {
		return ""
	}
	return t.text()
}

// maxScopeShown bounds what a token's resource adds to an error: it came from
// outside, and may have the length of a token.
const maxScopeShown = 256

// maxEncoded is how often a resource is decoded: SDKs encode the ids, then the
// whole, and some of them the whole once more.
const maxEncoded = 3

// checkCovers reports when the token is certainly not for the audience. The hub
// compares segment by segment, so a token for host/devices is good for
// host/devices/dev1, and one for host/devices/dev is not. Every reading of sr is
// open, from not encoded at all to encoded three times, since SDKs exist that do
// so. Letter case is open too: the documentation asks for lower-case resources
// while ids keep theirs.
func (t Token) checkCovers(audience string) error {
	scope := t.sr
	for range maxEncoded + 1 {
		if within(audience, scope) {
			return nil
		}
		plain := unescape(scope)
		if plain == scope {
			break
		}
		scope = plain
	}
	return fmt.Errorf("%w: the given token is for %.*q, which does not cover %q: check its sr field",
		ErrInvalid, maxScopeShown, scope, audience)
}

// unescape decodes what is percent-encoded, and leaves a '%' that begins nothing:
// ids hold it, and not every SDK encodes it.
func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if plain, err := url.PathUnescape(s[:min(len(s), len("%00"))]); s[0] == '%' && err == nil {
			b.WriteString(plain)
			s = s[len("%00"):]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// within reports whether the audience is the scope, or below it.
func within(audience, scope string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(audience), strings.TrimSuffix(strings.ToLower(scope), "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// String shows the token with its signature redacted.
func (t Token) String() string {
	if t.IsZero() {
		return "no token"
	}
	return fmt.Sprintf("SAS token %s, ends %s", redacted, utc(t.expires))
}

// Format is String for every verb, %x, %d and %#v included.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText is String for JSON, slog and their like.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
