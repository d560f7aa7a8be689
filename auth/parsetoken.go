package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// maxToken bounds a given token; real ones have some 200 to 500 bytes.
const maxToken = 8 << 10

// ParseToken reads a ready-made token: "SharedAccessSignature ", then sr, sig
// and se, perhaps skn (which may be empty), in any order and in any of the
// encodings that SDKs use. It checks the form and reads the end; whether the
// signature is right only the hub can tell, and whether it has ended is asked
// of [StaticToken]. White space and other invisible characters around it, as files
// have them, are skipped.
//
// The token stays as it was given, byte for byte, with one exception: a
// signature that was not percent-encoded, which a hub may misread, is encoded.
// It is not itself signed, so that changes nothing.
//
// The error matches ErrInvalid, names the field, and quotes nothing.
func ParseToken(text string) (Token, error) { return parseToken(visible.Trim(text)) }

func parseToken(text string) (Token, error) {
	if len(text) > maxToken {
		return Token{}, badToken("%d bytes long; at most %d are read", len(text), maxToken)
	}
	if err := visible.Check(text, ""); err != nil {
		return Token{}, badToken("%v", err)
	}
	fields, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return Token{}, badToken("it must begin with %q", tokenPrefix)
	}
	parts := strings.Split(fields, "&")
	seen := make(map[string]string, len(parts))
	for i, part := range parts {
		// A name is quoted only once it is known: else it may be a piece of
		// the signature.
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return Token{}, badToken("field %d of %d has no '='; copy the token whole", i+1, len(parts))
		}
		switch name {
		case "sr", "sig", "se", "skn":
		default:
			return Token{}, badToken("field %d of %d is unknown; known are sr, sig, se and skn, in lower case", i+1, len(parts))
		}
		if _, dup := seen[name]; dup {
			return Token{}, badToken("field %s stands twice", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return Token{}, badToken("field %s holds a character that is not printable ASCII", name)
		}
		seen[name] = value
		if name == "sig" {
			sig, ok := encodedSignature(value)
			if !ok {
				return Token{}, badToken("field sig is not the base64 of %d bytes; copy the token whole", sha256.Size)
			}
			parts[i] = "sig=" + sig
		}
	}
	for _, name := range []string{"sr", "sig", "se"} {
		if seen[name] == "" {
			return Token{}, badToken("field %s is missing or empty", name)
		}
	}
	se, err := strconv.ParseUint(seen["se"], 10, 63)
	if err != nil || se == 0 || se > maxExpiry {
		return Token{}, badToken("field se is not a time in whole seconds since 1970; is it in milliseconds?")
	}
	return newToken(tokenPrefix+strings.Join(parts, "&"), seen["sr"], int64(se)), nil
}

func badToken(format string, args ...any) error {
	return fmt.Errorf("%w: SAS token: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// encodedSignature checks a signature's form and returns it percent-encoded:
// as it was, unless it holds what must not stand in a field.
func encodedSignature(s string) (string, bool) {
	raw, err := url.PathUnescape(s)
	if err != nil {
		return "", false
	}
	mac, err := base64.StdEncoding.DecodeString(raw)
	if err != nil || len(mac) != sha256.Size {
		return "", false
	}
	if strings.ContainsAny(s, "+/=") {
		return url.QueryEscape(raw), true
	}
	return s, true
}
