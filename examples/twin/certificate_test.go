package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/internal/pbetest"
)

const passphrase = "correct horse battery staple"

// TestCertificates proves the identity by every form of a certificate, named
// by a connection string or by flags alone.
func TestCertificates(t *testing.T) {
	t.Parallel()
	d := newRig(t)
	dev, err := d.hub.Device("dev1").SetX509(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.dev.PrimaryKey, d.dev.SecondaryKey = passphrase, passphrase // nor that is to be printed
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := file("cert.pem", dev.CertificatePEM), file("key.pem", dev.KeyPEM)
	both := file("both.pem", append(dev.KeyPEM, dev.CertificatePEM...))
	sealed, bundle := file("sealed.pem", sealedKey(t, dev)), file("dev1.pfx", bundled(t, dev))
	pass := file("pass", []byte(passphrase+"\nnot this line\n"))
	flags, named := d.flags, []string{"-hostname", d.hub.Host(), "-device", "dev1"}

	for _, tt := range []struct {
		what       string
		connection string
		flags      []string
	}{
		{"a connection string and PEM files", dev.ConnectionString, []string{"-cert", cert, "-key", key}},
		{"flags and PEM files", "", append(named, "-cert", cert, "-key", key)},
		{"one PEM file", "", append(named, "-cert", both)},
		{"an encrypted key", "", append(named, "-cert", cert, "-key", sealed, "-pass", "env:PASS")},
		{"a passphrase in a file", "", append(named, "-cert", cert, "-key", sealed, "-pass", "file:"+pass)},
		{"a PFX", "", append(named, "-pfx", bundle, "-pass", passphrase)},
	} {
		d.flags = append(append([]string{}, flags...), tt.flags...)
		env := func(name string) string {
			return map[string]string{desk.DeviceVariable: tt.connection, "PASS": passphrase}[name]
		}
		var out, errs strings.Builder
		code := run(d.ctx, d.args("get"), desk.Console{Env: env, Stdout: &out, Stderr: &errs})
		if code != desk.ExitDone || !strings.HasPrefix(out.String(), `{"desired":`) {
			t.Errorf("%s: got status %d, stdout %q, stderr %q; want 0 and the twin", tt.what, code, out.String(), errs.String())
		}
		d.wantNoSecret(out.String() + errs.String())
	}

	// A hub that knows another certificate refuses, and the tool says which it
	// was shown.
	if err := d.hub.Device("dev1").SetThumbprints(strings.Repeat("0", 40), ""); err != nil {
		t.Fatal(err)
	}
	d.flags = append(append([]string{}, flags...), append(named, "-cert", both)...)
	if code, _, stderr := d.run(d.ctx, "get"); code != desk.ExitUnauthorized || !strings.Contains(stderr, "thumbprint is SHA-1") {
		t.Errorf("another certificate: got status %d, stderr %q; want 3 and the thumbprint", code, stderr)
	}
	d.flags = append(append([]string{}, flags...), append(named, "-pfx", bundle, "-pass", "wrong")...)
	if code, _, stderr := d.run(d.ctx, "get"); code != desk.ExitUsage || !strings.Contains(stderr, "passphrase") {
		t.Errorf("a wrong passphrase: got status %d, stderr %q; want 2 and the word", code, stderr)
	}
}

func pairOf(t *testing.T, dev hubtest.Device) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(dev.CertificatePEM, dev.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func sealedKey(t *testing.T, dev hubtest.Device) []byte {
	t.Helper()
	block, _ := pem.Decode(dev.KeyPEM)
	sealed, err := pbetest.Seal(block.Bytes, passphrase, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(sealed)
}

func bundled(t *testing.T, dev hubtest.Device) []byte {
	t.Helper()
	pair := pairOf(t, dev)
	intermediate, err := x509.ParseCertificate(pair.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	der, err := pkcs12.Modern.Encode(pair.PrivateKey, pair.Leaf, []*x509.Certificate{intermediate}, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
