package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/owner"
)

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestHMACIsThatOfSoftware(t *testing.T) {
	e := newEmulator(t)
	for _, keyAuth := range []string{"", "a value that is needed"} {
		tpm := e.open(Options{KeyAuth: []byte(keyAuth)})
		for _, size := range []int{1, 16, 32, 63, 64, 65, 200} {
			t.Run(fmt.Sprintf("a key of %d bytes, authorization %q", size, keyAuth), func(t *testing.T) {
				secret := random(size)
				if err := tpm.ImportHMAC(e.ctx, sasHandle, secret); err != nil {
					t.Fatal(err)
				}
				for _, n := range []int{0, 1, 100, 1023, 1024, 1025, 2048, 5000} {
					data := random(n)
					got, err := tpm.HMACKey(sasHandle).Sign(e.ctx, data)
					want, _ := software(t, secret).Sign(e.ctx, data)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes: got %x (%v), want %x", n, got, err, want)
					}
				}
				if err := tpm.Remove(e.ctx, sasHandle); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestKeysOutliveAPowerCut cuts it right after they were used.
func TestKeysOutliveAPowerCut(t *testing.T) {
	e := newEmulator(t)
	tpm := e.open(Options{KeyAuth: []byte("value")})
	secret := random(32)
	if err := tpm.ImportHMAC(e.ctx, sasHandle, secret); err != nil {
		t.Fatal(err)
	}
	key, err := tpm.GenerateECDSA(e.ctx, x509Handle)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := software(t, secret).Sign(e.ctx, []byte("data"))
	// More cuts than a TPM forgives guesses (32 by default).
	for cut := range 40 {
		got, err := tpm.HMACKey(sasHandle).Sign(e.ctx, []byte("data"))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("after %d cuts: got %x (%v), want %x", cut, got, err, want)
		}
		e.kill()
		if _, err := tpm.HMACKey(sasHandle).Sign(e.ctx, []byte("data")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("without power: got %v, want that there is no TPM", err)
		}
		e.start()
	}
	again, err := tpm.ECDSAKey(e.ctx, x509Handle)
	if err != nil || !again.public.Equal(key.Public()) {
		t.Errorf("got another ECDSA key (%v), want the one that was made", err)
	}
}

func TestECDSASignsEveryDigest(t *testing.T) {
	e := newEmulator(t)
	tpm := e.open(Options{KeyAuth: []byte("value")})
	key, err := tpm.GenerateECDSA(e.ctx, x509Handle)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		digest := random(hash.Size())
		signature, err := key.Sign(nil, digest, hash)
		if err != nil || !ecdsa.VerifyASN1(key.public, digest, signature) {
			t.Errorf("%v: got %x (%v), want a signature that verifies", hash, signature, err)
		}
		digest[0] ^= 1
		if ecdsa.VerifyASN1(key.public, digest, signature) {
			t.Errorf("%v: the signature is good for another digest", hash)
		}
	}
}

// TestKeysDoNotLeave asks for them in each way that a TPM has.
func TestKeysDoNotLeave(t *testing.T) {
	e := newEmulator(t)
	tpm := e.open(Options{})
	if err := tpm.ImportHMAC(e.ctx, sasHandle, random(32)); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.GenerateECDSA(e.ctx, x509Handle); err != nil {
		t.Fatal(err)
	}
	for _, handle := range []tpm2.TPMHandle{sasHandle, x509Handle} {
		_, err := owner.Do(e.ctx, tpm.owner, func(device transport.TPMCloser) (none struct{}, _ error) {
			public, err := readPublic(device, handle)
			if err != nil {
				return none, err
			}
			key := tpm.keyHandle(handle, public.Name)
			if _, err := (tpm2.Unseal{ItemHandle: key}).Execute(device); !answered(err) {
				t.Errorf("unseal %#x: got %v, want a refusal", handle, err)
			}
			duplicate := tpm2.Duplicate{ObjectHandle: key, NewParentHandle: tpm2.TPMRHNull, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}}
			if _, err := duplicate.Execute(device); !answered(err) {
				t.Errorf("duplicate %#x: got %v, want a refusal", handle, err)
			}
			return none, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingIsLeftInTheTPM counts its slots, of which it has three or so.
func TestNothingIsLeftInTheTPM(t *testing.T) {
	e := newEmulator(t)
	tpm := e.open(Options{KeyAuth: []byte("value")})
	for range 5 {
		if err := tpm.ImportHMAC(e.ctx, sasHandle, random(32)); err != nil {
			t.Fatal(err)
		}
		key, err := tpm.GenerateECDSA(e.ctx, x509Handle)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := tpm.HMACKey(sasHandle).Sign(e.ctx, random(2000)); err != nil {
				t.Fatal(err)
			}
			if _, err := key.Sign(nil, random(32), crypto.SHA256); err != nil {
				t.Fatal(err)
			}
			if _, err := e.open(Options{KeyAuth: []byte("guess")}).HMACKey(sasHandle).Sign(e.ctx, random(2000)); err == nil {
				t.Fatal("a wrong value was taken")
			}
		}
		for _, handle := range []tpm2.TPMHandle{sasHandle, x509Handle} {
			if err := tpm.Remove(e.ctx, handle); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, first := range map[string]uint32{"objects": 0x80000000, "loaded sessions": 0x02000000, "saved sessions": 0x03000000, "persistent keys": 0x81000000} {
		left, err := use(e.ctx, tpm, func(device transport.TPM) (int, error) {
			answer, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(device)
			if err != nil {
				return 0, err
			}
			handles, err := answer.CapabilityData.Data.Handles()
			if err != nil {
				return 0, err
			}
			return len(handles.Handle), nil
		})
		if err != nil || left != 0 {
			t.Errorf("%d %s were left (%v), want none", left, name, err)
		}
	}
}

func TestManyCallersSignAtOnce(t *testing.T) {
	e := newEmulator(t)
	tpm := e.open(Options{})
	secret := random(32)
	if err := tpm.ImportHMAC(e.ctx, sasHandle, secret); err != nil {
		t.Fatal(err)
	}
	key, err := tpm.GenerateECDSA(e.ctx, x509Handle)
	if err != nil {
		t.Fatal(err)
	}
	known := software(t, secret)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 20 {
				data := random(32)
				got, err := tpm.HMACKey(sasHandle).Sign(e.ctx, data)
				if want, _ := known.Sign(e.ctx, data); err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %x (%v), want %x", got, err, want)
				}
				signature, err := key.Sign(nil, data, crypto.SHA256)
				if err != nil || !ecdsa.VerifyASN1(key.public, data, signature) {
					t.Errorf("got %x (%v), want a signature that verifies", signature, err)
				}
			}
		})
	}
	callers.Wait()
}

func TestRefusals(t *testing.T) {
	e := newEmulator(t)
	tpm := e.open(Options{KeyAuth: []byte("right")})
	if err := tpm.ImportHMAC(e.ctx, sasHandle, random(32)); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.GenerateECDSA(e.ctx, x509Handle); err != nil {
		t.Fatal(err)
	}
	const guess = "a guess"
	sign := func(tpm *TPM, handle tpm2.TPMHandle) error {
		_, err := tpm.HMACKey(handle).Sign(e.ctx, []byte("data"))
		return err
	}
	find := func(tpm *TPM, handle tpm2.TPMHandle) error {
		_, err := tpm.ECDSAKey(e.ctx, handle)
		return err
	}
	signFound := func(tpm *TPM) error {
		key, err := tpm.ECDSAKey(e.ctx, x509Handle)
		if err != nil {
			return err
		}
		_, err = key.Sign(nil, random(32), crypto.SHA256)
		return err
	}
	ended, cancel := context.WithCancel(e.ctx)
	cancel()
	_, late := tpm.HMACKey(sasHandle).Sign(ended, nil)
	_, long := Open(&Options{KeyAuth: random(33)})
	tests := []struct {
		desc string
		err  error
		is   error
		want string
	}{
		{"the handle is taken", tpm.ImportHMAC(e.ctx, sasHandle, random(32)), auth.ErrInvalid, "remove it first, or take another handle (0x81008001)"},
		{"the handle is none of ours", tpm.ImportHMAC(e.ctx, 0x80000000, random(32)), auth.ErrInvalid, "0x81000000 to 0x817fffff"},
		{"the key is empty", tpm.ImportHMAC(e.ctx, 0x81008005, nil), auth.ErrInvalid, "the shared key is empty"},
		{"there is no key", sign(tpm, 0x81008005), errNoKey, "provision it"},
		{"there is no key to be found", find(tpm, 0x81008005), errNoKey, "provision it"},
		{"there is no key to remove", tpm.Remove(e.ctx, 0x81008005), errNoKey, "provision it"},
		{"an ECDSA key is no HMAC key", sign(tpm, x509Handle), auth.ErrInvalid, "none for HMAC"},
		{"an HMAC key is no ECDSA key", find(tpm, sasHandle), auth.ErrInvalid, "none of ECDSA"},
		{"a wrong value for a token", sign(e.open(Options{KeyAuth: []byte(guess)}), sasHandle), auth.ErrInvalid, "refuses the authorization value"},
		{"no value for a token", sign(e.open(Options{}), sasHandle), auth.ErrInvalid, "refuses the authorization value"},
		{"a wrong value for TLS", signFound(e.open(Options{KeyAuth: []byte(guess)})), auth.ErrInvalid, "refuses the authorization value"},
		{"a wrong value of the owner", e.open(Options{OwnerAuth: []byte(guess)}).ImportHMAC(e.ctx, 0x81008005, random(32)), auth.ErrInvalid, "or the owner's"},
		{"a wrong value of the owner, to remove", e.open(Options{OwnerAuth: []byte(guess)}).Remove(e.ctx, sasHandle), auth.ErrInvalid, "or the owner's"},
		{"a value that is too long", long, auth.ErrInvalid, "at most 32 bytes"},
		{"a context that had ended", late, context.Canceled, ""},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			if !errors.Is(tt.err, tt.is) || !strings.Contains(fmt.Sprint(tt.err), tt.want) {
				t.Errorf("got %v, want one that is %q and says %q", tt.err, tt.is, tt.want)
			}
			if strings.Contains(fmt.Sprint(tt.err), guess) {
				t.Errorf("an authorization value stands in %q", tt.err)
			}
		})
	}
	if err := sign(tpm, sasHandle); err != nil {
		t.Errorf("after all that, the right value: %v", err)
	}
}

