package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/own"
)

// Bounds of what is read: a chain has two to four certificates of some 1 to
// 2 KB, a key at most some 13 KB (RSA with 16384 bits).
const (
	maxPEM    = 256 << 10
	maxChain  = 16
	maxName   = 120 // of a certificate's name in an error
	typeCert  = "CERTIFICATE"
	keySuffix = "PRIVATE KEY"
)

// blocks are the PEM blocks of a small text.
func blocks(what string, text []byte) ([]*pem.Block, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: the %s has %d bytes; at most %d are read", ErrInvalid, what, len(text), maxPEM)
	}
	return ParsePEM(own.Key{}, text)
}

// certificateIn returns the DER of the certificate in a block, or nil for a block of
// another kind. One that holds certificates that would be passed over is an
// error.
func certificateIn(b *pem.Block) ([]byte, error) {
	switch b.Type {
	case typeCert, "X509 CERTIFICATE": // the second is an old name
		return b.Bytes, nil
	case "TRUSTED CERTIFICATE": // OpenSSL's: the certificate, then what it is trusted for
		var first asn1.RawValue
		if _, err := asn1.Unmarshal(b.Bytes, &first); err != nil {
			return nil, err
		}
		return first.FullBytes, nil
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return nil, nil
	}
	if strings.Contains(b.Type, typeCert) || strings.HasPrefix(b.Type, "PKCS") || b.Type == "CMS" {
		return nil, errors.New("certificates in this form are not read; openssl pkcs7 -print_certs -in FILE writes them one by one")
	}
	if _, err := parseLoosely(b.Bytes); err == nil {
		return nil, errors.New("a certificate is in it, which is called otherwise; call it CERTIFICATE in its BEGIN and END lines")
	}
	return nil, nil
}

// parseCertificates reads every certificate of blocks by a parser of DER. Where
// there are none, the error begins with that.
func parseCertificates(all []*pem.Block, none string, parse func([]byte) (*x509.Certificate, error)) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	request := ""
	for i, b := range all {
		der, err := certificateIn(b)
		if err != nil {
			return nil, fmt.Errorf("%w: PEM block %d (%s) cannot be read: %w", ErrInvalid, i+1, b.Type, err)
		}
		if der == nil {
			if strings.HasSuffix(b.Type, "REQUEST") {
				request = "; a certificate request is, and the certificate that was issued for it is wanted"
			}
			continue
		}
		c, err := parse(der)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d in the file cannot be read (PEM block %d): %w", ErrInvalid, len(certs)+1, i+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%w: %s: there is no %q block in it%s; a PFX is read by package auth/pfx, and DER is turned into PEM by openssl x509 -inform DER", ErrInvalid, none, typeCert, request)
	}
	return certs, nil
}

// parseRoot reads a certificate to trust, which package x509 has to understand.
func parseRoot(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w; leave it out, %s", err, reissue)
	}
	return c, nil
}

// parseChain reads every certificate of a PEM text.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	all, err := blocks("certificate", text)
	if err != nil {
		return nil, err
	}
	chain, err := parseCertificates(all, "the certificate is not in PEM", parseCertificate)
	if len(chain) > maxChain {
		return nil, fmt.Errorf("%w: the file holds more than %d certificates; give the device's own and its intermediates", ErrInvalid, maxChain)
	}
	return chain, err
}

// ParseRoots reads every certificate of a PEM text into a pool, for the RootCAs of
// a tls.Config. In contrast to CertPool.AppendCertsFromPEM none vanishes: one that
// cannot be read is an error that names it by number, as with [ParsePEM], and so is
// a text without one. Errors match ErrInvalid.
func ParseRoots(text []byte) (*x509.CertPool, error) {
	all, err := ParsePEM(own.Key{}, text)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(all, "the text holds no certificate in PEM", parseRoot)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

// parseKeyPEM reads the one private key of a PEM text.
func parseKeyPEM(text []byte, o X509Options) (crypto.Signer, error) {
	all, err := blocks("key", text)
	if err != nil {
		return nil, err
	}
	var found *pem.Block
	for _, b := range all {
		if !strings.HasSuffix(b.Type, keySuffix) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: there are two private keys; leave one", ErrInvalid)
		}
		found = b
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("%w: there is no private key in PEM; give the file with the %q block", ErrInvalid, keySuffix)
	case !encrypted(found):
		return parsePlainKey(found)
	case o.Decrypt == nil:
		return nil, fmt.Errorf("%w: the private key is encrypted; set X509Options.Decrypt to pkcs8.Decrypt, and Passphrase", ErrInvalid)
	case o.Passphrase == "":
		return nil, fmt.Errorf("%w: the private key is encrypted, and there is no passphrase", ErrInvalid)
	}
	return o.Decrypt(found, o.Passphrase)
}

// encrypted reports whether a key is: in the way of PKCS#8, or in that of old
// openssl (RFC 1421).
func encrypted(b *pem.Block) bool {
	return b.Type == "ENCRYPTED "+keySuffix || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED")
}

