//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// build builds programs into a new folder.
func build(t *testing.T, packages ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	args := append([]string{"build", "-buildvcs=false", "-o", folder}, packages...)
	if text, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	return folder
}

// A process is a program that runs beside the test.
type process struct {
	*testing.T
	*exec.Cmd
	stdout, stderr told
}

func begin(t *testing.T, c *exec.Cmd) *process {
	t.Helper()
	p := &process{T: t, Cmd: c}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) signal(s os.Signal) {
	p.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.Error(err)
	}
}

// ends holds that it ends well.
func (p *process) ends() {
	p.Helper()
	if err := p.Wait(); err != nil {
		p.Errorf("%q: got %v, want status 0; stdout:\n%sstderr:\n%s", p.Args, err, p.stdout.String(), p.stderr.String())
	}
}

// TestSignals sends real signals to the real program with a hundred devices.
func TestSignals(t *testing.T) {
	t.Parallel()
	h := newHall(t, 101)
	ids := h.ids()
	var lines []string
	for _, d := range h.devices {
		lines = append(lines, d.ConnectionString)
	}
	h.write(lines[:100]...)
	p := begin(t, exec.CommandContext(h.ctx, filepath.Join(build(t, "."), "gateway"), h.flags...))
	h.waitOnline(ids[:100]...)
	h.write(lines[1:]...)
	p.signal(syscall.SIGHUP)
	h.waitOnline(ids[100])
	h.waitOffline(ids[0])
	p.signal(os.Interrupt)
	p.ends()
	h.waitOffline(ids...)
	h.wantConnections("at the end", 1)
	if all := h.hub.Stats(); all.Connects != 101 || all.Takeovers != 0 {
		t.Errorf("the hub saw %+v; want 101 logins, and none taken over", all)
	}
	if got := p.stdout.String(); !strings.HasSuffix(got, "all 100 devices have ended\n") {
		t.Errorf("stdout does not tell the end:\n%s", got)
	}
}

// TestWalk walks through the three terminals of the package's comment.
func TestWalk(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, m := range regexp.MustCompile(`(?m)^//\tgo run \./examples/(.*)$`).FindAllSubmatch(source, -1) {
		commands = append(commands, string(m[1]))
	}
	if len(commands) != 3 {
		t.Fatalf("the package's comment has the commands %q; want three, of the hub, the gateway and the back end", commands)
	}
	h := newHall(t, 0) // for its patience
	folder := build(t, "../hub", ".", "../backend")
	run := func(command string) *process {
		c := exec.CommandContext(h.ctx, "sh", "-c", "exec ./"+command)
		c.Dir, c.Env = folder, append(os.Environ(), "HTTPS_PROXY=")
		return begin(t, c)
	}
	want := func(p *process, text string) {
		t.Helper()
		if !p.stdout.wait(h.ctx, text) {
			t.Fatalf("%q was not printed, but on stdout\n%son stderr\n%s", text, p.stdout.String(), p.stderr.String())
		}
	}
	hub := run(commands[0])
	want(hub, "Ctrl-C ends it.")
	gateway := run(commands[1])
	want(gateway, " 100 of 100 online\n")
	backend := run(commands[2])
	backend.ends()
	want(backend, "It answered after ")
	want(backend, `{"interval":5`)
	gateway.signal(os.Interrupt)
	gateway.ends()
	hub.signal(os.Interrupt)
	hub.ends()
	if got := gateway.stderr.String(); got != "" {
		t.Errorf("got %q on stderr, want nothing", got)
	}
	if n := bytes.Count([]byte(hub.stderr.String()), []byte("msg=connected")); n != 100 {
		t.Errorf("the hub tells of %d logins, want 100", n)
	}
}
