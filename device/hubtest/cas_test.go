package hubtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A hub knows 25 CAs, its own among them.
func TestAtMost25CAs(t *testing.T) {
	h := New(t, nil)
	ca := must[*CA](t, "NewCA")(NewCA("plant", nil))
	for i := range 25 {
		if err := h.AddCA(fmt.Sprint("ca", i), ca.PEM()); err != nil {
			t.Fatalf("CA %d: %v", i+1, err)
		}
	}
	if err := h.AddCA("one more", ca.PEM()); err == nil || !strings.Contains(err.Error(), "25 CAs already") {
		t.Errorf("the 26th: got %v, want 25 as the most", err)
	}
	if _, err := h.DeviceCA(); err == nil || !strings.Contains(err.Error(), "25 CAs already") {
		t.Errorf("the hub's own as the 26th: got %v, want 25 as the most", err)
	}
	if _, err := h.AddX509Device("dev1", nil); err == nil || !strings.Contains(err.Error(), "25 CAs already") {
		t.Errorf("a device of it: got %v, want 25 as the most", err)
	}
	if err := h.AddCA("ca3", ca.PEM()); err != nil {
		t.Errorf("one in place of another: got %v, want no error", err)
	}
	if err := h.RemoveCA("ca3"); err != nil {
		t.Errorf("RemoveCA: %v", err)
	}
	must[*CA](t, "DeviceCA, with room for it")(h.DeviceCA())
	if err := h.AddCA("ca3", ca.PEM()); err == nil || !strings.Contains(err.Error(), "25 CAs already") {
		t.Errorf("a 26th beside the hub's own: got %v, want 25 as the most", err)
	}
}

// Disabling a CA and removing it refuse the next login and end no connection.
func TestCALeaves(t *testing.T) { bubble(t, testCALeaves) }
func testCALeaves(t *testing.T) {
	var heard reasons
	h := New(t, &Options{Logger: heard.logger()})
	c := client{cert: pairOf(t, must[Device](t, "AddX509Device")(h.AddX509Device("dev1", nil)))}
	got, line := c.login(t, h, "dev1", "")
	if got != letIn {
		t.Fatalf("login: got %s, want %s", got, letIn)
	}
	for _, step := range []struct {
		desc string
		do   func() error
		want string
	}{
		{"removed", func() error { return h.RemoveCA(deviceCAName) }, "rc=5"},
		{"asked for again", func() error { _, err := h.DeviceCA(); return err }, "rc=5"},
		{"added again", func() error { ca, err := h.DeviceCA(); return errors.Join(err, h.AddCA("again", ca.PEM())) }, "rc=0"},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.desc, err)
		}
		line.play(ping)
		got, l := c.login(t, h, "dev1", "")
		if !strings.HasSuffix(got, step.want) {
			t.Errorf("%s: got %s (%s), want %s", step.desc, got, heard.take(), step.want)
		}
		if step.want == "rc=0" {
			line = l
		}
	}
	if err := h.RemoveCA("ghost"); !errors.Is(err, ErrUnknown) {
		t.Errorf("RemoveCA of none: got %v, want ErrUnknown", err)
	}
}