// parsePlainKey reads a key that is not encrypted. What is wrong with it is not
// quoted: an ASN.1 error might tell bytes of it.
func parsePlainKey(b *pem.Block) (crypto.Signer, error) {
	if b.Type == "OPENSSH "+keySuffix {
		return nil, fmt.Errorf("%w: the private key is OpenSSH's; write it anew as PKCS#8: ssh-keygen -p -m PKCS8 -f FILE", ErrInvalid)
	}
	if key, err := x509.ParsePKCS8PrivateKey(b.Bytes); err == nil {
		return AsSigner(own.Key{}, key)
	}
	if key, err := x509.ParsePKCS1PrivateKey(b.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(b.Bytes); err == nil {
		return key, nil
	}
	return nil, fmt.Errorf("%w: the private key in the %q block cannot be read: cut, or of a kind that TLS does not know; RSA, ECDSA (P-256, P-384, P-521) and Ed25519 are known", ErrInvalid, b.Type)
}

// AsSigner is a private key as readers of key files return it, as what TLS can
// sign with: RSA, ECDSA or Ed25519. Any other matches ErrInvalid.
func AsSigner(_ own.Key, key any) (crypto.Signer, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%w: the private key is of a kind that TLS cannot sign with (%T); RSA, ECDSA and Ed25519 are known", ErrInvalid, key)
}

// leafOf is the certificate that the key belongs to.
func leafOf(certs []*x509.Certificate, key crypto.Signer) (*x509.Certificate, error) {
	if len(certs) == 0 {
		return nil, fmt.Errorf("%w: there is no client certificate", ErrInvalid)
	}
	if key == nil {
		return nil, fmt.Errorf("%w: the client certificate of %s has no private key", ErrInvalid, name(certs[0]))
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, fmt.Errorf("%w: the private key's public half is of a kind that TLS does not know (%T)", ErrInvalid, key.Public())
	}
	for _, c := range certs {
		if public.Equal(c.PublicKey) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: the private key is not that of the certificate of %s; give the pair that was made together", ErrInvalid, name(certs[0]))
}

// orderChain goes up from the leaf. Each certificate given must be part of the
// way.
func orderChain(leaf *x509.Certificate, certs []*x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{leaf}
	rest := without(certs, leaf)
	for top := leaf; len(rest) > 0; {
		issuer := issuerOf(top, rest)
		if issuer == nil {
			return nil, gap(top, rest)
		}
		chain = append(chain, issuer)
		rest, top = without(rest, issuer), issuer
	}
	return chain, nil
}

// gap says what the way up from a certificate lacks.
func gap(top *x509.Certificate, rest []*x509.Certificate) error {
	if selfIssued(top) {
		return fmt.Errorf("%w: the certificate of %s is no part of the chain, which ends at %s; take it out", ErrInvalid, name(rest[0]), name(top))
	}
	for _, c := range rest {
		if issuedAs(c, top) {
			return fmt.Errorf("%w: the certificate of %s was not signed by the key of the %s that is given, but by another of that name; add the one that signed it", ErrInvalid, name(top), name(c))
		}
	}
	return fmt.Errorf("%w: the chain has a gap: %s issued the certificate of %s, and is not among the certificates; add that intermediate", ErrInvalid, issuerName(top), name(top))
}

// leadsTo says whether a chain ends at, or below, one of the roots. Times are
// not looked at here.
func leadsTo(chain []*x509.Certificate, roots *x509.CertPool) error {
	for _, c := range chain {
		if isLoose(c) {
			return fmt.Errorf("%w: the certificate of %s breaks a rule of DER, so that whether it leads to the given roots cannot be checked here; leave Roots out, or %s", ErrInvalid, name(c), reissue)
		}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: chain[0].NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		return nil
	}
	top := chain[len(chain)-1]
	if selfIssued(top) {
		return fmt.Errorf("%w: the chain of %s ends at %s, which is none of the given roots", ErrInvalid, name(chain[0]), name(top))
	}
	return fmt.Errorf("%w: the chain of %s does not lead to one of the given roots: %s issued the certificate of %s; add that intermediate (%w)",
		ErrInvalid, name(chain[0]), issuerName(top), name(top), err)
}

func issuerOf(c *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	for _, i := range among {
		// A signature of an algorithm that is not known here the hub checks.
		if issuedAs(i, c) &&
			(c.SignatureAlgorithm == x509.UnknownSignatureAlgorithm || i.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil) {
			return i
		}
	}
	return nil
}

// issuedAs reports whether i has the name that c gives its issuer. Of two names
// the texts count, and not how each is encoded (RFC 5280, section 7.1): CAs write
// their own name in a PrintableString and in what they issue in a UTF8String.
func issuedAs(i, c *x509.Certificate) bool {
	if bytes.Equal(i.RawSubject, c.RawIssuer) {
		return true
	}
	text := func(n pkix.Name) string { return strings.Join(strings.Fields(n.String()), " ") }
	return len(i.Subject.Names) > 0 && len(i.Subject.Names) == len(c.Issuer.Names) && strings.EqualFold(text(i.Subject), text(c.Issuer))
}

// without leaves a certificate out, every time that it is there.
func without(certs []*x509.Certificate, c *x509.Certificate) []*x509.Certificate {
	var rest []*x509.Certificate
	for _, other := range certs {
		if !other.Equal(c) {
			rest = append(rest, other)
		}
	}
	return rest
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// name is a certificate's subject for an error, which a stranger may have
// written.
func name(c *x509.Certificate) string { return fmt.Sprintf("%.*q", maxName, c.Subject.String()) }

func issuerName(c *x509.Certificate) string {
	return fmt.Sprintf("%.*q", maxName, c.Issuer.String())
}
