//go:build cgo

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/devicetwin/devicetwin-go/auth"
)

// An HMACKey is an auth.Signer whose key lives in a token under a label, and
// cannot be read from it.
type HMACKey struct {
	token *Token
	label string
}

// HMACKey is the key of a label. Whether there is one, Sign tells.
func (t *Token) HMACKey(label string) *HMACKey { return &HMACKey{t, label} }

// ImportHMAC puts a shared key into the token, which must have none of this
// label. It is a generic secret, which tokens take for every HMAC.
func (t *Token) ImportHMAC(ctx context.Context, label string, secret []byte) error {
	if len(secret) == 0 {
		return fmt.Errorf("%w: the shared key is empty", auth.ErrInvalid)
	}
	secret = hmacKey(secret)
	_, err := use(ctx, t, func(s *session) (none struct{}, _ error) {
		defer clear(secret)
		if err := s.free(label, pkcs11.CKO_SECRET_KEY); err != nil {
			return none, err
		}
		_, err := s.CreateObject(s.handle, append(kept(label, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_GENERIC_SECRET),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE, secret)))
		if err != nil {
			err = fmt.Errorf("create the key: %w", err)
		}
		return none, err
	})
	return err
}

// minKey is the least that tokens take for HMAC-SHA256: the digest's size, as
// RFC 2104, 3 advises.
const minKey = sha256.Size

// hmacKey is a key of another size that signs alike: HMAC itself hashes one that
// is longer than a block, and adds zeros to a shorter one (RFC 2104, 2). It is a
// copy, since a call that outlives its ctx reads it.
func hmacKey(secret []byte) []byte {
	if len(secret) > sha256.BlockSize {
		short := sha256.Sum256(secret)
		return short[:]
	}
	return append(bytes.Clone(secret), make([]byte, max(0, minKey-len(secret)))...)
}

// RemoveHMAC destroys the shared key of a label.
func (t *Token) RemoveHMAC(ctx context.Context, label string) error {
	return t.remove(ctx, label, pkcs11.CKO_SECRET_KEY)
}

// Sign implements auth.Signer.
func (k *HMACKey) Sign(ctx context.Context, data []byte) ([]byte, error) {
	data = bytes.Clone(data) // a call that outlives ctx reads it
	return use(ctx, k.token, func(s *session) ([]byte, error) {
		// The key is looked up each time: so one that was replaced meanwhile, or a
		// session that is new, is no special case.
		key, err := s.one(pkcs11.CKO_SECRET_KEY, k.label)
		if err != nil {
			return nil, err
		}
		return s.sign(key, pkcs11.NewMechanism(pkcs11.CKM_SHA256_HMAC, nil), data)
	})
}

// sign signs in one go.
func (s *session) sign(key pkcs11.ObjectHandle, how *pkcs11.Mechanism, data []byte) ([]byte, error) {
	if err := s.SignInit(s.handle, []*pkcs11.Mechanism{how}, key); err != nil {
		return nil, fmt.Errorf("begin to sign: %w", err)
	}
	signature, err := s.Ctx.Sign(s.handle, data)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}
