package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/devicetwin/devicetwin-go/auth"
)

// signTime bounds one signature for TLS, whose crypto.Signer knows no context.
// Slow TPMs take a second for it.
const signTime = 15 * time.Second

// An ECDSAKey is a crypto.Signer for TLS whose P-256 key lives in the TPM at a
// persistent handle, where it was made, and cannot be read from it.
type ECDSAKey struct {
	tpm    *TPM
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public *ecdsa.PublicKey
}

// GenerateECDSA has the TPM make a key at a persistent handle of the owner
// (0x81000000 to 0x817fffff), which must be empty.
func (t *TPM) GenerateECDSA(ctx context.Context, handle tpm2.TPMHandle) (*ECDSAKey, error) {
	public := template(tpm2.TPMAlgECC, true)
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		CurveID: tpm2.TPMECCNistP256,
		Scheme: tpm2.TPMTECCScheme{
			Scheme:  tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
		},
	})
	if err := t.store(ctx, handle, public, nil); err != nil {
		return nil, err
	}
	return t.ECDSAKey(ctx, handle)
}

// ECDSAKey is the key at a handle.
func (t *TPM) ECDSAKey(ctx context.Context, handle tpm2.TPMHandle) (*ECDSAKey, error) {
	read, err := use(ctx, t, func(device transport.TPM) (publicKey, error) { return readPublic(device, handle) })
	if err != nil {
		return nil, err
	}
	public, err := tpm2.Pub(read.TPMTPublic)
	key, ok := public.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Params().BitSize != 8*sha256.Size {
		return nil, fmt.Errorf("%w: the key at %#x is none of ECDSA with P-256", auth.ErrInvalid, uint32(handle))
	}
	return &ECDSAKey{t, handle, read.Name, key}, nil
}

// Public implements crypto.Signer.
func (k *ECDSAKey) Public() crypto.PublicKey { return k.public }

// Sign implements crypto.Signer: the signature is in ASN.1, and the randomness
// is the TPM's own. It takes 15 s at the most.
func (k *ECDSAKey) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), signTime)
	defer cancel()
	return k.SignContext(ctx, digest)
}

// SignContext is Sign for who has a context.
func (k *ECDSAKey) SignContext(ctx context.Context, digest []byte) ([]byte, error) {
	fitted := fit(digest)
	signature, err := use(ctx, k.tpm, func(device transport.TPM) (*tpm2.TPMTSignature, error) {
		answer, err := tpm2.Sign{
			KeyHandle:  k.tpm.keyHandle(k.handle, k.name),
			Digest:     tpm2.TPM2BDigest{Buffer: fitted},
			Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull}, // made outside of the TPM
		}.Execute(device)
		if err != nil {
			return nil, fmt.Errorf("sign with the key at %#x: %w", uint32(k.handle), err)
		}
		return &answer.Signature, nil
	})
	if err != nil {
		return nil, err
	}
	ec, err := signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("read the TPM's signature: %w", err)
	}
	r, s := new(big.Int).SetBytes(ec.SignatureR.Buffer), new(big.Int).SetBytes(ec.SignatureS.Buffer)
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}

// fit makes a digest as long as a P-256 key, which is all that the TPM takes:
// ECDSA looks at no more than the first bits of a longer one, and at a shorter
// one as a number (FIPS 186-5, 6.4.1). In TLS 1.2 a hub may ask for any.
func fit(digest []byte) []byte {
	fitted := make([]byte, sha256.Size) // a copy: a call that outlives ctx reads it
	copy(fitted[max(0, len(fitted)-len(digest)):], digest)
	return fitted
}
