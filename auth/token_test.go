package auth_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func TestParseKey(t *testing.T) {
	sign := func(k auth.Key) string {
		mac, err := k.Sign(t.Context(), []byte("data"))
		if err != nil {
			t.Fatalf("Sign: %v", err)
		}
		return hex.EncodeToString(mac)
	}
	want := sign(parseKey(t, key1))
	for name, text := range map[string]string{
		"from a file":             key1 + "\r\n",
		"wrapped by openssl":      key1[:20] + "\n" + key1[20:],
		"last bits not canonical": strings.Replace(key1, "WY=", "WZ=", 1),
	} {
		if got := sign(parseKey(t, text)); got != want {
			t.Errorf("%s: the key signs %s, want %s", name, got, want)
		}
	}
	for name, text := range map[string]string{
		"empty":           "",
		"blank":           " \n",
		"cut":             key1[:len(key1)-1],
		"not base64":      "correct horse battery staple",
		"URL-encoded":     strings.Replace(key1, "=", "%3D", 1),
		"space inside":    key1[:20] + " " + key1[20:],
		"two keys joined": key1 + key1,
	} {
		_, err := auth.ParseKey(text)
		if !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
}

func TestKeySignErrors(t *testing.T) {
	_, err := auth.Key{}.Sign(t.Context(), nil)
	wantError(t, err, auth.ErrInvalid, "ParseKey")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = parseKey(t, key1).Sign(ctx, nil)
	wantError(t, err, context.Canceled, "")
}

type signFunc func(context.Context, []byte) ([]byte, error)

func (f signFunc) Sign(ctx context.Context, data []byte) ([]byte, error) { return f(ctx, data) }

func TestSignTokenErrors(t *testing.T) {
	key := parseKey(t, key1)
	broken := errors.New("the TPM is on fire")
	for _, test := range []struct {
		name     string
		signer   auth.Signer
		audience string
		end      time.Time
		match    error
		says     string
	}{
		{"no signer", nil, hub, vectorEnd, auth.ErrInvalid, "no signer"},
		{"empty key", auth.Key{}, hub, vectorEnd, auth.ErrInvalid, "key is empty"},
		{"no audience", key, "", vectorEnd, auth.ErrInvalid, "empty audience"},
		{"end before 1970", key, hub, time.Unix(0, 0), auth.ErrInvalid, "year 1970"},
		{"zero end", key, hub, time.Time{}, auth.ErrInvalid, "year 1;"},
		{"end beyond 9999", key, hub, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), auth.ErrInvalid, "year 10000"},
		{"signer fails", signFunc(func(context.Context, []byte) ([]byte, error) { return nil, broken }),
			hub, vectorEnd, broken, "sign a token"},
		{"signer is not HMAC-SHA256", signFunc(func(context.Context, []byte) ([]byte, error) { return make([]byte, 20), nil }),
			hub, vectorEnd, auth.ErrInvalid, "20 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := auth.SignToken(own.Key{}, t.Context(), test.signer, test.audience, "", test.end)
			wantError(t, err, test.match, test.says)
			if !token.IsZero() {
				t.Error("a token came with the error")
			}
		})
	}
}

func TestZeroToken(t *testing.T) {
	var zero auth.Token
	if !zero.IsZero() || zero.Reveal() != "" || !zero.Expires().IsZero() {
		t.Errorf("the zero token is IsZero %v, Reveal %q, Expires %v", zero.IsZero(), zero.Reveal(), zero.Expires())
	}
	if got := zero.String(); got != "no token" {
		t.Errorf("String() = %q", got)
	}
	if parseToken(t, sas1).IsZero() {
		t.Error("a parsed token is zero")
	}
}

