//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSignals sends real signals to the real program.
func TestSignals(t *testing.T) {
	hub := filepath.Join(t.TempDir(), "hub")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", hub, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		folder := t.TempDir()
		c := exec.CommandContext(t.Context(), hub, append(freePorts(), "-info", filepath.Join(folder, "info"))...)
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != "Ctrl-C ends it."; {
		}
		if err := c.Process.Signal(signal); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%v: %v, want status 0", signal, err)
		}
		if left, err := os.ReadDir(folder); len(left) != 0 || err != nil {
			t.Errorf("%v: left behind: %v, %v", signal, left, err)
		}
	}
}
