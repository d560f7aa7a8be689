package auth

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/own"
)

// What time does to a client certificate, as errors.Is tells it.
var (
	// ErrCertificateExpired says that the client certificate, or one of its
	// chain, has ended; renew it.
	ErrCertificateExpired = errors.New("auth: the client certificate has expired")
	// ErrCertificateNotYetValid says that the client certificate, or one of its
	// chain, is for later than the device's clock says. Most often the clock is
	// wrong.
	ErrCertificateNotYetValid = errors.New("auth: the client certificate is not valid yet")
)

// X509 is the Credential of one certificate with its chain, leaf first, and a
// key that is any crypto.Signer: in memory, in a TPM, behind PKCS#11. What
// is wrong with them, such as a key that does not fit, is the error of each
// attempt to connect. The slices of cert are not copied: do not change them.
func X509(cert tls.Certificate) Credential {
	if cert.Leaf == nil && len(cert.Certificate) > 0 {
		// One that cannot be read is told by Certificate.
		cert.Leaf, _ = parseCertificate(cert.Certificate[0])
	}
	return &certificate{load: func(context.Context) (*tls.Certificate, error) {
		if err := checkPair(&cert); err != nil {
			return nil, err
		}
		return &cert, nil
	}}
}

// certificate is a pointer as a Credential, so that two may be compared. The
// key stands behind a func, where no dumper finds it; see Key.
type certificate struct {
	load func(ctx context.Context) (*tls.Certificate, error)
}

func (*certificate) credential() {}

// Certificate returns the certificate.
func (c *certificate) Certificate(ctx context.Context) (*tls.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.load(ctx)
}

// String tells the kind of credential.
func (c *certificate) String() string { return "X.509 credential, key " + redacted }

// Format is String for every verb.
func (c *certificate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String for slog.
func (c *certificate) LogValue() slog.Value { return slog.StringValue(c.String()) }

// X509Options shape how a certificate and its key are read; nil means all
// defaults: a key that is not encrypted.
type X509Options struct {
	// Passphrase opens an encrypted key.
	Passphrase string
	// Decrypt opens an encrypted key, given its PEM block and the passphrase:
	// pkcs8.Decrypt of auth/pkcs8, which firmware links by naming it here. Nil
	// means that an encrypted key is an error.
	Decrypt func(key *pem.Block, passphrase string) (crypto.Signer, error)
	// Key, if not nil, is the private key, wherever it lives; the files then
	// hold certificates alone.
	Key crypto.Signer
	// Roots, if not nil, are the CA certificates that the hub knows this device
	// by: a chain that does not lead to one of them is an error, which names
	// the certificate that is missing. Nil means that this is left to the hub.
	Roots *x509.CertPool
}

// ParseX509 reads a certificate and its key from PEM, as openssl and every CA
// write it.
//
// certPEM holds the device's certificate and the intermediates above it, in any
// order; what is none of its chain is an error, and so is a gap in it. The root
// may stand there or not. keyPEM holds one private key: PKCS#8, PKCS#1 (RSA) or
// SEC 1 (EC), and with opts.Decrypt an encrypted one; nil means that the key
// stands beside the certificates. Keys are RSA, ECDSA or Ed25519. Other blocks,
// such as EC PARAMETERS, and text between blocks are skipped. A block that cannot
// be read is an error that names it, as with [ParsePEM]: no certificate vanishes.
// One that breaks a rule of DER which hubs do not look at, such as a negative
// serial number, is presented as it is.
//
// Errors match ErrInvalid, name what is wrong and what to do, and hold no part
// of a key or passphrase.
func ParseX509(certPEM, keyPEM []byte, opts *X509Options) (tls.Certificate, error) {
	var o X509Options
	if opts != nil {
		o = *opts
	}
	chain, err := parseChain(certPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	key := o.Key
	if key == nil {
		if keyPEM == nil {
			keyPEM = certPEM
		}
		if key, err = parseKeyPEM(keyPEM, o); err != nil {
			return tls.Certificate{}, err
		}
	}
	return NewCertificate(own.Key{}, chain, key, o.Roots)
}

// NewCertificate joins certificates, in any order, and the key of one of them
// to what TLS presents: that one first, then the chain above it. Roots may be
// nil; its meaning and that of the errors are as with [ParseX509].
func NewCertificate(_ own.Key, certs []*x509.Certificate, key crypto.Signer, roots *x509.CertPool) (tls.Certificate, error) {
	leaf, err := leafOf(certs, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	chain, err := orderChain(leaf, certs)
	if err != nil {
		return tls.Certificate{}, err
	}
	if roots != nil {
		if err := leadsTo(chain, roots); err != nil {
			return tls.Certificate{}, err
		}
	}
	out := tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, nil
}

// CheckCertificate says what keeps a client certificate from being used at a
// moment, by the device's wall clock: nothing there, a key that does not fit, or
// a time in which it, or a certificate of its chain, is not valid. Package
// device asks it before each connection. Errors match ErrInvalid,
// ErrCertificateExpired or ErrCertificateNotYetValid, and name the certificate.
func CheckCertificate(_ own.Key, cert *tls.Certificate, now time.Time) error {
	if err := checkPair(cert); err != nil {
		return err
	}
	for i, der := range cert.Certificate {
		c := cert.Leaf
		if i > 0 || c == nil {
			var err error
			if c, err = parseCertificate(der); err != nil {
				return fmt.Errorf("%w: certificate %d of %d of the chain cannot be read: %w", ErrInvalid, i+1, len(cert.Certificate), err)
			}
		}
		if err := checkTime(c, now); err != nil {
			return err
		}
	}
	return nil
}

func checkTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: that of %s ended at %s, and the clock says %s; renew it", ErrCertificateExpired, name(c), utc(c.NotAfter), utc(now))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: that of %s begins at %s, and the clock says %s; check the clock first", ErrCertificateNotYetValid, name(c), utc(c.NotBefore), utc(now))
	}
	return nil
}

// checkPair says whether a certificate is there, and its key fits.
func checkPair(cert *tls.Certificate) error {
	if cert == nil || len(cert.Certificate) == 0 {
		return fmt.Errorf("%w: there is no client certificate", ErrInvalid)
	}
	leaf := cert.Leaf
	if leaf == nil {
		var err error
		if leaf, err = parseCertificate(cert.Certificate[0]); err != nil {
			return fmt.Errorf("%w: the client certificate cannot be read: %w", ErrInvalid, err)
		}
	}
	key, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%w: the client certificate of %s has no private key that signs (crypto.Signer)", ErrInvalid, name(leaf))
	}
	_, err := leafOf([]*x509.Certificate{leaf}, key)
	return err
}
