package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/devicetwin/devicetwin-go/auth"
)

// forms are the texts by which a secret would show: as it is, in base64, and
// as bytes in every base that fmt and JSON write. A part of it is enough.
func forms(secret string) []string {
	part := []byte(secret)[4:14] // long enough for no address and no time to hold it
	out := []string{
		string(part), secret[8:],
		base64.StdEncoding.EncodeToString([]byte(secret))[:12],
	}
	for _, verb := range []string{"%d", "%x", "%X", "% x", "% X", "%#x", "%# x", "%o", "%O", "%b", "%c", "%U", "%#U", "%q", "%08b", "%#v"} {
		s := fmt.Sprintf(verb, part)
		out = append(out, strings.Trim(s, "[]"), strings.TrimSuffix(strings.TrimPrefix(s, "[]byte{"), "}"))
	}
	return out
}

// What must show nowhere: key 1 as bytes and text, and the signature of SAS-1
// in both encodings.
var secretForms = func() []string {
	sig := "v3cEShKGdwuRnUyQS3LODuW9+9Pt6pMJ3nmWt/5tP1U="
	mac, _ := base64.StdEncoding.DecodeString(sig)
	return append(append(append(append(
		forms("0123456789abcdef0123456789abcdef"),
		forms(key1)...), forms(string(mac))...), forms(sig)...), forms(sas1[70:])...)
}()

// leaked is the form of a secret that text holds, "" if none.
func leaked(text string) string {
	for _, form := range secretForms {
		if strings.Contains(text, form) {
			return form
		}
	}
	return ""
}

func noSecret(t *testing.T, what, text string) {
	t.Helper()
	if form := leaked(text); form != "" {
		t.Errorf("%s holds %q of a secret: %s", what, form, text)
	}
}

type exported struct {
	Cred  auth.Credential
	Given auth.Credential
	Key   auth.Key
	Token auth.Token
	PKey  *auth.Key
}

// unexported is what users write: fmt calls no methods on its fields.
type unexported struct {
	cred  auth.Credential
	given auth.Credential
	hsm   auth.Credential
	key   auth.Key
	token auth.Token
	pkey  *auth.Key
	deep  struct{ keys []auth.Key }
}

// holders are all the ways to hold a secret, by name.
func holders(t *testing.T) map[string]any {
	key, token := parseKey(t, key1), parseToken(t, sas1)
	raw := []byte("0123456789abcdef0123456789abcdef")
	cred, policy := auth.SAS(key, nil), auth.SAS(key, &auth.SASOptions{Policy: "p"})
	given, own := auth.StaticToken(token), auth.SAS(&hsm{Secret: raw, secret: raw}, nil)
	inner := unexported{cred, given, own, key, token, &key, struct{ keys []auth.Key }{[]auth.Key{key}}}
	outer := exported{cred, given, key, token, &key}
	_, parsed, err := auth.ParseConnectionString(who + ";" + secret)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"Key": key, "*Key": &key, "Token": token, "*Token": &token,
		"SAS": cred, "SAS with policy": policy, "SAS of a user's signer": own,
		"StaticToken": given, "parsed credential": parsed,
		"[]Key": []auth.Key{key}, "map": map[string]auth.Token{"a": token},
		"struct": outer, "*struct": &outer,
		"unexported fields": inner, "*unexported fields": &inner,
		"[]struct with unexported fields": []unexported{inner},
		"any in a map":                    map[string]any{"a": []any{inner, key, token}},
		"error":                           fmt.Errorf("cannot use %v and %+v: %w", key, inner, fmt.Errorf("with %s", cred)),
	}
}

func TestFmtRedacts(t *testing.T) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!"
	for name, v := range holders(t) {
		for _, flags := range []string{"", "+", "#", " ", "# ", "-", "0", "9.3"} {
			for _, verb := range letters {
				format := "%" + flags + string(verb)
				noSecret(t, name+" by "+format, fmt.Sprintf(format, v))
			}
		}
		noSecret(t, name+" by Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
		for _, format := range []string{"one argument too many", "%[2]d", "%[1]*[1]d", "%.*d"} {
			noSecret(t, name+" by "+format, fmt.Sprintf(format, v))
		}
		format := "%w" // of what is no error
		noSecret(t, name+" as an error", fmt.Errorf(format, v).Error())
	}
}

func TestSlogRedacts(t *testing.T) {
	for name, v := range holders(t) {
		var out bytes.Buffer
		opts := &slog.HandlerOptions{AddSource: true}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, opts), slog.NewJSONHandler(&out, opts)} {
			log := slog.New(h).With("with", v).WithGroup("group")
			log.Info("m", "v", v, slog.Group("g", "v", v, "vs", []any{v}))
			log.Info("m", slog.Any("nested", struct{ V any }{v}), "pointer", &struct{ v any }{v})
		}
		if out.Len() == 0 {
			t.Fatal("nothing was logged")
		}
		noSecret(t, name+" in slog", out.String())
	}
}