func TestParseTokenForms(t *testing.T) {
	const sr, sig, se = "sr=h", "sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D", "se=1767225600"
	const p = "SharedAccessSignature "
	for name, text := range map[string]string{
		"another order":         p + sig + "&" + se + "&" + sr,
		"lower hex in sig":      p + sr + "&" + strings.ToLower(sig[:4]) + "v3cEShKGdwuRnUyQS3LODuW9%2b9Pt6pMJ3nmWt%2f5tP1U%3d&" + se,
		"sr that is no escape":  p + "sr=100%&" + sig + "&" + se,
		"the last of all years": p + sr + "&" + sig + "&se=253402300799",
	} {
		if got := parseToken(t, text).Reveal(); got != text {
			t.Errorf("%s: the token became\n     %s\nfrom %s", name, got, text)
		}
	}
	if got := parseToken(t, "\t"+sas1+"\r\n").Reveal(); got != sas1 {
		t.Errorf("from a file: %q", got)
	}
	for _, test := range []struct{ name, text, says string }{
		{"empty", "", "must begin"},
		{"no scheme", sr + "&" + sig + "&" + se, "must begin"},
		{"scheme in lower case", strings.ToLower(p) + sr + "&" + sig + "&" + se, "must begin"},
		{"scheme only", "SharedAccessSignature", "must begin"},
		{"nothing after the scheme", p + "x", "field 1 of 1"},
		{"two spaces", p + " " + sr + "&" + sig + "&" + se, "field 1 of 3 is unknown"},
		{"no sr", p + sig + "&" + se, "sr is missing"},
		{"no sig", p + sr + "&" + se, "sig is missing"},
		{"no se", p + sr + "&" + sig, "se is missing"},
		{"empty sr", p + "sr=&" + sig + "&" + se, "sr is missing or empty"},
		{"empty sig", p + sr + "&sig=&" + se, "sig is not"},
		{"empty se", p + sr + "&" + sig + "&se=", "se is missing or empty"},
		{"se=abc", p + sr + "&" + sig + "&se=abc", "se is not a time"},
		{"se signed", p + sr + "&" + sig + "&se=+1767225600", "se is not a time"},
		{"se negative", p + sr + "&" + sig + "&se=-1", "se is not a time"},
		{"se zero", p + sr + "&" + sig + "&se=0", "se is not a time"},
		{"se with a fraction", p + sr + "&" + sig + "&se=1767225600.5", "se is not a time"},
		{"se in milliseconds", p + sr + "&" + sig + "&se=1767225600000", "milliseconds"},
		{"se beyond 64 bits", p + sr + "&" + sig + "&se=99999999999999999999", "se is not a time"},
		{"unknown field", p + sr + "&" + sig + "&" + se + "&x=1", "field 4 of 4 is unknown"},
		{"field without =", p + sr + "&" + sig + "&" + se + "&skn", "field 4 of 4 has no '='"},
		{"trailing &", p + sr + "&" + sig + "&" + se + "&", "field 4 of 4 has no '='"},
		{"twice", p + sr + "&" + sig + "&" + se + "&" + se, "se stands twice"},
		{"space inside", p + "sr=a b&" + sig + "&" + se, "sr holds"},
		{"not ASCII", p + "sr=hüb&" + sig + "&" + se, "sr holds"},
		{"sig cut", p + sr + "&" + sig[:30] + "&" + se, "sig is not the base64 of 32 bytes"},
		{"sig of another length", p + sr + "&sig=AAAA&" + se, "sig is not the base64 of 32 bytes"},
		{"sig cut in an escape", p + sr + "&" + sig[:len(sig)-1] + "&" + se, "sig is not"},
		{"too long", p + strings.Repeat("x", 8<<10), "at most 8192"},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := auth.ParseToken(test.text)
			wantError(t, err, auth.ErrInvalid, test.says)
			if !token.IsZero() {
				t.Error("a token came with the error")
			}
		})
	}
	// Every prefix of a token that was cut while copying is refused, but for
	// those that end within se, which is then another time.
	for i := range sas1 {
		if _, err := auth.ParseToken(sas1[:i]); err == nil && i <= strings.Index(sas1, "&se=")+4 {
			t.Errorf("a token cut after %d bytes is accepted", i)
		}
	}
}

