package pfx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pfx"
)

// The file may be replaced while the program runs: the next connection uses the
// new one.
func ExampleFile() {
	cred := pfx.File("testdata/modern.pfx", "correct-horse")
	cert, err := auth.CertificateOf(context.Background(), cred) // package device asks for it
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cred)
	fmt.Println(cert.Leaf.Subject, "and", len(cert.Certificate)-1, "above it")
	// Output:
	// X.509 credential, key REDACTED
	// CN=dev1 and 1 above it
}

func ExampleParse() {
	der, err := os.ReadFile("testdata/legacy.pfx") // from Windows, or openssl before 3.0
	if err != nil {
		fmt.Println(err)
		return
	}
	cert, err := pfx.Parse(der, "correct-horse", nil)
	fmt.Println(cert.Leaf.Subject, err)

	_, err = pfx.Parse(der, "correct-house", nil)
	fmt.Println(errors.Is(err, auth.ErrInvalid)) // no retry helps
	fmt.Println(err)
	// Output:
	// CN=dev1 <nil>
	// true
	// pfx: invalid configuration: the passphrase does not open it; check it, and that it is this file's (a damaged file looks the same)
}

// A chain that the hub would refuse is told before it is sent.
func ExampleOptions() {
	roots := x509.NewCertPool() // roots.AddCert: the CA certificate that the hub knows
	cred := auth.X509Reload(func(contents [][]byte) (tls.Certificate, error) {
		return pfx.Parse(contents[0], "correct-horse", &pfx.Options{Roots: roots})
	}, "testdata/modern.pfx")
	_, err := auth.CertificateOf(context.Background(), cred)
	fmt.Println(err)
	// Output:
	// pfx: invalid configuration: the chain of "CN=dev1" does not lead to one of the given roots: "CN=test root" issued the certificate of "CN=test intermediate"; add that intermediate (x509: certificate signed by unknown authority)
}
