//go:build cgo

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/devicetwin/devicetwin-go/auth"
)

// signTime bounds one signature for TLS, whose crypto.Signer knows no context.
// An HSM may stand at the other end of a network.
const signTime = 15 * time.Second

// Sign implements crypto.Signer; the randomness is the token's own. With an RSA
// key, *rsa.PSSOptions ask for PSS, as TLS 1.3 does. It takes 15 s at the most.
func (k *KeyPair) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), signTime)
	defer cancel()
	return k.SignContext(ctx, digest, opts)
}

// SignContext is Sign for who has a context.
func (k *KeyPair) SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	var (
		how  *pkcs11.Mechanism
		data []byte
		err  error
	)
	curve, isECDSA := k.public.(*ecdsa.PublicKey)
	if isECDSA {
		// ECDSA looks at no more than the first bits (FIPS 186-5, 6.4.1).
		size := min(len(digest), (curve.Params().BitSize+7)/8)
		how, data = pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), bytes.Clone(digest[:size])
	} else if how, data, err = rsaMechanism(k.public.(*rsa.PublicKey), digest, opts); err != nil {
		return nil, err
	}
	signature, err := use(ctx, k.token, func(s *session) ([]byte, error) {
		key, err := s.one(pkcs11.CKO_PRIVATE_KEY, k.label)
		if err != nil {
			return nil, err
		}
		return s.sign(key, how, data)
	})
	if err != nil || !isECDSA {
		return signature, err
	}
	if len(signature) == 0 || len(signature)%2 != 0 {
		return nil, errors.New("the token returned half a signature")
	}
	half := len(signature) / 2
	r, s := new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}

// A digestInfo is what RSA signs by PKCS#1 1.5 (RFC 8017, 9.2).
type digestInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// rsaMechanism is how, and what, the token is to sign.
func rsaMechanism(key *rsa.PublicKey, digest []byte, opts crypto.SignerOpts) (*pkcs11.Mechanism, []byte, error) {
	var (
		name      asn1.ObjectIdentifier
		hash, mgf uint
	)
	switch opts.HashFunc() {
	case crypto.SHA256:
		name, hash, mgf = oid(2, 16, 840, 1, 101, 3, 4, 2, 1), pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256
	case crypto.SHA384:
		name, hash, mgf = oid(2, 16, 840, 1, 101, 3, 4, 2, 2), pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384
	case crypto.SHA512:
		name, hash, mgf = oid(2, 16, 840, 1, 101, 3, 4, 2, 3), pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512
	default:
		return nil, nil, fmt.Errorf("%w: a signature over %v; SHA-256, SHA-384 and SHA-512 are there", auth.ErrInvalid, opts.HashFunc())
	}
	size := opts.HashFunc().Size()
	if len(digest) != size {
		return nil, nil, fmt.Errorf("%w: a digest of %d bytes; %v has %d", auth.ErrInvalid, len(digest), opts.HashFunc(), size)
	}
	pss, ok := opts.(*rsa.PSSOptions)
	if !ok {
		data, err := asn1.Marshal(digestInfo{pkix.AlgorithmIdentifier{Algorithm: name, Parameters: asn1.NullRawValue}, digest})
		return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), data, err
	}
	salt := pss.SaltLength
	switch salt {
	case rsa.PSSSaltLengthEqualsHash:
		salt = size
	case rsa.PSSSaltLengthAuto: // as long as may be (RFC 8017, 9.1.1)
		salt = (key.N.BitLen()-1+7)/8 - 2 - size
	}
	if salt < 0 {
		return nil, nil, fmt.Errorf("%w: a salt of %d bytes", auth.ErrInvalid, salt)
	}
	params := pkcs11.NewPSSParams(hash, mgf, uint(salt))
	return pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, params), bytes.Clone(digest), nil
}
