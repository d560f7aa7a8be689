package hubtest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
)

// authType is by what an identity proves itself.
type authType uint8

const (
	authSAS        authType = iota // a token, signed with one of two keys
	authSelfSigned                 // a certificate with one of two thumbprints
	authCA                         // a certificate from a CA that the hub knows
)

// String is the registry's word for it.
func (t authType) String() string {
	return [...]string{"sas", "selfSigned", "certificateAuthority"}[t]
}

// proofRule is how one identity proves itself; its keys stand elsewhere. The
// zero value is by keys.
type proofRule struct {
	kind        authType
	thumbprints [2]string // of selfSigned: upper-case hex, empty for none
}

// X509Options say by which certificate an identity is known; nil means all
// defaults: any with its id as the common name, from a CA that the hub knows.
type X509Options struct {
	// SelfSigned makes it known by thumbprint instead, whatever the name.
	SelfSigned bool
	// NoCertificate says that the device has a certificate already, from a CA
	// that AddCA knows, or will know: the hub makes none. A self-signed one is made
	// known by SetThumbprints.
	NoCertificate bool
	// Issue shapes the certificate that the hub makes.
	Issue *IssueOptions
}

// AddX509Device registers a device or module ("device/module") that proves itself
// by a certificate with its id as the common name. By
// default the hub makes one for it, from its DeviceCA; with opts.SelfSigned a
// self-signed one. The Device has it as Credential and in PEM, and no keys.
// Such a device needs TLS: Hub.DialContext or Hub.Listen.
func (h *Hub) AddX509Device(id string, opts *X509Options) (Device, error) {
	who, err := h.named(id)
	if err != nil {
		return Device{}, err
	}
	if err := who.Validate(); err != nil { // before a certificate is made for it
		return Device{}, fmt.Errorf("hubtest: %w", err)
	}
	dev, rule, err := h.prepareX509(who, opts)
	if err != nil {
		return Device{}, err
	}
	if err := h.register(who, func(id *identity) { id.proof = rule }); err != nil {
		return Device{}, err
	}
	return dev, nil
}

// SetX509 makes an identity prove itself by a certificate from now on, in one
// of the ways of AddX509Device: from keys to certificates, or from a certificate
// to one that is newly made. The twin stays, and so does a connection: a proof
// is judged at login. SetKeys leads back to keys.
func (d Device) SetX509(opts *X509Options) (Device, error) {
	var name auth.Identity
	err := d.change(func(who *identity) error {
		name = d.hub.nameOf(who)
		return nil
	})
	if err != nil {
		return Device{}, err
	}
	dev, rule, err := d.hub.prepareX509(name, opts)
	if err != nil {
		return Device{}, err
	}
	if err := d.setRule(rule); err != nil {
		return Device{}, err
	}
	return dev, nil
}

// SetThumbprints makes an identity known by these thumbprints of certificates,
// primary and secondary, one of which may be empty: either logs in, as long as
// it is there. A thumbprint is the SHA-1 or SHA-256 of the certificate in DER, as
// 40 or 64 hex digits in any case, without colons. A connection stays.
func (d Device) SetThumbprints(primary, secondary string) error {
	rule, err := thumbprintRule(primary, secondary)
	if err != nil {
		return err
	}
	return d.setRule(rule)
}

func (d Device) setRule(rule proofRule) error {
	return d.change(func(who *identity) error {
		who.proof, who.keys = rule, keyPair{}
		who.record.etag++
		return nil
	})
}

// prepareX509 makes what an X.509 identity needs. No lock is held: keys take
// their time.
func (h *Hub) prepareX509(who auth.Identity, opts *X509Options) (Device, proofRule, error) {
	var o X509Options
	if opts != nil {
		o = *opts
	}
	if o.NoCertificate {
		if o.SelfSigned {
			return Device{}, proofRule{}, errors.New("hubtest: X509Options: SelfSigned and NoCertificate exclude each other; use SetThumbprints for a self-signed certificate made elsewhere")
		}
		rule := proofRule{kind: authCA}
		return h.certDevice(who, rule), rule, nil
	}
	made, err := h.makeClientCertificate(joinID(who.DeviceID, who.ModuleID), o)
	if err != nil {
		return Device{}, proofRule{}, err
	}
	rule := proofRule{kind: authCA}
	if o.SelfSigned {
		rule = proofRule{kind: authSelfSigned, thumbprints: [2]string{made.Thumbprint}}
	}
	dev := h.certDevice(who, rule)
	dev.Credential, dev.CertificatePEM, dev.KeyPEM = made.Credential(), made.CertificatePEM, made.KeyPEM
	return dev, rule, nil
}

// certDevice is a device that proves itself by a certificate of which the hub
// has nothing.
func (h *Hub) certDevice(who auth.Identity, rule proofRule) Device {
	return Device{Identity: who, Auth: rule.kind.String(), ConnectionString: stringFor(who, ""), hub: h, id: joinID(who.DeviceID, who.ModuleID)}
}

func (h *Hub) makeClientCertificate(name string, o X509Options) (Issued, error) {
	if !o.SelfSigned {
		ca, err := h.DeviceCA()
		if err != nil {
			return Issued{}, err
		}
		return ca.Issue(name, o.Issue)
	}
	var shape IssueOptions
	if o.Issue != nil {
		shape = *o.Issue
	}
	if shape.now == nil {
		shape.now = h.opts.Now
	}
	return SelfSigned(name, &shape)
}

func thumbprintRule(primary, secondary string) (proofRule, error) {
	rule := proofRule{kind: authSelfSigned}
	if primary == "" && secondary == "" {
		return proofRule{}, errors.New("hubtest: there is no thumbprint; give a primary or a secondary one")
	}
	for i, text := range [...]string{primary, secondary} {
		var err error
		if rule.thumbprints[i], err = parseThumbprint(text); err != nil {
			return proofRule{}, fmt.Errorf("hubtest: %s thumbprint: %w", [...]string{"primary", "secondary"}[i], err)
		}
	}
	return rule, nil
}

// parseThumbprint reads a thumbprint; an empty one is none.
func parseThumbprint(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if strings.Contains(text, ":") {
		return "", errors.New("it has colons; take them out")
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 20 && len(raw) != 32 {
		return "", fmt.Errorf("it is not 40 (SHA-1) or 64 (SHA-256) hex digits, but %d characters", len(text))
	}
	return strings.ToUpper(text), nil
}