func TestSAS(t *testing.T) {
	now := vectorEnd.Add(-time.Hour)
	cred := auth.SAS(parseKey(t, key1), nil)
	got, err := auth.TokenOf(t.Context(), cred, hub+"/devices/dev1", now)
	if err != nil || got.Reveal() != sas1 {
		t.Errorf("an hour before: token %q, error %v, want SAS-1", got.Reveal(), err)
	}
	if cert, err := auth.CertificateOf(t.Context(), cred); cert != nil || err != nil {
		t.Errorf("Certificate() = %v, %v, want none", cert, err)
	}

	opts := &auth.SASOptions{Lifetime: 2 * time.Hour, Policy: "device"}
	cred = auth.SAS(&hsm{secret: []byte("0123456789abcdef0123456789abcdef")}, opts)
	*opts = auth.SASOptions{} // they were copied
	got, err = auth.TokenOf(t.Context(), cred, hub+"/devices", vectorEnd.Add(-2*time.Hour))
	if err != nil || got.Reveal() != vectors[4].text {
		t.Errorf("with a policy: token %q, error %v, want SAS-5", got.Reveal(), err)
	}
	if cred != auth.Credential(cred) {
		t.Error("a credential differs from itself")
	}
}

func TestSASErrors(t *testing.T) {
	key := parseKey(t, key1)
	for _, test := range []struct {
		name   string
		signer auth.Signer
		opts   auth.SASOptions
		says   string
	}{
		{"no signer", nil, auth.SASOptions{}, "no signer"},
		{"the zero Key", auth.Key{}, auth.SASOptions{}, "the key is empty"},
		{"too short", key, auth.SASOptions{Lifetime: time.Minute - 1}, "SASOptions.Lifetime is 59.999999999s; want from 1m0s"},
		{"too long", key, auth.SASOptions{Lifetime: 366*24*time.Hour + 1}, "to 8784h0m0s, or 0 for 1h0m0s"},
		{"negative", key, auth.SASOptions{Lifetime: -time.Hour}, "SASOptions.Lifetime is -1h0m0s"},
		{"a policy of two lines", key, auth.SASOptions{Policy: "a\nb"}, `SASOptions.Policy is "a\nb"; want`},
		{"a policy that is no UTF-8", key, auth.SASOptions{Policy: "\xff"}, `SASOptions.Policy is "\xff"; want`},
		{"a long policy", key, auth.SASOptions{Policy: strings.Repeat("a", 257)}, "want UTF-8 of up to 256 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cred := auth.SAS(test.signer, &test.opts)
			wantError(t, auth.CheckCredential(own.Key{}, cred), auth.ErrInvalid, test.says)
			_, err := auth.TokenOf(t.Context(), cred, hub, vectorEnd)
			wantError(t, err, auth.ErrInvalid, test.says)
		})
	}
	for _, ok := range []auth.SASOptions{
		{Lifetime: time.Minute}, {Lifetime: 366 * 24 * time.Hour}, {Policy: strings.Repeat("a", 256)},
	} {
		cred := auth.SAS(key, &ok)
		if err := auth.CheckCredential(own.Key{}, cred); err != nil {
			t.Errorf("check of %+v: %v", ok, err)
		}
		if _, err := auth.TokenOf(t.Context(), cred, hub, vectorEnd); err != nil {
			t.Errorf("with %+v: %v", ok, err)
		}
	}
}

func TestStaticToken(t *testing.T) {
	cred := auth.StaticToken(parseToken(t, sas1))
	got, err := auth.TokenOf(t.Context(), cred, hub+"/devices/dev1", vectorEnd.Add(-time.Second))
	if err != nil || got.Reveal() != sas1 {
		t.Errorf("before the end: %q, %v", got.Reveal(), err)
	}
	_, err = auth.TokenOf(t.Context(), cred, hub+"/devices/dev1", vectorEnd)
	wantError(t, err, auth.ErrTokenExpired, "2026-01-01T00:00:00Z")
	if errors.Is(err, auth.ErrInvalid) {
		t.Error("an expired token is not invalid configuration")
	}
	_, err = auth.TokenOf(t.Context(), auth.StaticToken(auth.Token{}), hub, vectorEnd)
	wantError(t, err, auth.ErrInvalid, "zero token")
	if cert, err := auth.CertificateOf(t.Context(), cred); cert != nil || err != nil {
		t.Errorf("Certificate() = %v, %v, want none", cert, err)
	}
}