func TestEncodersRedact(t *testing.T) {
	for name, v := range holders(t) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s: json: %v", name, err)
		}
		noSecret(t, name+" in JSON", string(text))
		if text, err := xml.Marshal(v); err == nil { // maps it refuses
			noSecret(t, name+" in XML", string(text))
		}
		var out bytes.Buffer
		page := template.Must(template.New("").Parse(`{{.}} {{printf "%#v %x" . .}}`))
		if err := page.Execute(&out, v); err != nil {
			t.Errorf("%s: template: %v", name, err)
		}
		noSecret(t, name+" in a template", out.String())
	}
}

// A dumper follows every pointer and reads every field, unlike fmt.
func TestReflectionFindsNoSecret(t *testing.T) {
	for name, v := range holders(t) {
		var out strings.Builder
		dump(&out, reflect.ValueOf(v), 0)
		noSecret(t, name+" by reflection", out.String())
	}
}

func dump(out *strings.Builder, v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			dump(out, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			dump(out, v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(out, "%x ", v.Bytes())
			return
		}
		for i := range v.Len() {
			dump(out, v.Index(i), depth+1)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			dump(out, v.MapIndex(k), depth+1)
		}
	case reflect.String:
		out.WriteString(v.String() + " ")
	}
}

// A certificate's key is found no more than a shared one, nor is a passphrase.
func TestX509Redacts(t *testing.T) {
	key, ok := newECKey(t).(*ecdsa.PrivateKey)
	if !ok {
		t.Fatal("no ECDSA key")
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	hidden := append(append(forms(string(raw)), new(big.Int).SetBytes(raw).String()[8:]), forms(key1)...)
	f := folder{t, t.TempDir()}
	f.write("both.pem", append(certPEM(newLeaf(t, "dev1", nil, key)), keyPEM(t, key)...))
	files := auth.X509Files(f.path("both.pem"), "", &auth.X509Options{Passphrase: key1})
	cert, err := auth.CertificateOf(t.Context(), files) // it has read the key by now
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"X509": auth.X509(*cert), "X509Files": files,
		"unexported field": struct{ c auth.Credential }{auth.X509(*cert)},
		"parse":            auth.X509Reload(func([][]byte) (tls.Certificate, error) { return *cert, nil }),
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q", "%!"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		dump(&out, reflect.ValueOf(v), 0)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		for _, secret := range hidden {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s shows %q in %s", name, secret, out.String())
			}
		}
	}
}

// The tests above would see a leak: here is one in each of their ways.
func TestLeaksAreSeen(t *testing.T) {
	raw := []byte("0123456789abcdef0123456789abcdef")
	careless := struct{ secret []byte }{raw}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%o", "%b", "%c", "%U"} {
		if leaked(fmt.Sprintf(format, careless)) == "" {
			t.Errorf("%s: not seen in %s", format, fmt.Sprintf(format, careless))
		}
	}
	var out strings.Builder
	dump(&out, reflect.ValueOf(&struct{ p *hsm }{&hsm{secret: raw}}), 0)
	if leaked(out.String()) == "" {
		t.Error("dump: not seen")
	}
	text, _ := json.Marshal(hsm{Secret: raw})
	for _, s := range []string{string(text), key1, sas1, neg6, errors.New("bad key " + key1).Error()} {
		if leaked(s) == "" {
			t.Errorf("not seen in %s", s)
		}
	}
}

// What is shown in place of a secret is of use to a reader.
func TestRedactedTexts(t *testing.T) {
	key, token := parseKey(t, key1), parseToken(t, sas1)
	for _, test := range []struct {
		v    any
		want string
	}{
		{key, "key REDACTED"},
		{auth.Key{}, "no key"},
		{token, "SAS token REDACTED, ends 2026-01-01T00:00:00Z"},
		{auth.Token{}, "no token"},
		{auth.SAS(key, nil), "SAS credential, device key REDACTED, tokens of 1h0m0s"},
		{auth.SAS(key, &auth.SASOptions{Policy: "device"}), `SAS credential, key of policy "device" REDACTED, tokens of 1h0m0s`},
		{auth.X509Files("cert.pem", "key.pem", &auth.X509Options{Passphrase: key1}), "X.509 credential, key REDACTED"},
		{auth.TokenFunc(nil), "credential of fetched tokens"},
		{auth.StaticToken(token), "given SAS token REDACTED, ends 2026-01-01T00:00:00Z"},
	} {
		if got := fmt.Sprintf("%+v", test.v); got != test.want {
			t.Errorf("%T is shown as %q, want %q", test.v, got, test.want)
		}
		if got := slog.AnyValue(test.v).Resolve().String(); got != test.want {
			t.Errorf("%T is logged as %q, want %q", test.v, got, test.want)
		}
		if s, ok := test.v.(fmt.Stringer); !ok || s.String() != test.want {
			t.Errorf("%T has no String like its Format", test.v)
		}
	}
}
