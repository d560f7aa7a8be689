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

// An Authentication is how a device or module proves its identity.
type Authentication string

const (
	// AuthenticationSAS is by tokens, signed with one of two keys.
	AuthenticationSAS Authentication = "sas"
	// AuthenticationSelfSigned is by a certificate with one of two thumbprints,
	// no matter who signed it.
	AuthenticationSelfSigned Authentication = "selfSigned"
	// AuthenticationCA is by a certificate with the device's id as common name,
	// signed by a CA that the hub knows.
	AuthenticationCA Authentication = "certificateAuthority"
)

// proofJSON is the authentication of a registration as JSON.
type proofJSON struct {
	Type         Authentication  `json:"type"`
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

// readProof reads the authentication that the hub sent, if it sent one.
func (r *Registration) readProof(b json.RawMessage) error {
	if len(b) == 0 {
		return nil
	}
	var p proofJSON
	if json.Unmarshal(b, &p) != nil { // its error may quote a key
		return fmt.Errorf("%w: the registration's authentication is malformed", transport.ErrProtocol)
	}
	r.Authentication, r.was, r.proof = p.Type, p.Type, NewSecret(string(b))
	if k := p.SymmetricKey; k != nil {
		r.PrimaryKey, r.SecondaryKey = NewSecret(k.PrimaryKey), NewSecret(k.SecondaryKey)
	}
	if t := p.Thumbprints; t != nil {
		r.PrimaryThumbprint, r.SecondaryThumbprint = textOf(t.PrimaryThumbprint), textOf(t.SecondaryThumbprint)
	}
	return nil
}

// writeProof returns the authentication as the hub reads it. Nil leaves the
// present one.
func (r Registration) writeProof(create bool) (any, error) {
	r, err := r.visibly()
	if err != nil {
		return nil, err
	}
	kind := cmp.Or(r.Authentication, r.was, AuthenticationSAS)
	keys := !r.PrimaryKey.IsEmpty() || !r.SecondaryKey.IsEmpty()
	thumbprints := r.PrimaryThumbprint != "" || r.SecondaryThumbprint != ""
	// A registration that was read still holds the keys of its former kind.
	if r.was == "" && (keys && kind != AuthenticationSAS || thumbprints && kind != AuthenticationSelfSigned) {
		return nil, fmt.Errorf("%w: Authentication is %.60q, but keys belong to %q and thumbprints to %q; give only what belongs to it", auth.ErrInvalid, kind, AuthenticationSAS, AuthenticationSelfSigned)
	}
	switch kind {
	case AuthenticationSAS:
		return r.writeKeys(create)
	case AuthenticationSelfSigned:
		if err := r.checkThumbprints(); err != nil {
			return nil, err
		}
		return proofJSON{Type: AuthenticationSelfSigned, Thumbprints: &thumbprintJSON{orNull(r.PrimaryThumbprint), orNull(r.SecondaryThumbprint)}}, nil
	case AuthenticationCA:
		return proofJSON{Type: AuthenticationCA}, nil
	case r.was:
		return json.RawMessage(r.proof.Reveal()), nil // unchanged
	}
	return nil, fmt.Errorf("%w: unknown Authentication %.60q; use %q, %q or %q", auth.ErrInvalid, kind, AuthenticationSAS, AuthenticationSelfSigned, AuthenticationCA)
}

// visibly returns the registration with invisible characters trimmed from its
// keys and thumbprints: Windows puts a mark before a thumbprint that is copied
// there.
func (r Registration) visibly() (Registration, error) {
	for name, text := range map[string]*string{"PrimaryThumbprint": &r.PrimaryThumbprint, "SecondaryThumbprint": &r.SecondaryThumbprint} {
		*text = visible.Trim(*text)
		if err := visible.Check(*text, ""); err != nil {
			return r, fmt.Errorf("%w: %s: %w", auth.ErrInvalid, name, err)
		}
	}
	for name, key := range map[string]*Secret{"PrimaryKey": &r.PrimaryKey, "SecondaryKey": &r.SecondaryKey} {
		text := visible.Trim(key.Reveal())
		if err := visible.Check(text, ""); err != nil {
			return r, fmt.Errorf("%w: %s: %w", auth.ErrInvalid, name, err)
		}
		*key = NewSecret(text)
	}
	return r, nil
}

func (r Registration) writeKeys(create bool) (any, error) {
	one, two := !r.PrimaryKey.IsEmpty(), !r.SecondaryKey.IsEmpty()
	if had := cmp.Or(r.was, AuthenticationSAS) == AuthenticationSAS; had && !create {
		switch {
		case !one && !two:
			return nil, nil // unchanged
		case !one || !two:
			return nil, fmt.Errorf("%w: PrimaryKey or SecondaryKey is empty; give both, or neither to leave them unchanged", auth.ErrInvalid)
		}
	}
	// The hub makes up what is empty.
	return proofJSON{Type: AuthenticationSAS, SymmetricKey: &keyJSON{r.PrimaryKey.Reveal(), r.SecondaryKey.Reveal()}}, nil
}

// Digits of a thumbprint: SHA-1 or SHA-256 in hex.
const (
	digitsSHA1   = 40
	digitsSHA256 = 64
)

func (r Registration) checkThumbprints() error {
	if r.PrimaryThumbprint == "" && r.SecondaryThumbprint == "" {
		return fmt.Errorf("%w: no PrimaryThumbprint and no SecondaryThumbprint; give one of the certificate that the device presents", auth.ErrInvalid)
	}
	for _, t := range []string{r.PrimaryThumbprint, r.SecondaryThumbprint} {
		if _, err := hex.DecodeString(t); err != nil || len(t) != 0 && len(t) != digitsSHA1 && len(t) != digitsSHA256 {
			return fmt.Errorf("%w: thumbprint %.100q is not %d or %d hex digits; give the SHA-1 or SHA-256 of the certificate in DER, without colons", auth.ErrInvalid, t, digitsSHA1, digitsSHA256)
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
