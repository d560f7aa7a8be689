package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/devicetwin/devicetwin-go/auth"
)

// maxBuffer is what every TPM takes in one command (TPM_PT_INPUT_BUFFER).
const maxBuffer = 1024

// An HMACKey is an auth.Signer whose key lives in the TPM at a persistent
// handle, and cannot be read from it.
type HMACKey struct {
	tpm    *TPM
	handle tpm2.TPMHandle
}

// HMACKey is the key at a handle. Whether there is one, Sign tells.
func (t *TPM) HMACKey(handle tpm2.TPMHandle) *HMACKey { return &HMACKey{t, handle} }

// ImportHMAC stores a shared key at a persistent handle of the owner
// (0x81000000 to 0x817fffff), which must be empty.
func (t *TPM) ImportHMAC(ctx context.Context, handle tpm2.TPMHandle, secret []byte) error {
	if len(secret) == 0 {
		return fmt.Errorf("%w: the shared key is empty", auth.ErrInvalid)
	}
	if len(secret) > sha256.BlockSize {
		// A TPM takes no more, and HMAC itself begins so (RFC 2104, 2).
		short := sha256.Sum256(secret)
		secret = short[:]
	}
	secret = bytes.Clone(secret) // a call that outlives ctx reads it
	public := template(tpm2.TPMAlgKeyedHash, false)
	public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgKeyedHash, &tpm2.TPMSKeyedHashParms{
		Scheme: tpm2.TPMTKeyedHashScheme{
			Scheme: tpm2.TPMAlgHMAC,
			Details: tpm2.NewTPMUSchemeKeyedHash(tpm2.TPMAlgHMAC,
				&tpm2.TPMSSchemeHMAC{HashAlg: tpm2.TPMAlgSHA256}),
		},
	})
	return t.store(ctx, handle, public, secret)
}

// Sign implements auth.Signer.
func (k *HMACKey) Sign(ctx context.Context, data []byte) ([]byte, error) {
	data = bytes.Clone(data) // a call that outlives ctx reads it
	return use(ctx, k.tpm, func(device transport.TPM) ([]byte, error) {
		// The key is looked up each time, which costs little: so a TPM that was
		// replaced or provisioned meanwhile is no special case.
		public, err := readPublic(device, k.handle)
		if err != nil {
			return nil, err
		}
		if public.Type != tpm2.TPMAlgKeyedHash {
			return nil, fmt.Errorf("%w: the key at %#x is none for HMAC", auth.ErrInvalid, uint32(k.handle))
		}
		key := k.tpm.keyHandle(k.handle, public.Name)
		if len(data) > maxBuffer {
			return long(device, key, data)
		}
		answer, err := tpm2.Hmac{
			Handle: key, Buffer: tpm2.TPM2BMaxBuffer{Buffer: data}, HashAlg: tpm2.TPMAlgSHA256,
		}.Execute(device)
		if err != nil {
			return nil, fmt.Errorf("sign with the key at %#x: %w", uint32(k.handle), err)
		}
		return answer.OutHMAC.Buffer, nil
	})
}

// long signs what is too long for one command. A token of the longest host,
// device and module is.
func long(device transport.TPM, key tpm2.AuthHandle, data []byte) (mac []byte, err error) {
	started, err := tpm2.HmacStart{Handle: key, HashAlg: tpm2.TPMAlgSHA256}.Execute(device)
	if err != nil {
		return nil, fmt.Errorf("begin to sign: %w", err)
	}
	sequence := tpm2.AuthHandle{Handle: started.SequenceHandle, Auth: tpm2.PasswordAuth(nil)}
	defer func() {
		if err != nil { // else it ended by itself
			flush(device, started.SequenceHandle, &err)
		}
	}()
	for ; len(data) > maxBuffer; data = data[maxBuffer:] {
		part := tpm2.TPM2BMaxBuffer{Buffer: data[:maxBuffer]}
		if _, err := (tpm2.SequenceUpdate{SequenceHandle: sequence, Buffer: part}).Execute(device); err != nil {
			return nil, fmt.Errorf("go on to sign: %w", err)
		}
	}
	done, err := tpm2.SequenceComplete{
		SequenceHandle: sequence, Buffer: tpm2.TPM2BMaxBuffer{Buffer: data}, Hierarchy: tpm2.TPMRHNull,
	}.Execute(device)
	if err != nil {
		return nil, fmt.Errorf("end to sign: %w", err)
	}
	return done.Result.Buffer, nil
}
