package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// A Pin is the SHA-256 hash of a public key, as RFC 7469 defines it: over the
// DER of the SubjectPublicKeyInfo. It survives a renewal of the certificate with
// the same key. It is no secret.
type Pin [sha256.Size]byte

// PinOf is the pin of a certificate's key.
func PinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// ParsePin reads a pin in base64, as openssl prints it:
//
//	openssl x509 -in ca.pem -noout -pubkey | openssl pkey -pubin -outform DER |
//	  openssl dgst -sha256 -binary | base64
//
// White space and other invisible characters around it are skipped.
func ParsePin(text string) (Pin, error) {
	text = visible.Trim(text)
	if err := visible.Check(text, ""); err != nil {
		return Pin{}, fmt.Errorf("transport: a pin: %w", err)
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return Pin{}, fmt.Errorf("transport: a pin is the base64 of %d bytes, the SHA-256 hash of a public key", sha256.Size)
	}
	return Pin(b), nil
}

// String is the pin in base64.
func (p Pin) String() string { return base64.StdEncoding.EncodeToString(p[:]) }

// pinned adds the pins to what else judges a connection. It is asked for a
// resumed session, too, which VerifyPeerCertificate is not.
func pinned(pins []Pin, also func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if len(pins) == 0 {
		return also
	}
	pins = slices.Clone(pins)
	return func(s tls.ConnectionState) error {
		if also != nil {
			if err := also(s); err != nil {
				return err
			}
		}
		chains := s.VerifiedChains
		if len(chains) == 0 && len(s.PeerCertificates) > 0 {
			// Another judge than Go's: only the leaf is proven to be the peer's.
			chains = [][]*x509.Certificate{s.PeerCertificates[:1]}
		}
		for _, chain := range chains {
			for _, c := range chain {
				if slices.Contains(pins, PinOf(c)) {
					return nil
				}
			}
		}
		return fmt.Errorf("%w: no certificate of its chain has a pinned key; offered was%s", ErrUntrusted, pinsOf(chains))
	}
}

// pinsOf lists what was offered, for whoever has to update the pins.
func pinsOf(chains [][]*x509.Certificate) string {
	s := ""
	for _, chain := range chains {
		for _, c := range chain {
			s += fmt.Sprintf(" %.*q with %v;", maxName, c.Subject.String(), PinOf(c))
		}
	}
	return s
}
