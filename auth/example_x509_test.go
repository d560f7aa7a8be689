package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// selfSigned makes a certificate and its key in PEM, for the examples.
func selfSigned(name string, until time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), err
}

// A certificate in files is used as long as it is, and its successor once the
// files are replaced.
func ExampleX509Files() {
	dir, err := os.MkdirTemp("", "board")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cred := auth.X509Files(certFile, keyFile, nil)
	for _, name := range []string{"dev1 of last year", "dev1 of this year"} {
		cert, key, err := selfSigned(name, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
			fmt.Println(err)
			return
		}
		got, err := auth.CertificateOf(context.Background(), cred)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(got.Leaf.Subject)
	}
	// Output:
	// CN=dev1 of last year
	// CN=dev1 of this year
}

// A certificate in memory, whose key may be any crypto.Signer.
func ExampleX509() {
	certPEM, keyPEM, err := selfSigned("dev1", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	cert, err := auth.ParseX509(certPEM, keyPEM, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	cred := auth.X509(cert)
	got, err := auth.CertificateOf(context.Background(), cred)
	fmt.Println(cred, got.Leaf.Subject, err)
	// Output: X.509 credential, key REDACTED CN=dev1 <nil>
}

// What is wrong with a certificate is told by name.
func ExampleParseX509() {
	cert, _, err := selfSigned("dev1", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, another, err := selfSigned("dev2", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = auth.ParseX509(cert, another, nil)
	fmt.Println(errors.Is(err, auth.ErrInvalid))
	fmt.Println(err)
	// Output:
	// true
	// auth: invalid configuration: the private key is not that of the certificate of "CN=dev1"; give the pair that was made together
}

// A key service of your own gives a token whenever one is needed.
func ExampleTokenFunc() {
	cred := auth.TokenFunc(func(ctx context.Context, audience string) (auth.Token, error) {
		text := "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600" // fetched for the audience
		return auth.ParseToken(text)
	})
	token, err := auth.TokenOf(context.Background(), cred, "myhub.azure-devices.net/devices/dev1", time.Unix(1767222000, 0))
	fmt.Println(token, err)
	// Output:
	// SAS token REDACTED, ends 2026-01-01T00:00:00Z <nil>
}
