package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/errs"
)

// maxName bounds what a name in a stranger's certificate adds to an error.
const maxName = 120

// hint is what to add to the error of a failed handshake: what was seen, and
// what to check. Most of these failures are met far from any debugger, by
// people who see this line only. Empty where the error says it all.
func hint(err error) string {
	_, noTLS := errs.As[tls.RecordHeaderError](err)
	verify, unverified := errs.As[*tls.CertificateVerificationError](err)
	switch {
	case noTLS:
		return " (the peer does not speak TLS: check host and port)"
	case strings.Contains(err.Error(), "failed to parse certificate from server"): // crypto/tls has no type for it
		return " (the peer's certificate breaks a rule of DER, which Go does not pass over: have it issued anew, with names in UTF8String and a serial number above zero)"
	case errors.Is(err, io.EOF):
		return " (the peer hung up in the handshake: a firewall or proxy, or it wants another TLS version or a certificate)"
	case unverified && len(verify.UnverifiedCertificates) > 0:
		return hintVerify(err, verify.UnverifiedCertificates)
	}
	return ""
}

// hintVerify tells a wrong clock, a missing root store, a private CA and a
// meddling proxy apart, as far as the offered certificates can.
func hintVerify(err error, offered []*x509.Certificate) string {
	leaf, top := offered[0], offered[len(offered)-1]
	seen := fmt.Sprintf("offered was a certificate of %.*q", maxName, leaf.Subject.String())
	if top.Issuer.String() != leaf.Subject.String() {
		seen += fmt.Sprintf(" by %.*q", maxName, top.Issuer.String())
	}
	_, unknown := errs.As[x509.UnknownAuthorityError](err)
	_, noRoots := errs.As[x509.SystemRootsError](err)
	invalid, _ := errs.As[x509.CertificateInvalidError](err)
	check := ""
	switch {
	case unknown, noRoots:
		check = "; that issuer is not trusted here: check that the system has root certificates, that a private CA is in RootCAs, and that no proxy opens TLS"
	case invalid.Reason == x509.Expired:
		check = "; check the clock first"
	}
	return " (" + seen + check + ")"
}
