package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// reissue is what helps where a certificate cannot be read at all.
const reissue = "copy it whole, or have it issued anew, with names in UTF8String and a serial number above zero"

// parseCertificate reads a certificate to present. One that package x509 refuses
// for a rule of DER that others do not look at, such as a sign in a name that does
// not belong there or a negative serial number, is read as far as presenting it
// needs: hubs take it.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err == nil {
		return c, nil
	}
	if c, loose := parseLoosely(der); loose == nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w; %s", err, reissue)
}

// isLoose reports whether parseLoosely read a certificate: then package x509 has
// no word on it.
func isLoose(c *x509.Certificate) bool {
	_, err := x509.ParseCertificate(c.Raw)
	return err != nil
}

// The structures of RFC 5280, section 4.1, as far as they are read.
type (
	looseCertificate struct {
		TBS       looseTBS
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	looseTBS struct {
		Raw       asn1.RawContent
		Version   int `asn1:"optional,explicit,default:0,tag:0"`
		Serial    *big.Int
		Algorithm asn1.RawValue
		Issuer    asn1.RawValue
		Validity  struct{ NotBefore, NotAfter time.Time }
		Subject   asn1.RawValue
		PublicKey asn1.RawValue
		// Extensions follow. A hub reads them.
	}
	looseAttribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	looseAttributes []looseAttribute
)

// parseLoosely reads of a certificate what presenting it needs: names, times,
// the key and the signature.
func parseLoosely(der []byte) (*x509.Certificate, error) {
	var raw looseCertificate
	if rest, err := asn1.Unmarshal(der, &raw); err != nil || len(rest) > 0 {
		return nil, errors.Join(err, errors.New("not a certificate"))
	}
	key, err := x509.ParsePKIXPublicKey(raw.TBS.PublicKey.FullBytes)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		Raw: der, RawTBSCertificate: raw.TBS.Raw, RawSubjectPublicKeyInfo: raw.TBS.PublicKey.FullBytes,
		RawSubject: raw.TBS.Subject.FullBytes, RawIssuer: raw.TBS.Issuer.FullBytes,
		Subject: looseName(raw.TBS.Subject.FullBytes), Issuer: looseName(raw.TBS.Issuer.FullBytes),
		Version: raw.TBS.Version + 1, SerialNumber: raw.TBS.Serial,
		NotBefore: raw.TBS.Validity.NotBefore, NotAfter: raw.TBS.Validity.NotAfter,
		PublicKey: key, Signature: raw.Signature.RightAlign(), SignatureAlgorithm: signatureAlgorithm(raw.Algorithm.Algorithm.String()),
	}
	switch key.(type) {
	case *rsa.PublicKey:
		c.PublicKeyAlgorithm = x509.RSA
	case *ecdsa.PublicKey:
		c.PublicKeyAlgorithm = x509.ECDSA
	case ed25519.PublicKey:
		c.PublicKeyAlgorithm = x509.Ed25519
	default:
		return nil, fmt.Errorf("a key of a kind that TLS does not know (%T)", key)
	}
	return c, nil
}

// looseName reads a name whatever is in its texts. What is no name is empty.
func looseName(der []byte) (name pkix.Name) {
	var raw []asn1.RawValue // of sets
	if _, err := asn1.Unmarshal(der, &raw); err != nil {
		return name
	}
	var rdns pkix.RDNSequence
	for _, r := range raw {
		var set looseAttributes
		if _, err := asn1.UnmarshalWithParams(r.FullBytes, &set, "set"); err != nil {
			return name
		}
		var rdn pkix.RelativeDistinguishedNameSET
		for _, a := range set {
			rdn = append(rdn, pkix.AttributeTypeAndValue{Type: a.Type, Value: string(a.Value.Bytes)})
		}
		rdns = append(rdns, rdn)
	}
	name.FillFromRDNSequence(&rdns)
	return name
}

// signatureAlgorithm knows the usual ones by their object identifiers.
func signatureAlgorithm(oid string) x509.SignatureAlgorithm {
	switch oid {
	case "1.2.840.113549.1.1.11":
		return x509.SHA256WithRSA
	case "1.2.840.113549.1.1.12":
		return x509.SHA384WithRSA
	case "1.2.840.113549.1.1.13":
		return x509.SHA512WithRSA
	case "1.2.840.10045.4.3.2":
		return x509.ECDSAWithSHA256
	case "1.2.840.10045.4.3.3":
		return x509.ECDSAWithSHA384
	case "1.2.840.10045.4.3.4":
		return x509.ECDSAWithSHA512
	case "1.3.101.112":
		return x509.PureEd25519
	}
	return x509.UnknownSignatureAlgorithm
}
