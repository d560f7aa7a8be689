package auth_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A lax certificate is one that package x509 refuses, and hubs take.
type lax struct {
	what    string
	change  func(*x509.Certificate) // of the template
	patch   func(tbs []byte) []byte // of the bytes that are signed, or nil for none
	subject string                  // what an error would name
}

func laxOnes() []lax {
	commonName, serial := asn1.ObjectIdentifier{2, 5, 4, 3}, asn1.ObjectIdentifier{2, 5, 4, 5}
	named := func(oid asn1.ObjectIdentifier, tag int, text string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.RawSubject, _ = asn1.Marshal(pkix.RDNSequence{{{Type: oid, Value: asn1.RawValue{Tag: tag, Bytes: []byte(text)}}}})
		}
	}
	return []lax{
		{"an underscore in a PrintableString", named(commonName, asn1.TagPrintableString, "pump_1"), nil, "CN=pump_1"},
		{"a secure element's serial number", named(serial, asn1.TagPrintableString, "eui48_0004A3"), nil, "SERIALNUMBER=eui48_0004A3"},
		{"an at sign in a PrintableString", named(commonName, asn1.TagPrintableString, "n@m.et"), nil, "CN=n@m.et"},
		{"Latin-1 in a UTF8String", named(commonName, asn1.TagUTF8String, "ger\xe4t"), nil, "CN="},
		{"eight bits in an IA5String", named(commonName, asn1.TagIA5String, "ger\xe4t"), nil, "CN="},
		{"letters in a NumericString", named(commonName, asn1.TagNumericString, "pump1"), nil, "CN=pump1"},
		{"a negative serial number", func(*x509.Certificate) {}, func(tbs []byte) []byte {
			return bytes.Replace(tbs, []byte{2, 2, 0x33, 0x44}, []byte{2, 2, 0xb3, 0x44}, 1)
		}, "CN=dev1"},
		{"an empty alternative name", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: []byte{0x30, 2, 0x82, 1}}}
		}, nil, "CN=dev1"},
		{"an extension twice", func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{1}}}
		}, func(tbs []byte) []byte { return bytes.Replace(tbs, []byte{6, 2, 0x2a, 4}, []byte{6, 2, 0x2a, 3}, 1) }, "CN=dev1"},
	}
}

// make issues it, and its patched bytes are signed again.
func (l lax) make(t *testing.T, by *issuer, key crypto.Signer) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(0x3344), Subject: pkix.Name{CommonName: "dev1"}, NotBefore: midway.Add(-time.Hour), NotAfter: midway.Add(time.Hour),
	}
	l.change(c)
	if l.what == "an extension twice" {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 4}, Value: []byte{1}})
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if l.patch == nil {
		return der
	}
	var raw struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &raw); err != nil {
		t.Fatal(err)
	}
	patched := l.patch(raw.TBS.FullBytes)
	if bytes.Equal(patched, raw.TBS.FullBytes) {
		t.Fatal("the patch changes nothing")
	}
	h := crypto.SHA256.New()
	h.Write(patched)
	raw.TBS = asn1.RawValue{FullBytes: patched}
	if raw.Signature.Bytes, err = signer.Sign(rand.Reader, h.Sum(nil), crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	raw.Signature.BitLength = 8 * len(raw.Signature.Bytes)
	if der, err = asn1.Marshal(raw); err != nil {
		t.Fatal(err)
	}
	return der
}

