package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/bench"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/firmware"
)

// newBench is a hub, and this program with an emulator as its TPM.
func newBench(t *testing.T) (*bench.Bench, *emulator) {
	t.Helper()
	e := newEmulator(t)
	b := bench.New(t, program())
	b.Flags = append(b.Flags, "-tpm", e.path)
	return b, e
}

// TestSharedAccessKey is a device's life: provisioned, started before its TPM,
// and kept from its TPM by a power cut, when it needs a token.
func TestSharedAccessKey(t *testing.T) {
	b, e := newBench(t)
	keyAuth := b.File("auth", "a value that is needed\n")
	b.Flags = append(b.Flags, "-auth", keyAuth)
	b.Secrets = append(b.Secrets, "a value that is needed")
	b.Provision("", "provision", "sas", b.File("key", b.Dev.PrimaryKey+"\n"))
	e.kill()

	r := b.Start("", "run", "sas")
	r.WaitFor("there is no TPM")
	e.start()
	r.InStep(1200)

	e.kill()
	if err := b.Hub.Device(bench.Device).Cut(); err != nil {
		t.Fatal(err)
	}
	r.WaitFor("gave no token or certificate: auth: sign a token: there is no TPM")
	e.start()
	b.Connected(2)
	r.InStep(1300)
	r.EndWell()

	b.Env["TPM_KEY_AUTH"] = "a guess"
	b.Flags = b.Flags[:len(b.Flags)-2]
	code, _, stderr := b.Run("", "run", "sas")
	if code != firmware.ExitUsage || !strings.Contains(stderr, "refuses the authorization value") || strings.Contains(stderr, "a guess") {
		t.Errorf("a wrong value: got exit status %d and %q, want %d and the reason", code, stderr, firmware.ExitUsage)
	}
	b.Provision("", "remove", "sas")
	delete(b.Env, "TPM_KEY_AUTH")
	r = b.Start("", "run", "sas")
	r.WaitFor("has no key at this handle")
	b.Provision(b.Dev.PrimaryKey, "provision", "sas", "-") // while the other runs
	b.Connected(3)
	r.InStep(1400)
}

// TestCertificate signs in with a key that was made in the TPM.
func TestCertificate(t *testing.T) {
	b, e := newBench(t)
	file := filepath.Join(t.TempDir(), "device.pem")
	b.Enrol(b.Provision("", "provision", "x509", file))
	tpm := e.open(Options{})
	cred := firmware.X509Credential(file, func(ctx context.Context) (crypto.Signer, error) {
		return tpm.ECDSAKey(ctx, x509Handle)
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			peer := bench.NewPeer(t, file, version)
			peer.Knows(e.ctx, cred)
			e.kill()
			peer.Misses(e.ctx, cred, "there is no TPM")
			e.start()
			peer.Knows(e.ctx, cred)
		})
	}

	e.kill()
	r := b.Start("", "run", "x509", file)
	r.WaitFor("there is no TPM")
	e.start()
	r.InStep(1700)
	r.EndWell()
}

// TestRenewalsUnderLoad renews the token again and again, while others use the
// TPM, too.
func TestRenewalsUnderLoad(t *testing.T) {
	b, e := newBench(t)
	b.Provision(b.Dev.PrimaryKey, "provision", "sas", "-")
	tpm := e.open(Options{})
	key, err := tpm.GenerateECDSA(e.ctx, x509Handle)
	if err != nil {
		t.Fatal(err)
	}
	cred := auth.SAS(tpm.HMACKey(sasHandle), nil)
	b.RenewUnderLoad(cred, key)
}

// TestHandleFlag holds that a handle that is given is used.
func TestHandleFlag(t *testing.T) {
	b, _ := newBench(t)
	b.Provision(b.Dev.PrimaryKey, "-handle", "0x81008010", "provision", "sas", "-")
	r := b.Start("", "-handle", "0x81008010", "run", "sas")
	r.InStep(1400)
	r.End()
	for _, wrong := range []string{"0x80000000", "one"} {
		if code, _, stderr := b.Run("", "-handle", wrong, "run", "sas"); code != firmware.ExitUsage || !strings.Contains(stderr, "-handle") || !strings.Contains(stderr, wrong) {
			t.Errorf("-handle %s: got exit status %d and %q, want %d and the range", wrong, code, stderr, firmware.ExitUsage)
		}
	}
	for _, flag := range []string{"-auth", "-owner-auth"} {
		if code, _, stderr := b.Run("", flag, os.DevNull+"/x", "run", "sas"); code != firmware.ExitUsage || !strings.Contains(stderr, flag+": its file") {
			t.Errorf("%s: got exit status %d and %q, want %d and that the file cannot be read", flag, code, stderr, firmware.ExitUsage)
		}
	}
	b.Env["TPM_KEY_AUTH"] = strings.Repeat("x", 33)
	if code, _, stderr := b.Run("", "run", "sas"); code != firmware.ExitUsage || !strings.Contains(stderr, "at most 32 bytes") {
		t.Errorf("a long value: got exit status %d and %q, want %d and the limit", code, stderr, firmware.ExitUsage)
	}
}