func TestAddCARefusals(t *testing.T) {
	h := New(t, nil)
	ca := must[*CA](t, "NewCA")(NewCA("plant", nil))
	leaf := must[Issued](t, "Issue")(ca.Issue("dev1", nil))
	block := func(kind string, body []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: body})
	}
	signsNothing := template("plant", time.Now())
	signsNothing.IsCA, signsNothing.BasicConstraintsValid, signsNothing.KeyUsage = true, true, x509.KeyUsageDigitalSignature
	mute := must[*x509.Certificate](t, "signCertificate")(signCertificate(signsNothing, nil, ca.key))
	for _, tt := range []struct {
		desc, name string
		text       []byte
		want       string
	}{
		{"no name", "", ca.PEM(), "no name"},
		{"the hub's own name", deviceCAName, ca.PEM(), "the hub's own"},
		{"nothing", "a", nil, "no PEM"},
		{"DER", "a", ca.cert.Raw, "no PEM"},
		{"two", "a", append(ca.PEM(), ca.PEM()...), "more than one"},
		{"two, joined without a line break", "a", append(bytes.TrimSpace(ca.PEM()), ca.PEM()...), "more than one"},
		{"another beside it, without END", "a", append(ca.PEM(), ca.PEM()[:200]...), "PEM block 2 (CERTIFICATE) has no END line"},
		{"another before it, with long dashes", "a", append(bytes.ReplaceAll(ca.PEM(), []byte("-----"), []byte("—–—")), ca.PEM()...), "PEM block 1 cannot be read"},
		{"a stray character", "a", bytes.Replace(ca.PEM(), []byte("\nMI"), []byte("\n*MI"), 1), "PEM block 1 (CERTIFICATE) holds a character that is not base64"},
		{"a key", "a", leaf.KeyPEM, `"PRIVATE KEY" and no certificate`},
		{"junk", "a", block("CERTIFICATE", []byte("junk")), "cannot be read"},
		{"a leaf", "a", leaf.CertificatePEM, "no CA by its basic constraints"},
		{"key usage", "a", certPEM(mute.Raw), "keyCertSign"},
		{"too much", "a", append(ca.PEM(), bytes.Repeat([]byte{'\n'}, 64<<10)...), "at most 65536"},
	} {
		if err := h.AddCA(tt.name, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.desc, err, tt.want)
		}
	}
	for desc, text := range map[string]string{
		"a byte-order mark": "\ufeff" + string(ca.PEM()), "indented": strings.ReplaceAll("\n"+string(ca.PEM()), "\n", "\n  "),
		"line breaks written out": strings.ReplaceAll(string(ca.PEM()), "\n", `\n`), "text before": "The plant's CA:\n" + string(ca.PEM()),
	} {
		if err := h.AddCA("a", []byte(text)); err != nil {
			t.Errorf("%s: %v", desc, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := h.AddCA("a", ca.PEM()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
	if _, err := h.AddX509Device("dev1", &X509Options{NoCertificate: true}); !errors.Is(err, ErrClosed) {
		t.Errorf("a device after Close: got %v, want ErrClosed", err)
	}
}

// What is issued reads back by the library's own reader and verifies by Go's.
func TestIssue(t *testing.T) {
	day := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	root := must[*CA](t, "NewCA")(NewCA("plant", &IssueOptions{now: func() time.Time { return day }}))
	line := must[*CA](t, "Intermediate")(root.Intermediate("line 1", nil))
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.cert)
	between.AddCert(line.cert)
	for kind, key := range map[string]crypto.Signer{"": nil, "P-384": keyP384(t), "RSA": keyRSA(t), "Ed25519": keyEd25519(t)} {
		public := func(k crypto.PublicKey) bool { return k.(*ecdsa.PublicKey).Curve == elliptic.P256() }
		if key != nil {
			public = key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal
		}
		made := must[Issued](t, "Issue")(line.Issue("dev1", &IssueOptions{Key: key, NotBefore: day, NotAfter: day.Add(time.Hour)}))
		pair, err := auth.ParseX509(made.CertificatePEM, made.KeyPEM, &auth.X509Options{Roots: roots})
		if err != nil || len(pair.Certificate) != 2 {
			t.Errorf("key %q: got %d certificates, %v, want 2", kind, len(pair.Certificate), err)
			continue
		}
		leaf := pair.Leaf
		if !public(leaf.PublicKey) || leaf.Subject.CommonName != "dev1" || !leaf.NotBefore.Equal(day) || !leaf.NotAfter.Equal(day.Add(time.Hour)) {
			t.Errorf("key %q: got %T of %s from %v to %v", kind, leaf.PublicKey, leaf.Subject, leaf.NotBefore, leaf.NotAfter)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: day, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("key %q: %v", kind, err)
		}
	}
	for what, err := range map[string]error{
		"a foreign key":       second(line.Issue("dev1", &IssueOptions{Key: foreignKey{keyEd25519(t)}})),
		"leaf ends too early": second(line.Issue("dev1", &IssueOptions{NotAfter: day.AddDate(-30, 0, 0)})),
		"CA ends too early":   second(line.Intermediate("x", &IssueOptions{NotBefore: day.AddDate(30, 0, 0)})),
	} {
		if err == nil {
			t.Errorf("%s: got no error", what)
		}
	}
}

// foreignKey is one that no PKCS#8 holds, as if it were in hardware.
type foreignKey struct{ crypto.Signer }

func keyP384(t testing.TB) crypto.Signer {
	return must[*ecdsa.PrivateKey](t, "GenerateKey")(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
}

func keyRSA(t testing.TB) crypto.Signer {
	return must[*rsa.PrivateKey](t, "GenerateKey")(rsa.GenerateKey(rand.Reader, 2048))
}

func keyEd25519(t testing.TB) crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must[ed25519.PrivateKey](t, "GenerateKey")(key, err)
}

func second[T any](_ T, err error) error { return err }

func TestX509Refusals(t *testing.T) {
	h := New(t, nil)
	const good = "0123456789abcdef0123456789abcdef01234567"
	addDevice(t, h, "dev1")
	for _, tt := range []struct {
		desc string
		err  error
		want string
	}{
		{"id", second(h.AddX509Device("a/b", nil)), "hubtest:"},
		{"no module", second(h.AddX509Device("dev1/", nil)), "module id is empty"},
		{"module of nobody", second(h.AddX509Device("ghost/m", nil)), ErrUnknown.Error()},
		{"twice", second(h.AddX509Device("dev1", nil)), ErrExists.Error()},
		{"self-signed elsewhere, unknown", second(h.AddX509Device("dev2", &X509Options{SelfSigned: true, NoCertificate: true})), "use SetThumbprints"},
		{"foreign key", second(h.AddX509Device("dev2", &X509Options{Issue: &IssueOptions{Key: foreignKey{keyEd25519(t)}}})), "unknown key type"},
		{"foreign key, self-signed", second(h.AddX509Device("dev2", &X509Options{SelfSigned: true, Issue: &IssueOptions{Key: foreignKey{keyEd25519(t)}}})), "unknown key type"},
		{"SetX509 of nobody", second(h.Device("ghost").SetX509(nil)), ErrUnknown.Error()},
		{"primary thumbprint", h.Device("dev1").SetThumbprints("x", good), "primary thumbprint"},
		{"secondary thumbprint", h.Device("dev1").SetThumbprints(good, "x"), "secondary thumbprint"},
		{"thumbprints of nobody", h.Device("ghost").SetThumbprints(good, ""), ErrUnknown.Error()},
		{"no thumbprint", h.Device("dev1").SetThumbprints("", ""), "no thumbprint"},
		{"39 digits", h.Device("dev1").SetThumbprints(good[1:], ""), "40 (SHA-1) or 64 (SHA-256)"},
		{"42 digits", h.Device("dev1").SetThumbprints("", good+"00"), "but 42 characters"},
		{"63 digits", h.Device("dev1").SetThumbprints(strings.Repeat("a", 63), ""), "63"},
		{"no hex", h.Device("dev1").SetThumbprints("g"+good[1:], ""), "hex digits"},
		{"white space", h.Device("dev1").SetThumbprints(good+" ", ""), "hex digits"},
		{"colons", h.Device("dev1").SetThumbprints(strings.Repeat("ab:", 19)+"ab", ""), "take them out"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.desc, tt.err, tt.want)
		}
	}
	if _, err := h.Device("dev2").Twin(); !errors.Is(err, ErrUnknown) {
		t.Errorf("dev2: got %v, want ErrUnknown: what was refused is not there", err)
	}
}