// TestWaysToTheTPM needs none.
func TestWaysToTheTPM(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	signAt := func(path string) error {
		tpm, err := Open(&Options{Path: path})
		if err != nil {
			return err
		}
		defer tpm.Close()
		_, err = tpm.HMACKey(sasHandle).Sign(t.Context(), nil)
		return err
	}
	at := func(err error) error {
		return explain("/dev/tpm0", &fs.PathError{Op: "open", Path: "/dev/tpm0", Err: err})
	}
	tests := []struct {
		desc string
		err  error
		want string
	}{
		{"no device", signAt(filepath.Join(t.TempDir(), "tpmrm0")), "switch it on in the board's firmware"},
		{"a file", signAt(file), "not a device"},
		{"not our device", at(syscall.EACCES), "add it to the device's group"},
		{"somebody else's device", at(syscall.EBUSY), "use the resource manager, /dev/tpmrm0"},
		{"an emulator that ended", at(syscall.ECONNREFUSED), "start the emulator"},
		{"a TPM that was not started", explain("", tpm2.TPMRCInitialize), "startup-clear"},
		{"a TPM that is locked", explain("", tpm2.TPMRCLockout), "have its owner reset the lock"},
		{"a TPM without room", explain("", tpm2.TPMRCNVSpace), "remove one"},
		{"a TPM that others filled", explain("", tpm2.TPMRCObjectMemory), "flush it"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			if !strings.Contains(fmt.Sprint(tt.err), tt.want) {
				t.Errorf("got %v, want one that says %q", tt.err, tt.want)
			}
			if errors.Is(tt.err, auth.ErrInvalid) {
				t.Errorf("got %v, which the client would give up over; waiting may mend it", tt.err)
			}
		})
	}
	if got := explain("", errOccupied); got != errOccupied {
		t.Errorf("an error that says all: got %v, want it as it is", got)
	}
}
