//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"

	"github.com/devicetwin/devicetwin-go/auth"
)

// The sizes of RSA keys that a hub and a handshake bear.
const (
	minRSA = 2048
	maxRSA = 4096
)

// A KeyPair is a crypto.Signer for TLS, ECDSA or RSA, whose private key lives in
// a token under a label, and cannot be read from it.
type KeyPair struct {
	token  *Token
	label  string
	public crypto.PublicKey
}

// Generate has the token make a key pair, where there must be none of this
// label: ECDSA with P-256, or RSA with as many bits, 2048 to 4096, where that is
// not 0.
func (t *Token) Generate(ctx context.Context, label string, bits int) (*KeyPair, error) {
	if bits != 0 && (bits < minRSA || bits > maxRSA) {
		return nil, fmt.Errorf("%w: an RSA key of %d bits; it has from %d to %d", auth.ErrInvalid, bits, minRSA, maxRSA)
	}
	id := make([]byte, 8) // by which tools know that the two belong together
	_, _ = rand.Read(id)  // it never fails
	return use(ctx, t, func(s *session) (*KeyPair, error) {
		if err := s.free(label, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY); err != nil {
			return nil, err
		}
		how := pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)
		public := []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
			pkcs11.NewAttribute(pkcs11.CKA_ID, id),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		}
		if bits == 0 {
			curve, err := asn1.Marshal(oid(1, 2, 840, 10045, 3, 1, 7)) // P-256, RFC 5480, 2.1.1.1
			if err != nil {
				return nil, err
			}
			public = append(public, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, curve))
		} else {
			how = pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)
			public = append(public,
				pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, bits),
				pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
		}
		private := append(kept(label, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, id))
		if _, _, err := s.GenerateKeyPair(s.handle, []*pkcs11.Mechanism{how}, public, private); err != nil {
			return nil, fmt.Errorf("make the key: %w", err)
		}
		return t.pair(s, label)
	})
}

// RemovePair destroys both keys of a label.
func (t *Token) RemovePair(ctx context.Context, label string) error {
	return t.remove(ctx, label, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY)
}

// KeyPair is the key pair of a label: ECDSA with P-256, P-384 or P-521, or RSA.
func (t *Token) KeyPair(ctx context.Context, label string) (*KeyPair, error) {
	return use(ctx, t, func(s *session) (*KeyPair, error) { return t.pair(s, label) })
}

func (t *Token) pair(s *session, label string) (*KeyPair, error) {
	if _, err := s.one(pkcs11.CKO_PRIVATE_KEY, label); err != nil {
		return nil, err
	}
	object, err := s.one(pkcs11.CKO_PUBLIC_KEY, label)
	if err != nil {
		return nil, fmt.Errorf("the public half of the key: %w", err)
	}
	public, err := s.public(object)
	if err != nil {
		return nil, err
	}
	return &KeyPair{t, label, public}, nil
}

// public reads a public key.
func (s *session) public(object pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	// An RSA key has a modulus; asking for what is not there is an error.
	if modulus, err := s.attribute(object, pkcs11.CKA_MODULUS); err == nil {
		exponent, err := s.attribute(object, pkcs11.CKA_PUBLIC_EXPONENT)
		if err != nil {
			return nil, err
		}
		e := new(big.Int).SetBytes(exponent)
		if e.BitLen() > 31 {
			return nil, fmt.Errorf("%w: the RSA key has an exponent of %d bits", auth.ErrInvalid, e.BitLen())
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(e.Int64())}, nil
	} else if broken(err) {
		return nil, err
	}
	curve, err := s.attribute(object, pkcs11.CKA_EC_PARAMS)
	if err != nil {
		return nil, err
	}
	point, err := s.attribute(object, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, err
	}
	return parseECDSA(curve, point)
}

// parseECDSA reads a public key as PKCS#11 2.40 tells it: the curve's OID, and
// the point in an OCTET STRING, which some tokens leave out.
func parseECDSA(params, point []byte) (*ecdsa.PublicKey, error) {
	var name asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(params, &name); err != nil {
		return nil, fmt.Errorf("%w: the key's curve has no name", auth.ErrInvalid)
	}
	var curve elliptic.Curve
	switch {
	case name.Equal(oid(1, 2, 840, 10045, 3, 1, 7)):
		curve = elliptic.P256()
	case name.Equal(oid(1, 3, 132, 0, 34)):
		curve = elliptic.P384()
	case name.Equal(oid(1, 3, 132, 0, 35)):
		curve = elliptic.P521()
	default:
		return nil, fmt.Errorf("%w: TLS does not know the key's curve, %v; P-256, P-384 and P-521 are known", auth.ErrInvalid, name)
	}
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("%w: the token's public key cannot be read: %w", auth.ErrInvalid, err)
	}
	return key, nil
}

func oid(numbers ...int) asn1.ObjectIdentifier { return numbers }

// Public implements crypto.Signer.
func (k *KeyPair) Public() crypto.PublicKey { return k.public }
