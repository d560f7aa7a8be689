package device

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/transport"
)

// maxName bounds what a certificate's name adds to an error.
const maxName = 120

// presented says, when the hub refused the identity, which certificate it saw:
// a hub gives no reason, and what is wrong is most often one of these.
func presented(err error, login transport.Login) string {
	if !errors.Is(err, transport.ErrUnauthorized) || login.Certificate == nil {
		return ""
	}
	leaf := login.Certificate.Leaf
	if leaf == nil {
		var bad error
		if leaf, bad = x509.ParseCertificate(login.Certificate.Certificate[0]); bad != nil {
			return ""
		}
	}
	s := fmt.Sprintf(" (presented was the certificate of %.*q, issued by %.*q, with %d intermediates; its thumbprint is SHA-1 %X, SHA-256 %X",
		maxName, leaf.Subject.String(), maxName, leaf.Issuer.String(), len(login.Certificate.Certificate)-1, sha1.Sum(leaf.Raw), sha256.Sum256(leaf.Raw))
	id := login.Identity.DeviceID
	if login.Identity.ModuleID != "" {
		id += "/" + login.Identity.ModuleID
	}
	if leaf.Subject.CommonName != id {
		s += fmt.Sprintf("; its common name is not %q, which a hub asks for unless it knows the device by thumbprint", id)
	}
	if len(login.Certificate.Certificate) == 1 && leaf.Issuer.String() != leaf.Subject.String() {
		s += "; no intermediate is sent: the hub must know that very issuer"
	}
	return s + ")"
}
