//go:build cgo

// Command pkcs11 is a device whose key lives behind PKCS#11, in an HSM, a secure
// element or a smart card: it brings a shared access key into it, or has it make
// the key of a certificate, and keeps the twin in step with that. README.md, one
// folder up, shows how to try it.
package main

import (
	"context"
	"crypto"
	"flag"
	"fmt"

	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/firmware"
)

const usage = `
Flags of the token:
  -module FILE      the PKCS#11 library of the HSM's maker, such as
                    /usr/lib/softhsm/libsofthsm2.so
  -token LABEL      the token's label
  -pin FILE         the user's PIN; else PKCS11_PIN
  -key LABEL        the key's label: devicetwin-sas and devicetwin-x509 by default
  -rsa BITS         with provision x509: an RSA key of so many bits, in place of
                    ECDSA with P-256
`

func main() { program().Main() }

func program() firmware.Program {
	return firmware.Program{Name: "pkcs11", Usage: usage, Flags: flags}
}

func flags(f *flag.FlagSet) func(firmware.Kind, func(string) string) (*firmware.Hardware, error) {
	module := f.String("module", "", "")
	label := f.String("token", "", "")
	file := f.String("pin", "", "")
	key := f.String("key", "", "")
	bits := f.Int("rsa", 0, "")
	return func(kind firmware.Kind, env func(string) string) (*firmware.Hardware, error) {
		switch {
		case *module == "":
			return nil, firmware.Usagef("missing -module: the HSM's PKCS#11 library")
		case *label == "":
			return nil, firmware.Usagef("missing -token: the token's label")
		}
		pin, err := firmware.Secret("pin", *file, env, "PKCS11_PIN")
		if err != nil {
			return nil, err
		}
		t, err := Open(&Options{Module: *module, Token: *label, PIN: pin})
		if err != nil {
			return nil, err
		}
		name, remove := *key, t.RemoveHMAC
		if name == "" {
			name = "devicetwin-" + string(kind)
		}
		if kind == firmware.X509 {
			remove = t.RemovePair
		}
		return &firmware.Hardware{
			Place:    fmt.Sprintf("the token %q, as %q", *label, name),
			Signer:   t.HMACKey(name),
			Import:   func(ctx context.Context, secret []byte) error { return t.ImportHMAC(ctx, name, secret) },
			Generate: func(ctx context.Context) (crypto.Signer, error) { return t.Generate(ctx, name, *bits) },
			Key:      func(ctx context.Context) (crypto.Signer, error) { return t.KeyPair(ctx, name) },
			Remove:   func(ctx context.Context) error { return remove(ctx, name) },
			Close:    t.Close,
		}, nil
	}
}
