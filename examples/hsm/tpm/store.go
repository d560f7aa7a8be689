package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/devicetwin/devicetwin-go/auth"
)

// The owner's persistent handles. Objects there live in the TPM's own memory:
// they outlive a reboot, need no file, and go with TPM2_Clear only.
const (
	minHandle uint32 = 0x81000000
	maxHandle uint32 = 0x817fffff
)

// errOccupied says that a handle has a key already.
var errOccupied = fmt.Errorf("%w: there is a key at this handle already; remove it first, or take another handle", auth.ErrInvalid)

// template is what our keys have in common.
//
// NoDA, for else the TPM would count each power cut after a use of the key as an
// attempt to guess, and lock itself: an swtpm after three. FixedTPM and
// FixedParent: it never leaves the chip.
func template(kind tpm2.TPMAlgID, generated bool) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: kind, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true,
			SignEncrypt: true, SensitiveDataOrigin: generated,
		},
	}
}

// store makes a key below the storage root key, from a secret or, without one,
// in the TPM, and persists it. The root key is made anew each time from the
// TPM's seed: nothing of it has to be kept.
func (t *TPM) store(ctx context.Context, handle tpm2.TPMHandle, public tpm2.TPMTPublic, secret []byte) error {
	if n := uint32(handle); n < minHandle || n > maxHandle {
		return fmt.Errorf("%w: handle %#x is none of the owner's persistent handles, %#x to %#x", auth.ErrInvalid, n, minHandle, maxHandle)
	}
	_, err := use(ctx, t, func(device transport.TPM) (none struct{}, err error) {
		switch _, err := readPublic(device, handle); {
		case err == nil:
			return none, fmt.Errorf("%w (%#x)", errOccupied, uint32(handle))
		case !errors.Is(err, errNoKey):
			return none, err
		}
		root, err := tpm2.CreatePrimary{
			PrimaryHandle: t.ownerHandle(), InPublic: tpm2.New2B(tpm2.ECCSRKTemplate),
		}.Execute(device)
		if err != nil {
			return none, fmt.Errorf("make the storage root key: %w", err)
		}
		defer flush(device, root.ObjectHandle, &err)
		rootPublic, err := root.OutPublic.Contents()
		if err != nil {
			return none, fmt.Errorf("read the storage root key: %w", err)
		}
		// Encrypted for the root key, so that the secret does not pass over the
		// board's wires in the clear.
		sealed := tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize,
			tpm2.AESEncryption(128, tpm2.EncryptIn), tpm2.Salted(root.ObjectHandle, *rootPublic))
		parent := tpm2.AuthHandle{Handle: root.ObjectHandle, Name: root.Name, Auth: sealed}
		sensitive := &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: t.opts.KeyAuth}}
		if secret != nil {
			sensitive.Data = tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})
		}
		made, err := tpm2.Create{
			ParentHandle: parent, InPublic: tpm2.New2B(public),
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: sensitive},
		}.Execute(device)
		if err != nil {
			return none, fmt.Errorf("make the key: %w", err)
		}
		parent.Auth = tpm2.PasswordAuth(nil)
		loaded, err := tpm2.Load{ParentHandle: parent, InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(device)
		if err != nil {
			return none, fmt.Errorf("load the key: %w", err)
		}
		defer flush(device, loaded.ObjectHandle, &err)
		return none, t.evict(device, tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name}, handle)
	})
	return err
}

// Remove destroys the key at a handle.
func (t *TPM) Remove(ctx context.Context, handle tpm2.TPMHandle) error {
	_, err := use(ctx, t, func(device transport.TPM) (none struct{}, err error) {
		key, err := readPublic(device, handle)
		if err != nil {
			return none, err
		}
		return none, t.evict(device, tpm2.NamedHandle{Handle: handle, Name: key.Name}, handle)
	})
	return err
}

// evict persists an object at a handle, or removes it from there.
func (t *TPM) evict(device transport.TPM, object tpm2.NamedHandle, handle tpm2.TPMHandle) error {
	_, err := tpm2.EvictControl{
		Auth: t.ownerHandle(), ObjectHandle: object, PersistentHandle: handle,
	}.Execute(device)
	if err != nil {
		return fmt.Errorf("change what the TPM keeps at %#x: %w", uint32(handle), err)
	}
	return nil
}

// flush frees a slot of the TPM, which has few.
func flush(device transport.TPM, handle tpm2.TPMHandle, err *error) {
	_, failed := tpm2.FlushContext{FlushHandle: handle}.Execute(device)
	if failed != nil && *err == nil {
		*err = fmt.Errorf("free a slot of the TPM: %w", failed)
	}
}

// nonceSize is that of our sessions, in bytes.
const nonceSize = 16

// ownerHandle speaks for the owner.
func (t *TPM) ownerHandle() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: authorization(t.opts.OwnerAuth)}
}

// keyHandle speaks for who may use a key.
func (t *TPM) keyHandle(handle tpm2.TPMHandle, name tpm2.TPM2BName) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: handle, Name: name, Auth: authorization(t.opts.KeyAuth)}
}

// authorization proves that a value is known, without saying it. It is good for
// one command.
func authorization(value []byte) tpm2.Session {
	if len(value) == 0 {
		return tpm2.PasswordAuth(nil)
	}
	return tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, tpm2.Auth(value))
}

// errNoKey says that a handle is empty. It is no auth.ErrInvalid: a TPM that is
// provisioned while the device runs has a key then.
var errNoKey = errors.New("the TPM has no key at this handle; provision it, or name its handle")

// A publicKey is what anybody may know of a key.
type publicKey struct {
	tpm2.TPMTPublic
	Name tpm2.TPM2BName
}

func readPublic(device transport.TPM, handle tpm2.TPMHandle) (publicKey, error) {
	answer, err := tpm2.ReadPublic{ObjectHandle: handle}.Execute(device)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return publicKey{}, fmt.Errorf("%w (%#x): %w", errNoKey, uint32(handle), err)
	}
	if err != nil {
		return publicKey{}, fmt.Errorf("look for a key at %#x: %w", uint32(handle), err)
	}
	public, err := answer.OutPublic.Contents()
	if err != nil {
		return publicKey{}, fmt.Errorf("read the key at %#x: %w", uint32(handle), err)
	}
	return publicKey{*public, answer.Name}, nil
}
