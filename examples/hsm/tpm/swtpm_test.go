package main

import (
	"context"
	"encoding/base64"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// An emulator is a real swtpm, with a state of its own.
type emulator struct {
	t    *testing.T
	ctx  context.Context
	dir  string
	path string // of its socket
	cmd  *exec.Cmd
}

// newEmulator starts a TPM that ends with the test.
func newEmulator(t *testing.T) *emulator {
	t.Helper()
	bench.NeedTool(t, "swtpm", "swtpm")
	// Not t.TempDir: a socket's name has at most 107 bytes.
	dir, err := os.MkdirTemp("", "tpm")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	e := &emulator{t: t, ctx: ctx, dir: dir, path: filepath.Join(dir, "socket")}
	t.Cleanup(func() {
		e.kill()
		cancel()
		_ = os.RemoveAll(dir)
	})
	e.start()
	return e
}

// start powers the TPM up, with the state that it had.
func (e *emulator) start() {
	e.t.Helper()
	e.cmd = exec.CommandContext(e.ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+e.dir,
		"--server", "type=unixio,path="+e.path, "--flags", "not-need-init,startup-clear")
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	// Another process, which has no other way to say that it listens.
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := net.Dial("unix", e.path)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-retry.C:
		case <-e.ctx.Done():
			e.t.Fatalf("swtpm does not listen: %v", err)
		}
	}
}

// kill cuts the TPM's power.
func (e *emulator) kill() {
	if e.cmd == nil {
		return
	}
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
	e.cmd = nil
	_ = os.Remove(e.path)
}

// open opens the TPM.
func (e *emulator) open(opts Options) *TPM {
	e.t.Helper()
	opts.Path = e.path
	tpm, err := Open(&opts)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(tpm.Close)
	return tpm
}

// software holds a secret as the library does.
func software(t *testing.T, secret []byte) auth.Key {
	t.Helper()
	key, err := auth.ParseKey(base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
