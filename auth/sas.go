package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrTokenExpired says that a given token has ended; get a new one.
var ErrTokenExpired = errors.New("the given SAS token expired")

// A Token is a shared access signature: a bearer secret with an end. It shows
// itself only through Reveal; every other text of it is redacted.
type Token struct {
	text    string
	expires time.Time
}

const tokenPrefix = "SharedAccessSignature "

// SignToken makes the token with which the holder of signer's key may use the
// audience until expires, which is cut to whole seconds. The policy is empty
// for a device's own key.
//
// The form is the one of the documentation and the official SDKs, byte for
// byte: sr, sig, se and skn in this order, percent-encoded in upper case.
func SignToken(ctx context.Context, signer Signer, audience, policy string, expires time.Time) (Token, error) {
	se := expires.Unix()
	if se <= 0 {
		return Token{}, fmt.Errorf("%w: a token that ends in %d", ErrInvalid, expires.Year())
	}
	sr := url.QueryEscape(audience)
	end := strconv.FormatInt(se, 10)
	mac, err := signer.Sign(ctx, []byte(sr+"\n"+end))
	if err != nil {
		return Token{}, fmt.Errorf("sign a token: %w", err)
	}
	text := tokenPrefix + "sr=" + sr + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac)) + "&se=" + end
	if policy != "" {
		text += "&skn=" + url.QueryEscape(policy)
	}
	return Token{text: text, expires: time.Unix(se, 0)}, nil
}

// maxToken bounds a given token; real ones have some 200 to 500 bytes.
const maxToken = 8 << 10

// ParseToken reads a ready-made token. It checks the form and reads the end;
// whether the signature is right only the hub can tell.
func ParseToken(text string) (Token, error) {
	bad := func(format string, args ...any) (Token, error) {
		return Token{}, fmt.Errorf("%w: SAS token: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(text) > maxToken {
		return bad("%d bytes long; at most %d are read", len(text), maxToken)
	}
	fields, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return bad("it must begin with %q", tokenPrefix)
	}
	var seen = map[string]string{}
	for part := range strings.SplitSeq(fields, "&") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return bad("a field without '='")
		}
		switch name {
		case "sr", "sig", "se", "skn":
		default:
			return bad("an unknown field; known are sr, sig, se and skn")
		}
		if _, dup := seen[name]; dup {
			return bad("field %s stands twice", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return bad("field %s holds a character that is not printable ASCII", name)
		}
		seen[name] = value
	}
	for _, name := range []string{"sr", "sig", "se"} {
		if seen[name] == "" {
			return bad("field %s is missing or empty", name)
		}
	}
	se, err := strconv.ParseInt(seen["se"], 10, 64)
	if err != nil || se <= 0 || se > 1<<40 {
		return bad("field se is not a time in whole seconds since 1970")
	}
	return Token{text: text, expires: time.Unix(se, 0)}, nil
}

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.text == "" }

// Expires is the end of the token, in whole seconds.
func (t Token) Expires() time.Time { return t.expires }

// Reveal is the token as it goes over the wire: a secret.
func (t Token) Reveal() string { return t.text }

// String shows the token with its signature redacted.
func (t Token) String() string {
	if t.IsZero() {
		return "no token"
	}
	return fmt.Sprintf("SAS token %s, ends %s", redacted, t.expires.UTC().Format(time.RFC3339))
}

// GoString keeps the signature out of %#v.
func (t Token) GoString() string { return "auth.Token(" + t.String() + ")" }

// Format keeps the signature out of every other verb.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue keeps the signature out of slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText keeps the signature out of JSON and its like.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
