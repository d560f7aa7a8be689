//go:build cgo

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience bounds every wait; nothing waits for it that goes well.
	patience = time.Minute
	label    = "board"
	userPIN  = "648219"
)

// An hsm is a real SoftHSM, with a token of its own. SoftHSM finds it through
// the environment, so these tests run one after the other.
type hsm struct {
	t      *testing.T
	ctx    context.Context
	module string
	store  string // the folder of its tokens
}

// newHSM makes a token that ends with the test.
func newHSM(t *testing.T) *hsm {
	t.Helper()
	bench.NeedTool(t, "softhsm2-util", "softhsm2")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	h := &hsm{t: t, ctx: ctx, module: module(t), store: filepath.Join(t.TempDir(), "tokens")}
	if err := os.Mkdir(h.store, 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "softhsm2.conf")
	if err := os.WriteFile(config, []byte("directories.tokendir = "+h.store+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", config)
	h.initialize(label)
	return h
}

// initialize makes another token.
func (h *hsm) initialize(label string) {
	h.t.Helper()
	text, err := exec.CommandContext(h.ctx, "softhsm2-util", "--init-token", "--free",
		"--label", label, "--pin", userPIN, "--so-pin", "35791113").CombinedOutput()
	if err != nil {
		h.t.Fatalf("softhsm2-util: %v\n%s", err, text)
	}
}

// module finds the library, which each distribution puts elsewhere.
func module(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib*/pkcs11/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	bench.Missing(t, "softhsm2-util is installed, and libsofthsm2.so is in none of the usual folders; on Debian: apt-get install libsofthsm2")
	return ""
}

// unplug takes the token away, and returns what plugs it in again.
func (h *hsm) unplug() (plugIn func()) {
	h.t.Helper()
	away := strings.TrimSuffix(h.store, "tokens") + "away"
	move := func(from, to string) {
		h.t.Helper()
		if err := os.Rename(from, to); err != nil {
			h.t.Fatal(err)
		}
	}
	move(h.store, away)
	if err := os.Mkdir(h.store, 0o700); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		h.t.Helper()
		if err := os.RemoveAll(h.store); err != nil {
			h.t.Fatal(err)
		}
		move(away, h.store)
	}
}

// open opens the token.
func (h *hsm) open(pin string) *Token {
	h.t.Helper()
	token, err := Open(&Options{Module: h.module, Token: label, PIN: pin})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(token.Close)
	return token
}
