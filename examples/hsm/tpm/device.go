package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/owner"
)

// DefaultPath is the kernel's resource manager, which lets several programs
// use the TPM. /dev/tpm0 is for one.
const DefaultPath = "/dev/tpmrm0"

// maxAuth is the longest authorization value: the size of the digest that names
// our objects (TPM 2.0 Part 1, "Authorization Values").
const maxAuth = 32

// Options say which TPM, and what it asks for.
type Options struct {
	// Path is the device, or the unix socket of an emulator; empty means
	// DefaultPath.
	Path string
	// KeyAuth is the value that using a key takes, at most 32 bytes; empty means
	// that whoever may open the device may use the key. It should be random:
	// the TPM does not count wrong ones (see template), and it does not leave
	// this process in the clear.
	KeyAuth []byte
	// OwnerAuth is the value that the owner's hierarchy takes for storing and
	// removing keys; empty as on most boards.
	OwnerAuth []byte
}

// A TPM is a TPM 2.0. All methods may be called concurrently: its goroutine,
// which Close ends, lets one caller at a time use it. A context that ends, ends
// the waiting: the command under way, which nothing can stop, comes to its end
// first.
type TPM struct {
	owner *owner.Owner[transport.TPMCloser]
	opts  Options
}

// Open makes a TPM. It does no I/O: the device is opened when it is needed, and
// anew after it failed.
func Open(opts *Options) (*TPM, error) {
	t := &TPM{}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Path == "" {
		t.opts.Path = DefaultPath
	}
	if len(t.opts.KeyAuth) > maxAuth || len(t.opts.OwnerAuth) > maxAuth {
		return nil, fmt.Errorf("%w: an authorization value of a TPM has at most %d bytes", auth.ErrInvalid, maxAuth)
	}
	t.owner = owner.New(owner.Device[transport.TPMCloser]{
		Open:   func() (transport.TPMCloser, error) { return open(t.opts.Path) },
		Close:  func(device transport.TPMCloser) { _ = device.Close() }, // there is nothing to save
		Broken: func(err error) bool { return !answered(err) },
	})
	return t, nil
}

// Close closes the device once the command under way has come to its end.
func (t *TPM) Close() { t.owner.Close() }

// use has the TPM do something when its turn has come.
func use[T any](ctx context.Context, t *TPM, f func(transport.TPM) (T, error)) (T, error) {
	return owner.Do(ctx, t.owner, func(device transport.TPMCloser) (T, error) {
		value, err := f(device)
		return value, explain(t.opts.Path, err)
	})
}

// open opens a device, or the socket of an emulator.
func open(path string) (transport.TPMCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, explain(path, err)
	}
	var device transport.TPMCloser
	if info.Mode()&fs.ModeSocket != 0 {
		device, err = linuxudstpm.Open(path)
	} else {
		device, err = linuxtpm.Open(path)
	}
	return device, explain(path, err)
}

// answered reports whether the TPM itself said no, so that the way to it is
// well.
func answered(err error) bool {
	var code tpm2.TPMRC
	return errors.As(err, &code) || errors.Is(err, auth.ErrInvalid)
}

// explain says what to do about an error of the way to the TPM, or of the TPM.
func explain(path string, err error) error {
	var code tpm2.TPMRC
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no TPM at %s: switch it on in the board's firmware, see that the kernel has its driver (tpm_tis, tpm_crb), or name another: %w", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not use %s: add it to the device's group, which is tss on most systems: %w", path, err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("another program has %s to itself: use the resource manager, %s, which several may: %w", path, DefaultPath, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: start the emulator: %w", path, err)
	case !errors.As(err, &code):
		return err
	}
	is := func(codes ...tpm2.TPMRC) bool {
		for _, c := range codes {
			if errors.Is(code, c) {
				return true
			}
		}
		return false
	}
	switch {
	case is(tpm2.TPMRCAuthFail, tpm2.TPMRCBadAuth):
		return fmt.Errorf("%w: the TPM refuses the authorization value; give the one that the key was stored with, or the owner's: %w", auth.ErrInvalid, err)
	case is(tpm2.TPMRCLockout):
		return fmt.Errorf("the TPM is locked after wrong authorization values; wait, or have its owner reset the lock (tpm2_dictionarylockout -c): %w", err)
	case is(tpm2.TPMRCInitialize):
		return fmt.Errorf("the TPM was not started (TPM2_Startup): that is the firmware's or the emulator's duty (swtpm: --flags startup-clear): %w", err)
	case is(tpm2.TPMRCNVSpace):
		return fmt.Errorf("the TPM has no room for another key; remove one (tpm2_getcap handles-persistent lists them): %w", err)
	case is(tpm2.TPMRCObjectMemory, tpm2.TPMRCSessionMemory, tpm2.TPMRCObjectHandles, tpm2.TPMRCSessionHandles):
		return fmt.Errorf("the TPM is full of what other programs left in it; use the resource manager, %s, or flush it (tpm2_flushcontext -t -l -s): %w", DefaultPath, err)
	}
	return err
}
