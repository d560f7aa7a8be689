package hubtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// IssueOptions shape a certificate; nil means all defaults.
type IssueOptions struct {
	// NotBefore and NotAfter bound its validity. A zero one is 20 years before or
	// after now, by time.Now or, in what a hub's own CAs issue, by the hub's clock.
	NotBefore, NotAfter time.Time
	// Key is its private key: an *ecdsa.PrivateKey, an *rsa.PrivateKey or an
	// ed25519.PrivateKey. If nil, a P-256 key is made.
	Key crypto.Signer
	// WithoutChain leaves the intermediates out of what the device presents,
	// as a forgotten file does.
	WithoutChain bool

	now func() time.Time // of what has no issuer; nil means time.Now
}

// Issued is a client certificate with its key.
type Issued struct {
	// Certificate is what TLS presents: the leaf, then the intermediates.
	Certificate tls.Certificate
	// CertificatePEM is the same in PEM.
	CertificatePEM []byte
	// KeyPEM is the private key as PKCS#8: a secret.
	KeyPEM []byte
	// Thumbprint is the leaf's, by SHA-256, as Device.SetThumbprints takes it.
	Thumbprint string
}

// Credential presents the certificate.
func (i Issued) Credential() auth.Credential { return auth.X509(i.Certificate) }

// A CA issues client certificates for tests: good ones, and those that a hub
// has to refuse. It may be used concurrently.
type CA struct {
	cert   *x509.Certificate
	key    crypto.Signer
	parent *CA // nil for a root
	now    func() time.Time
}

// NewCA makes a root CA of that name, which no hub knows before Hub.AddCA. Two CAs of
// one name have different keys: what the one issues looks like the other's and proves
// nothing to a hub that knows the other.
func NewCA(name string, opts *IssueOptions) (*CA, error) { return newCA(name, nil, opts) }

// Intermediate makes a CA below this one.
func (ca *CA) Intermediate(name string, opts *IssueOptions) (*CA, error) {
	return newCA(name, ca, opts)
}

// PEM is the CA's own certificate, as Hub.AddCA takes it.
func (ca *CA) PEM() []byte { return certPEM(ca.cert.Raw) }

// Issue makes a client certificate with that common name: a device's id, or
// "device/module". It presents all intermediates, this CA's included unless it
// is a root.
func (ca *CA) Issue(commonName string, opts *IssueOptions) (Issued, error) {
	return issue(commonName, ca, opts)
}

// SelfSigned makes a client certificate that nobody else signs, for an identity
// that is known by its thumbprint.
func SelfSigned(commonName string, opts *IssueOptions) (Issued, error) {
	return issue(commonName, nil, opts)
}

func newCA(name string, parent *CA, opts *IssueOptions) (*CA, error) {
	o := opts.fill(parent)
	key, err := o.makeKey()
	if err != nil {
		return nil, err
	}
	tmpl, err := o.template(name)
	if err != nil {
		return nil, err
	}
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := signCertificate(tmpl, parent, key)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key, parent: parent, now: o.now}, nil
}

func issue(name string, parent *CA, opts *IssueOptions) (Issued, error) {
	o := opts.fill(parent)
	key, err := o.makeKey()
	if err != nil {
		return Issued{}, err
	}
	tmpl, err := o.template(name)
	if err != nil {
		return Issued{}, err
	}
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	leaf, err := signCertificate(tmpl, parent, key)
	if err != nil {
		return Issued{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Issued{}, fmt.Errorf("hubtest: make a certificate: %w", err)
	}
	out := Issued{
		Certificate: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf},
		KeyPEM:      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		Thumbprint:  fmt.Sprintf("%X", sha256.Sum256(leaf.Raw)),
	}
	for ca := parent; ca != nil && ca.parent != nil && !o.WithoutChain; ca = ca.parent {
		out.Certificate.Certificate = append(out.Certificate.Certificate, ca.cert.Raw)
	}
	out.CertificatePEM = certPEM(out.Certificate.Certificate...)
	return out, nil
}

// fill copies the options and completes them.
func (o *IssueOptions) fill(parent *CA) IssueOptions {
	var out IssueOptions
	if o != nil {
		out = *o
	}
	if parent != nil {
		out.now = parent.now
	}
	if out.now == nil {
		out.now = time.Now
	}
	return out
}

func (o IssueOptions) template(name string) (*x509.Certificate, error) {
	tmpl := template(name, o.now())
	if !o.NotBefore.IsZero() {
		tmpl.NotBefore = o.NotBefore
	}
	if !o.NotAfter.IsZero() {
		tmpl.NotAfter = o.NotAfter
	}
	if tmpl.NotAfter.Before(tmpl.NotBefore) {
		return nil, fmt.Errorf("hubtest: the certificate would end (%v) before it begins (%v); set both NotBefore and NotAfter", tmpl.NotAfter, tmpl.NotBefore)
	}
	return tmpl, nil
}

// signCertificate has the parent sign for a key, or the key for itself.
func signCertificate(tmpl *x509.Certificate, parent *CA, key crypto.Signer) (*x509.Certificate, error) {
	above, by := tmpl, key
	if parent != nil {
		above, by = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, above, key.Public(), by)
	if err != nil {
		return nil, fmt.Errorf("hubtest: make a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("hubtest: make a certificate: %w", err)
	}
	return cert, nil
}

// makeKey is the key of the options, or a new one.
func (o IssueOptions) makeKey() (crypto.Signer, error) {
	if o.Key != nil {
		return o.Key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("hubtest: make a key: %w", err)
	}
	return key, nil
}

func certPEM(ders ...[]byte) (out []byte) {
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
