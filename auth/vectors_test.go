package auth_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// The keys of the vectors, and the end of all their tokens.
const (
	key1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	key2 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
)

var vectorEnd = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	hub  = "myhub.azure-devices.net"
	sas1 = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600"
	neg6 = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdwuRnUyQS3LODuW9+9Pt6pMJ3nmWt/5tP1U=&se=1767225600"
)

// Tokens that were computed with Python, Node.js and OpenSSL. Those with an
// audience are in the form that SignToken writes.
var vectors = []struct {
	name, key, audience, policy string
	text                        string
}{
	{"SAS-1", key1, hub + "/devices/dev1", "", sas1},
	{"SAS-2 lower hex", key1, "", "",
		"SharedAccessSignature sr=myhub.azure-devices.net%2fdevices%2fdev1&sig=EbsipAvwFfPuMaDAs159iDejG7T9WANcmWQCkav5%2FUQ%3D&se=1767225600"},
	{"SAS-3 sr not encoded", key1, "", "",
		"SharedAccessSignature sr=myhub.azure-devices.net/devices/dev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600"},
	{"SAS-4 module", key1, hub + "/devices/dev1/modules/modA", "",
		"SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1%2Fmodules%2FmodA&sig=QvMrKsoBDZy20kJH9%2F9hhtn%2B8yyXRnaE6je1kdyJ2m8%3D&se=1767225600"},
	{"SAS-5 policy for all devices", key1, hub + "/devices", "device",
		"SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices&sig=6G74yOUVaVacD2Wpp8%2BYNX3%2FqtKzx1TmNXeZQ9Q1Jus%3D&se=1767225600&skn=device"},
	{"SAS-6 every mark an id may hold", key1, hub + "/devices/D-1.a%_#*?!(),=@$'", "",
		"SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2FD-1.a%25_%23%2A%3F%21%28%29%2C%3D%40%24%27&sig=EanwB18PWQzW1BZ%2Ff29slv6Vaft%2FzYzJAXwt5OP%2FwO8%3D&se=1767225600"},
	{"SAS-6b as .NET encodes", key1, "", "",
		"SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2FD-1.a%25_%23*%3F!()%2C%3D%40%24%27&sig=r868y%2B2QZ%2BXlqpsOo0ti1Hql5q%2FQv3knVKrAytBsolI%3D&se=1767225600"},
	{"SAS-6c as Node.js encodes", key1, "", "",
		"SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2FD-1.a%25_%23%2a%3F%21%28%29%2C%3D%40%24%27&sig=ACJ4B3W4p43E%2BrVJwnkURSi%2Fl6OSdPIp0P0eHBaSrdY%3D&se=1767225600"},
	{"SAS-7 registration", key1, "0ne00000A0A/registrations/dev-01", "registration",
		"SharedAccessSignature sr=0ne00000A0A%2Fregistrations%2Fdev-01&sig=d6QlUQNMPhXhyV%2FghmHkXNMUHQmNwrPf7bRLaTR8ous%3D&se=1767225600&skn=registration"},
	{"SAS-8 empty skn", key1, "", "",
		"SharedAccessSignature sr=myhub.azure-devices.net/devices/dev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600&skn="},
	{"SAS-9 key of 64 bytes", key2, hub + "/devices/dev1", "",
		"SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=UztvOdp0%2BBmA8yFmADgGJilvknRcZvQOUFYkiqJ74Cs%3D&se=1767225600"},
	{"SAS-10 policy for the hub", key1, hub, "iothubowner",
		"SharedAccessSignature sr=myhub.azure-devices.net&sig=rny7eWZSBNZ9YeCNiuTjnwBzU9k6y3yqorNu3ifboBQ%3D&se=1767225600&skn=iothubowner"},
}

func TestSignTokenVectors(t *testing.T) {
	for _, v := range vectors {
		if v.audience == "" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			key := parseKey(t, v.key)
			// Half a second more: the end is cut to whole seconds.
			got, err := auth.SignToken(own.Key{}, t.Context(), key, v.audience, v.policy, vectorEnd.Add(time.Second/2))
			if err != nil {
				t.Fatalf("SignToken: %v", err)
			}
			if got.Reveal() != v.text {
				t.Errorf("token\n got %s\nwant %s", got.Reveal(), v.text)
			}
			if !got.Expires().Equal(vectorEnd) {
				t.Errorf("Expires() = %v, want %v", got.Expires(), vectorEnd)
			}
		})
	}
}

func TestParseTokenVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			got := parseToken(t, v.text)
			if got.Reveal() != v.text {
				t.Errorf("token\n got %s\nwant %s", got.Reveal(), v.text)
			}
			if !got.Expires().Equal(vectorEnd) {
				t.Errorf("Expires() = %v, want %v", got.Expires(), vectorEnd)
			}
		})
	}
}

// The negative vectors are refused by the hub; here it is told which of them
// are noticed before.
func TestNegativeVectors(t *testing.T) {
	const prefix = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2F"
	now := time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, text string
		want       error // of the credential, once parsed
	}{
		{"NEG-1 expired", prefix + "dev1&sig=9bnrcxfcXhoc3ld5oso9HrEbCu0KYiQS6jBxKH4ZtMA%3D&se=1577836800", auth.ErrTokenExpired},
		{"NEG-2 prefix of the name only", prefix + "dev&sig=rHwcHRYREkaahpTUt%2FRBj7gnTAnjtSF%2BgrKNGxT5fFw%3D&se=1767225600", auth.ErrInvalid},
		{"NEG-3 signed decoded: only the hub can tell", prefix + "dev1&sig=P%2Bl9Zef3ZWtMiEFpFuZ3oLc9LG7epfhOGvcDcTZS2aY%3D&se=1767225600", nil},
		{"NEG-4 keyed by the text: only the hub can tell", prefix + "dev1&sig=9XmyXBfsfzdzGNMW%2F2L1%2Ftuw%2B38k5e4oBmSmEAdD0xs%3D&se=1767225600", nil},
		{"NEG-5 signed with a newline: only the hub can tell", prefix + "dev1&sig=p1F2OeO06pVZsqKck6wPLkepkCkAnLDSPqYwCMDmAJc%3D&se=1767225600", nil},
		{"NEG-6 signature not encoded: mended", neg6, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := parseToken(t, test.text)
			_, err := auth.TokenOf(t.Context(), auth.StaticToken(token), hub+"/devices/dev1", now)
			if !errors.Is(err, test.want) {
				t.Errorf("StaticToken: error %v, want %v", err, test.want)
			}
		})
	}
	if got := parseToken(t, neg6).Reveal(); got != sas1 {
		t.Errorf("NEG-6 goes out as\n     %s\nwant %s", got, sas1)
	}
}

// hsm is a Signer of a user's own making, careless with its secret.
type hsm struct {
	Secret []byte
	secret []byte
}

func (h *hsm) Sign(_ context.Context, data []byte) ([]byte, error) {
	mac := hmac.New(sha256.New, h.secret)
	mac.Write(data)
	return mac.Sum(nil), nil
}

func parseKey(t *testing.T, text string) auth.Key {
	t.Helper()
	key, err := auth.ParseKey(text)
	if err != nil {
		t.Fatalf("ParseKey: %v", err)
	}
	return key
}

func parseToken(t *testing.T, text string) auth.Token {
	t.Helper()
	token, err := auth.ParseToken(text)
	if err != nil {
		t.Fatalf("ParseToken: %v", err)
	}
	return token
}

// wantError checks that an error matches and says what it must.
func wantError(t *testing.T, err, match error, says string) {
	t.Helper()
	if !errors.Is(err, match) {
		t.Fatalf("error %v, want one that matches %q", err, match)
	}
	if !contains(err.Error(), says) {
		t.Errorf("error %q, want it to say %q", err, says)
	}
}
