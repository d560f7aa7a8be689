package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/visible"
)

// PinOf returns the pin of a certificate's key for TLSOptions.Pins, as openssl
// prints it:
//
//	openssl x509 -in ca.pem -noout -pubkey | openssl pkey -pubin -outform DER |
//	  openssl dgst -sha256 -binary | base64
func PinOf(cert *x509.Certificate) string {
	hash := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(hash[:])
}

// parsePins reads the pins of TLSOptions, in the form of PinOf.
func parsePins(texts []string) (pins []string, err error) {
	for i, text := range texts {
		pin := visible.Trim(text)
		if err := visible.Check(pin, ""); err != nil {
			return nil, fmt.Errorf("transport: %w: TLSOptions.Pins[%d]: %w", errtext.Bare("auth", auth.ErrInvalid), i, err)
		}
		if b, err := base64.StdEncoding.Strict().DecodeString(pin); err != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("transport: %w: TLSOptions.Pins[%d] is %.64q; want the base64 of %d bytes, the SHA-256 hash of a public key",
				errtext.Bare("auth", auth.ErrInvalid), i, pin, sha256.Size)
		}
		pins = append(pins, pin)
	}
	return pins, nil
}

// pinned adds the pins to what else judges a connection. It is asked for a
// resumed session, too, which VerifyPeerCertificate is not.
func pinned(pins []string, also func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if len(pins) == 0 {
		return also
	}
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
