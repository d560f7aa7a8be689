package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"reflect"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/own"
)

// TestLooseReadsTheSame: what package x509 takes, both read the same.
func TestLooseReadsTheSame(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []pkix.Name{
		{CommonName: "dev1"},
		{},
		{CommonName: "gerät 1", Organization: []string{"A", "B"}, Country: []string{"DE"}, SerialNumber: "7"},
	} {
		ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []any{ecKey, edKey} {
			signer, err := AsSigner(own.Key{}, key)
			if err != nil {
				t.Fatal(err)
			}
			c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: subject, NotBefore: time.Unix(1, 0), NotAfter: time.Unix(4102444800, 0)}
			der, err := x509.CreateCertificate(rand.Reader, c, c, signer.Public(), signer)
			if err != nil {
				t.Fatal(err)
			}
			want, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseLoosely(der)
			if err != nil {
				t.Fatal(err)
			}
			for what, same := range map[string]bool{
				"raw": bytes.Equal(got.Raw, want.Raw), "signed part": bytes.Equal(got.RawTBSCertificate, want.RawTBSCertificate),
				"key":     reflect.DeepEqual(got.PublicKey, want.PublicKey) && bytes.Equal(got.RawSubjectPublicKeyInfo, want.RawSubjectPublicKeyInfo),
				"subject": bytes.Equal(got.RawSubject, want.RawSubject) && got.Subject.String() == want.Subject.String(),
				"issuer":  bytes.Equal(got.RawIssuer, want.RawIssuer) && got.Issuer.String() == want.Issuer.String(),
				"times":   got.NotBefore.Equal(want.NotBefore) && got.NotAfter.Equal(want.NotAfter),
				"serial":  got.SerialNumber.Cmp(want.SerialNumber) == 0 && got.Version == want.Version,
				"kinds":   got.SignatureAlgorithm == want.SignatureAlgorithm && got.PublicKeyAlgorithm == want.PublicKeyAlgorithm,
				"signature": bytes.Equal(got.Signature, want.Signature) &&
					want.CheckSignature(got.SignatureAlgorithm, got.RawTBSCertificate, got.Signature) == nil,
			} {
				if !same {
					t.Errorf("%q: the %s is another", subject, what)
				}
			}
		}
	}
}
