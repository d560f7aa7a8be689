package registry

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/visible"
	"github.com/devicetwin/devicetwin-go/transport"
)

// What an identity proves itself by: Identity.Authentication.
const (
	// SAS is by tokens, signed by one of two keys.
	SAS = "sas"
	// SelfSigned is by a certificate with one of two thumbprints, whoever has
	// signed it.
	SelfSigned = "selfSigned"
	// CertificateAuthority is by a certificate that a CA of the hub's has signed,
	// and whose common name is the device's id.
	CertificateAuthority = "certificateAuthority"
)

// proofJSON is the authentication of an identity.
type proofJSON struct {
	Type         string          `json:"type"`
	SymmetricKey *keyJSON        `json:"symmetricKey,omitempty"`
	Thumbprints  *thumbprintJSON `json:"x509Thumbprint,omitempty"`
}

type keyJSON struct {
	PrimaryKey   string `json:"primaryKey"`
	SecondaryKey string `json:"secondaryKey"`
}

type thumbprintJSON struct {
	PrimaryThumbprint   *string `json:"primaryThumbprint"` // null for none
	SecondaryThumbprint *string `json:"secondaryThumbprint"`
}

// readProof takes the authentication that the hub tells, or none.
func (i *Identity) readProof(b json.RawMessage) error {
	if len(b) == 0 {
		return nil
	}
	var p proofJSON
	if json.Unmarshal(b, &p) != nil { // its error may quote a key
		return fmt.Errorf("%w: the identity's authentication is malformed", transport.ErrProtocol)
	}
	i.Authentication, i.was, i.proof = p.Type, p.Type, NewSecret(string(b))
	if k := p.SymmetricKey; k != nil {
		i.PrimaryKey, i.SecondaryKey = NewSecret(k.PrimaryKey), NewSecret(k.SecondaryKey)
	}
	if t := p.Thumbprints; t != nil {
		i.PrimaryThumbprint, i.SecondaryThumbprint = textOf(t.PrimaryThumbprint), textOf(t.SecondaryThumbprint)
	}
	return nil
}

// writeProof is the authentication as the hub reads it; nil leaves the one that
// there is.
func (i Identity) writeProof(create bool) (any, error) {
	i, err := i.visibly()
	if err != nil {
		return nil, err
	}
	kind := cmp.Or(i.Authentication, i.was, SAS)
	keys := !i.PrimaryKey.IsEmpty() || !i.SecondaryKey.IsEmpty()
	thumbprints := i.PrimaryThumbprint != "" || i.SecondaryThumbprint != ""
	// One that was read, and is to have another kind, still holds what it had.
	if i.was == "" && (keys && kind != SAS || thumbprints && kind != SelfSigned) {
		return nil, fmt.Errorf("%w: keys are of Authentication %q, thumbprints of %q, and it is %.60q; give what belongs to it alone", auth.ErrInvalid, SAS, SelfSigned, kind)
	}
	switch kind {
	case SAS:
		return i.writeKeys(create)
	case SelfSigned:
		if err := i.checkThumbprints(); err != nil {
			return nil, err
		}
		return proofJSON{Type: SelfSigned, Thumbprints: &thumbprintJSON{orNull(i.PrimaryThumbprint), orNull(i.SecondaryThumbprint)}}, nil
	case CertificateAuthority:
		return proofJSON{Type: CertificateAuthority}, nil
	case i.was:
		return json.RawMessage(i.proof.Reveal()), nil // as it came
	}
	return nil, fmt.Errorf("%w: there is no Authentication %.60q; it can be %q, %q or %q", auth.ErrInvalid, kind, SAS, SelfSigned, CertificateAuthority)
}

// visibly is the identity without what nobody sees around its keys and
// thumbprints: Windows puts a mark before a thumbprint that is copied there.
func (i Identity) visibly() (Identity, error) {
	for name, text := range map[string]*string{"PrimaryThumbprint": &i.PrimaryThumbprint, "SecondaryThumbprint": &i.SecondaryThumbprint} {
		*text = visible.Trim(*text)
		if err := visible.Check(*text, ""); err != nil {
			return i, fmt.Errorf("%w: %s: %w", auth.ErrInvalid, name, err)
		}
	}
	for name, key := range map[string]*Secret{"PrimaryKey": &i.PrimaryKey, "SecondaryKey": &i.SecondaryKey} {
		text := visible.Trim(key.Reveal())
		if err := visible.Check(text, ""); err != nil {
			return i, fmt.Errorf("%w: %s: %w", auth.ErrInvalid, name, err)
		}
		*key = NewSecret(text)
	}
	return i, nil
}

func (i Identity) writeKeys(create bool) (any, error) {
	one, two := !i.PrimaryKey.IsEmpty(), !i.SecondaryKey.IsEmpty()
	if had := cmp.Or(i.was, SAS) == SAS; had && !create {
		switch {
		case !one && !two:
			return nil, nil // they stay
		case !one || !two:
			return nil, fmt.Errorf("%w: one key of two is empty; give both, or none to leave them", auth.ErrInvalid)
		}
	}
	// The hub makes up what is empty.
	return proofJSON{Type: SAS, SymmetricKey: &keyJSON{i.PrimaryKey.Reveal(), i.SecondaryKey.Reveal()}}, nil
}

// Digits of a thumbprint: SHA-1 or SHA-256 in hex.
const (
	digitsSHA1   = 40
	digitsSHA256 = 64
)

func (i Identity) checkThumbprints() error {
	if i.PrimaryThumbprint == "" && i.SecondaryThumbprint == "" {
		return fmt.Errorf("%w: there is no thumbprint; give at least one, of the certificate that the device presents", auth.ErrInvalid)
	}
	for _, t := range []string{i.PrimaryThumbprint, i.SecondaryThumbprint} {
		if _, err := hex.DecodeString(t); err != nil || len(t) != 0 && len(t) != digitsSHA1 && len(t) != digitsSHA256 {
			return fmt.Errorf("%w: the thumbprint %.100q is not %d or %d hex digits, SHA-1 or SHA-256 of the certificate in DER; leave colons out", auth.ErrInvalid, t, digitsSHA1, digitsSHA256)
		}
	}
	return nil
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
