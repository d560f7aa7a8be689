//go:build cgo

package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/bench"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/firmware"
)

// newBench is a hub, and this program with SoftHSM as its HSM.
func newBench(t *testing.T) (*bench.Bench, *hsm) {
	t.Helper()
	h := newHSM(t)
	b := bench.New(t, program())
	b.Flags = append(b.Flags, h.flags()...)
	b.Env["PKCS11_PIN"] = userPIN
	b.Secrets = append(b.Secrets, userPIN)
	return b, h
}

// flags lead to the token.
func (h *hsm) flags() []string { return []string{"-module", h.module, "-token", label} }

// TestSharedAccessKey is a device's life: provisioned, started before its token
// is plugged in, and kept from its token when it needs a new SAS token.
func TestSharedAccessKey(t *testing.T) {
	b, h := newBench(t)
	b.Provision("", "provision", "sas", b.File("key", b.Dev.PrimaryKey+"\n"))
	plugIn := h.unplug()
	delete(b.Env, "PKCS11_PIN")
	r := b.Start("", "-pin", b.File("pin", userPIN+"\n"), "run", "sas")
	r.WaitFor("there is no token")
	plugIn()
	r.InStep(1200)

	plugIn = h.unplug()
	if err := b.Hub.Device(bench.Device).Cut(); err != nil {
		t.Fatal(err)
	}
	r.WaitFor("gave no token or certificate: auth: sign a token: the token has no key of this label")
	plugIn()
	b.Connected(2)
	r.InStep(1300)
	r.EndWell()

	b.Env["PKCS11_PIN"] = "111111"
	b.Secrets = append(b.Secrets, "111111")
	for _, command := range [][]string{{"run", "sas"}, {"remove", "sas"}, {"run", "x509", b.Flags[5]}} {
		code, _, stderr := b.Run("", command...)
		if code != firmware.ExitUsage || !strings.Contains(stderr, "the token refuses the PIN") {
			t.Errorf("%v with a wrong PIN: got exit status %d and %q, want %d and the reason", command, code, stderr, firmware.ExitUsage)
		}
	}
	b.Env["PKCS11_PIN"] = userPIN
	b.Provision("", "remove", "sas")
	if code, _, _ := b.Run("", "remove", "sas"); code != firmware.ExitFailed {
		t.Errorf("removed again: got exit status %d, want %d", code, firmware.ExitFailed)
	}
}

// TestCertificate signs in with keys that were made in the token.
func TestCertificate(t *testing.T) {
	b, h := newBench(t)
	for _, kind := range []string{"0", "2048"} {
		file := filepath.Join(t.TempDir(), kind+".pem")
		if told := b.Provision("", "-key", kind, "-rsa", kind, "provision", "x509", file); !strings.Contains(told, "sha256 ") {
			t.Errorf("got %q, want thumbprints", told)
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tls.VersionName(version)+", RSA bits "+kind, func(t *testing.T) {
				token := h.open(userPIN)
				cred := firmware.X509Credential(file, func(ctx context.Context) (crypto.Signer, error) {
					return token.KeyPair(ctx, kind)
				})
				peer := bench.NewPeer(t, file, version)
				peer.Knows(h.ctx, cred)
				plugIn := h.unplug()
				peer.Misses(h.ctx, cred, "the token has no key of this label")
				peer.Misses(h.ctx, cred, "there is no token")
				plugIn()
				peer.Knows(h.ctx, cred)
				token.Close()
			})
		}
		b.Provision("", "-key", kind, "remove", "x509")
	}

	file := filepath.Join(t.TempDir(), "device.pem")
	b.Enrol(b.Provision("", "provision", "x509", file))
	plugIn := h.unplug()
	r := b.Start("", "run", "x509", file)
	r.WaitFor("there is no token")
	plugIn()
	r.InStep(1700)
	r.EndWell()
}

// TestRenewalsUnderLoad renews the SAS token again and again, while others use
// the HSM, too.
func TestRenewalsUnderLoad(t *testing.T) {
	b, h := newBench(t)
	b.Provision(b.Dev.PrimaryKey, "-key", "board's", "provision", "sas", "-")
	token := h.open(userPIN)
	pair, err := token.Generate(h.ctx, "x509", 0)
	if err != nil {
		t.Fatal(err)
	}
	cred := auth.SAS(token.HMACKey("board's"), nil)
	b.RenewUnderLoad(cred, pair)
}

func TestFlags(t *testing.T) {
	b := bench.New(t, program())
	for _, tt := range []struct {
		flags   []string
		missing string
	}{{nil, "missing -module"}, {[]string{"-module", "/no/such.so"}, "missing -token"}, {[]string{"-token", "t"}, "missing -module"}} {
		flags := tt.flags
		if code, _, stderr := b.Run("", append(flags, "run", "sas")...); code != firmware.ExitUsage || !strings.Contains(stderr, tt.missing) {
			t.Errorf("%q: got exit status %d and %q, want %d and what is missing", flags, code, stderr, firmware.ExitUsage)
		}
	}
	if code, _, stderr := b.Run("", "-module", "/no/such.so", "-token", "t", "-pin", "/no/pin", "run", "sas"); code != firmware.ExitUsage || !strings.Contains(stderr, "-pin: its file") {
		t.Errorf("no PIN file: got exit status %d and %q, want %d and the reason", code, stderr, firmware.ExitUsage)
	}
	if code, _, stderr := b.Run("", "-module", "/no/such.so", "-token", "t", "remove", "sas"); code != firmware.ExitFailed || !strings.Contains(stderr, "no PKCS#11 module at /no/such.so") {
		t.Errorf("no module: got exit status %d and %q, want %d and the reason", code, stderr, firmware.ExitFailed)
	}
}
