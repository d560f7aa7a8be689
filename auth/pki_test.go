package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// When the certificates of these tests are valid.
var (
	certFrom  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	certUntil = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	midway    = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
)

// An issuer is a certificate with its key, that may issue others.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// newIssuer makes a CA below another one, or a root for nil.
func newIssuer(t *testing.T, name string, by *issuer) *issuer {
	t.Helper()
	return issue(t, name, by, newECKey(t), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
}

// newLeaf makes a device's certificate; by nil it is self-signed.
func newLeaf(t *testing.T, name string, by *issuer, key crypto.Signer) *issuer {
	t.Helper()
	return issue(t, name, by, key, func(*x509.Certificate) {})
}

func issue(t *testing.T, name string, by *issuer, key crypto.Signer, change func(*x509.Certificate)) *issuer {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: certFrom, NotAfter: certUntil}
	change(c)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

func newECKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newKeys makes a key of every kind that TLS knows.
func newKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	keys := map[string]crypto.Signer{"P-256": newECKey(t)}
	var err error
	if keys["RSA"], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if keys["P-384"], err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, keys["Ed25519"], err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return keys
}

// certPEM writes certificates as a file holds them.
func certPEM(all ...*issuer) []byte {
	var text []byte
	for _, i := range all {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})...)
	}
	return text
}

// keyPEM writes a key as PKCS#8.
func keyPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// names are the common names of what TLS would present.
func names(t *testing.T, cert tls.Certificate) []string {
	t.Helper()
	var out []string
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c.Subject.CommonName)
	}
	return out
}
