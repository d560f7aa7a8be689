// Command tpm is a device whose key lives in a TPM 2.0: it brings a shared
// access key into it, or has it make the key of a certificate, and keeps the
// twin in step with that. README.md, one folder up, shows how to try it.
package main

import (
	"context"
	"crypto"
	"flag"
	"fmt"
	"strconv"

	"github.com/google/go-tpm/tpm2"

	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/firmware"
)

const usage = `
Flags of the TPM:
  -tpm PATH         the device, or the unix socket of an emulator; /dev/tpmrm0
                    by default
  -handle HANDLE    where the key lives in the TPM's own memory, which outlives a
                    reboot: 0x81008001 for sas and 0x81008002 for x509 unless
                    given; tpm2_getcap handles-persistent lists what is taken
  -auth FILE        the value that using the key takes, if it is to take one: at
                    most 32 bytes, which should be random; else TPM_KEY_AUTH
  -owner-auth FILE  the value that the TPM's owner set, if any; else TPM_OWNER_AUTH
`

// The default handles: the owner's, apart from those that the TCG reserves for
// storage root keys.
const (
	sasHandle  = 0x81008001
	x509Handle = 0x81008002
)

func main() { program().Main() }

func program() firmware.Program {
	return firmware.Program{Name: "tpm", Usage: usage, Flags: flags}
}

func flags(f *flag.FlagSet) func(firmware.Kind, func(string) string) (*firmware.Hardware, error) {
	path := f.String("tpm", DefaultPath, "")
	handle := f.String("handle", "", "")
	keyAuth := f.String("auth", "", "")
	ownerAuth := f.String("owner-auth", "", "")
	return func(kind firmware.Kind, env func(string) string) (*firmware.Hardware, error) {
		at, err := readHandle(*handle, kind)
		if err != nil {
			return nil, err
		}
		key, err := firmware.Secret("auth", *keyAuth, env, "TPM_KEY_AUTH")
		if err != nil {
			return nil, err
		}
		owner, err := firmware.Secret("owner-auth", *ownerAuth, env, "TPM_OWNER_AUTH")
		if err != nil {
			return nil, err
		}
		t, err := Open(&Options{Path: *path, KeyAuth: []byte(key), OwnerAuth: []byte(owner)})
		if err != nil {
			return nil, err
		}
		return &firmware.Hardware{
			Place:    fmt.Sprintf("the TPM, at %#x", uint32(at)),
			Signer:   t.HMACKey(at),
			Import:   func(ctx context.Context, secret []byte) error { return t.ImportHMAC(ctx, at, secret) },
			Generate: func(ctx context.Context) (crypto.Signer, error) { return t.GenerateECDSA(ctx, at) },
			Key:      func(ctx context.Context) (crypto.Signer, error) { return t.ECDSAKey(ctx, at) },
			Remove:   func(ctx context.Context) error { return t.Remove(ctx, at) },
			Close:    t.Close,
		}, nil
	}
}

func readHandle(text string, kind firmware.Kind) (tpm2.TPMHandle, error) {
	switch {
	case text == "" && kind == firmware.SAS:
		return sasHandle, nil
	case text == "":
		return x509Handle, nil
	}
	n, err := strconv.ParseUint(text, 0, 32)
	if err != nil || uint32(n) < minHandle || uint32(n) > maxHandle {
		return 0, firmware.Usagef("-handle %q: want one of the owner's persistent handles, %#x to %#x", text, minHandle, maxHandle)
	}
	return tpm2.TPMHandle(n), nil
}