// TestLaxCertificates: what Go's parser refuses and every hub takes is presented,
// with its chain, and judged by its time and key.
func TestLaxCertificates(t *testing.T) {
	root := newIssuer(t, "root", nil)
	lower := newIssuer(t, "lower", root)
	for _, l := range laxOnes() {
		t.Run(l.what, func(t *testing.T) {
			key := newECKey(t)
			der := l.make(t, lower, key)
			if _, err := x509.ParseCertificate(der); err == nil {
				t.Fatal("Go's parser takes it")
			}
			text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), certPEM(lower)...)
			cert, err := auth.ParseX509(text, keyPEM(t, key), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(cert.Certificate) != 2 || !bytes.Equal(cert.Certificate[0], der) || !strings.HasPrefix(cert.Leaf.Subject.String(), l.subject) {
				t.Errorf("presented are %d certificates, of %q", len(cert.Certificate), cert.Leaf.Subject)
			}
			for what, c := range map[string]tls.Certificate{"as read": cert, "without its leaf": {Certificate: cert.Certificate, PrivateKey: key}} {
				if err := auth.CheckCertificate(own.Key{}, &c, midway); err != nil {
					t.Errorf("%s, midway: %v", what, err)
				}
				if err := auth.CheckCertificate(own.Key{}, &c, midway.Add(2*time.Hour)); !errors.Is(err, auth.ErrCertificateExpired) {
					t.Errorf("%s, at its end: %v", what, err)
				}
				if got, err := auth.CertificateOf(t.Context(), auth.X509(c)); err != nil || !bytes.Equal(got.Certificate[0], der) {
					t.Errorf("%s, as a credential: %v", what, err)
				}
			}
			_, err = auth.ParseX509(text, keyPEM(t, newECKey(t)), nil)
			wantError(t, err, auth.ErrInvalid, "not that of the certificate")
			other := newIssuer(t, "lower", root) // the same name, another key
			_, err = auth.ParseX509(append(text[:len(text)-len(certPEM(lower))], certPEM(other)...), keyPEM(t, key), nil)
			wantError(t, err, auth.ErrInvalid, "another of that name")
			roots := x509.NewCertPool()
			roots.AddCert(root.cert)
			_, err = auth.ParseX509(append(certPEM(lower), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), keyPEM(t, key), &auth.X509Options{Roots: roots})
			wantError(t, err, auth.ErrInvalid, "leave Roots out, or")
			if _, err = auth.ParseRoots(text); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "certificate 1 in the file") || !strings.Contains(err.Error(), "have it issued anew") {
				t.Errorf("as a root: %v", err)
			}
			block, _ := pem.Decode(text)
			_, err = auth.ParseX509(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes[:len(block.Bytes)-3]}), keyPEM(t, key), nil)
			wantError(t, err, auth.ErrInvalid, "have it issued anew, with names in UTF8String")
		})
	}
}

// TestLaxCertificatesOverTLS presents them to a server of OpenSSL, and says by
// what it heard that they arrive.
func TestLaxCertificatesOverTLS(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl here")
	}
	dir := t.TempDir()
	server := newLeaf(t, "localhost", nil, newECKey(t))
	for name, text := range map[string][]byte{"cert.pem": certPEM(server), "key.pem": keyPEM(t, server.key)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl, "s_server", "-accept", "127.0.0.1:0", "-Verify", "3", "-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"))
	stdin, err := cmd.StdinPipe() // it ends with its input
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	at := ""
	for lines.Scan() {
		if port, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
			at = port
			break
		}
	}
	if at == "" {
		t.Skip("this openssl does not say where it listens")
	}
	for _, l := range laxOnes() {
		if l.what == "Latin-1 in a UTF8String" {
			continue // OpenSSL refuses that, too. What a hub does with it only the hub knows
		}
		key := newECKey(t)
		der := l.make(t, nil, key)
		cert, err := auth.ParseX509(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM(t, key), nil)
		if err != nil {
			t.Errorf("%s: %v", l.what, err)
			continue
		}
		c, err := (&tls.Dialer{Config: &tls.Config{
			InsecureSkipVerify:   true, // the test's own
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		}}).DialContext(ctx, "tcp", at)
		if err == nil {
			_, err = io.WriteString(c, "hello\n")
		}
		if err != nil {
			t.Errorf("%s: %v", l.what, err)
			continue
		}
		want := strings.SplitN(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "\n", 3)[1]
		heard := false
		for lines.Scan() {
			heard = heard || lines.Text() == want
			if lines.Text() == "hello" {
				break
			}
		}
		if !heard {
			t.Errorf("%s: the server did not get the certificate", l.what)
		}
		_ = c.Close()
	}
}

// FuzzLooseCertificate: any DER is a certificate to present, or an error.
func FuzzLooseCertificate(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Add([]byte("0\x82\x01\x00"))
	f.Fuzz(func(t *testing.T, der []byte) {
		cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: fuzzSigner{}}
		if err := auth.CheckCertificate(own.Key{}, &cert, midway); err == nil || len(err.Error()) > 4000 {
			t.Fatalf("%x: %v", der, err)
		}
		_, err := auth.ParseX509(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil, &auth.X509Options{Key: fuzzSigner{}})
		if !errors.Is(err, auth.ErrInvalid) {
			t.Fatalf("%x: %v", der, err)
		}
	})
}

// fuzzSigner has a key that belongs to no certificate.
type fuzzSigner struct{}

type noKey struct{}

func (noKey) Equal(crypto.PublicKey) bool { return false }

func (fuzzSigner) Public() crypto.PublicKey                                  { return noKey{} }
func (fuzzSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }
