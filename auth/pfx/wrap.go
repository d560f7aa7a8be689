package pfx

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
)

// The library reads whole files alone, and only with a MAC. What is to be shown
// to it is wrapped here, by a MAC that proves nothing and costs nothing.

// wrapParts is a PFX of some parts.
func wrapParts(parts []contentInfo, passphrase string) ([]byte, error) {
	content, err := asn1.Marshal(parts)
	if err != nil {
		return nil, unwritten(err)
	}
	return wrap(content, passphrase)
}

// wrap is a PFX of some contents, with PBMAC1 (RFC 9579) for its MAC.
func wrap(content []byte, passphrase string) ([]byte, error) {
	salt := []byte("none")
	key, err := pbkdf2.Key(sha256.New, passphrase, salt, 1, sha256.Size)
	if err != nil {
		return nil, unwritten(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(content)

	hash := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}
	kdf, err := algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, struct {
		Salt       []byte
		Iterations int
		KeyLength  int
		PRF        pkix.AlgorithmIdentifier
	}{salt, 1, sha256.Size, hash})
	if err != nil {
		return nil, unwritten(err)
	}
	how, err := algorithm(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}, pbmac1{kdf, hash})
	if err != nil {
		return nil, unwritten(err)
	}
	data, err := dataPart(content)
	if err != nil {
		return nil, err
	}
	der, err := asn1.Marshal(pfxPDU{
		Version: 3,
		Content: data,
		MAC:     macData{Digest: digestInfo{how, mac.Sum(nil)}, Salt: salt, Iterations: 1},
	})
	if err != nil {
		return nil, unwritten(err)
	}
	return der, nil
}

// anyKey is a part that holds a key, in the clear. It is nobody's: it stands
// there to be the first.
func anyKey() (contentInfo, error) {
	key, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		return contentInfo{}, unwritten(err)
	}
	bags, err := asn1.Marshal([]safeBag{{
		ID:    asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1},
		Value: explicit(key),
	}})
	if err != nil {
		return contentInfo{}, unwritten(err)
	}
	return dataPart(bags)
}

// dataPart is content in the clear.
func dataPart(content []byte) (contentInfo, error) {
	octets, err := asn1.Marshal(content)
	if err != nil {
		return contentInfo{}, unwritten(err)
	}
	return contentInfo{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, explicit(octets)}, nil
}

// explicit is der as [0] EXPLICIT; the tag in a struct field says nothing of a
// RawValue when it is written.
func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

func algorithm(oid asn1.ObjectIdentifier, params any) (pkix.AlgorithmIdentifier, error) {
	der, err := asn1.Marshal(params)
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}, err
}

// unwritten is an error of encoding/asn1 or crypto about values of our own.
func unwritten(err error) error {
	return fmt.Errorf("%w: it cannot be prepared for reading: %w", auth.ErrInvalid, err)
}