// What a token covers is refused only where no reading allows it.
func TestStaticTokenScope(t *testing.T) {
	mac := base64.RawStdEncoding.EncodeToString(make([]byte, sha256.Size)) + "%3D"
	for _, test := range []struct {
		sr, audience string
		want         bool
	}{
		{hub + "%2Fdevices%2Fdev1", hub + "/devices/dev1", true},
		{hub + "%2fdevices%2fdev1", hub + "/devices/dev1", true},
		{hub + "/devices/dev1", hub + "/devices/dev1", true},
		{hub + "/devices/dev1/", hub + "/devices/dev1", true},
		{hub, hub + "/devices/dev1", true},
		{hub + "/devices", hub + "/devices/dev1/modules/m", true},
		{hub + "%2Fdevices%2Fdev1", hub + "/devices/dev1/modules/m", true}, // a policy's may
		{"MyHub.Azure-Devices.net%2Fdevices%2Fdev1", hub + "/devices/dev1", true},
		{hub + "%2fdevices%2fdev1", hub + "/devices/Dev1", true}, // as the documentation asks
		{hub + "/devices/a%20b", hub + "/devices/a%20b", true},   // not encoded at all
		{hub + "/devices/a%2520b", hub + "/devices/a%20b", true},
		{hub + "/devices/100%", hub + "/devices/100%", true},
		{hub + "/devices/a+b", hub + "/devices/a+b", true},
		{hub + "%2Fdevices%2Fa%2Bb", hub + "/devices/a+b", true},

		{hub + "%2Fdevices%2Fdev", hub + "/devices/dev1", false},
		{hub + "%2Fdevices%2Fdev12", hub + "/devices/dev1", false},
		{hub + "%2Fdevices%2Fdev1%2Fmodules%2Fm", hub + "/devices/dev1", false},
		{hub + "%2Fdevices%2Fdev1%2Fmodules%2Fm", hub + "/devices/dev1/modules/n", false},
		{"other.azure-devices.net%2Fdevices%2Fdev1", hub + "/devices/dev1", false},
		{"myhub", hub + "/devices/dev1", false},
		{"/", hub + "/devices/dev1", false},
		{hub + "/devices/100%", hub + "/devices/dev1", false},
	} {
		token := parseToken(t, "SharedAccessSignature sr="+test.sr+"&sig="+mac+"&se=1767225600")
		_, err := auth.TokenOf(t.Context(), auth.StaticToken(token), test.audience, vectorEnd.Add(-time.Hour))
		if got := err == nil; got != test.want {
			t.Errorf("a token for %s covers %s: %v, want %v", test.sr, test.audience, got, test.want)
		}
		if err != nil {
			wantError(t, err, auth.ErrInvalid, test.audience)
		}
	}
}

// TestTokenFunc fetches tokens, and looks at what it got.
func TestTokenFunc(t *testing.T) {
	broken := errors.New("the key service is down")
	audience := hub + "/devices/dev1"
	for _, tt := range []struct {
		what  string
		fetch func(context.Context, string) (auth.Token, error)
		now   time.Time
		want  error
		says  string
	}{
		{"a good one", func(_ context.Context, a string) (auth.Token, error) {
			if a != audience {
				t.Errorf("asked for %q, want %q", a, audience)
			}
			return parseToken(t, sas1), nil
		}, vectorEnd.Add(-time.Hour), nil, ""},
		{"one that ended", func(context.Context, string) (auth.Token, error) { return parseToken(t, sas1), nil }, vectorEnd, auth.ErrTokenExpired, "2026-01-01"},
		{"none", func(context.Context, string) (auth.Token, error) { return auth.Token{}, nil }, vectorEnd, auth.ErrInvalid, "zero token"},
		{"an error", func(context.Context, string) (auth.Token, error) { return auth.Token{}, broken }, vectorEnd, broken, "key service"},
		{"no function", nil, vectorEnd, auth.ErrInvalid, "no function"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			cred := auth.TokenFunc(tt.fetch)
			got, err := auth.TokenOf(t.Context(), cred, audience, tt.now)
			if tt.want == nil {
				if err != nil || got.Reveal() != sas1 {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			wantError(t, err, tt.want, tt.says)
		})
	}
	if cert, err := auth.CertificateOf(t.Context(), auth.TokenFunc(nil)); cert != nil || err != nil {
		t.Errorf("Certificate() = %v, %v; want none", cert, err)
	}
}
