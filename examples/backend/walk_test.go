//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// A process is a program of the README's walk, from the shell.
type process struct {
	*testing.T
	*exec.Cmd
	lines  *bufio.Scanner
	stdout bytes.Buffer // what was read of it
	stderr bytes.Buffer
}

// want reads on until a line with the text comes.
func (p *process) want(text string) {
	p.Helper()
	for p.lines.Scan() {
		p.stdout.WriteString(p.lines.Text() + "\n")
		if strings.Contains(p.lines.Text(), text) {
			return
		}
	}
	_ = p.Wait()
	p.Fatalf("%s: no %q came on stdout, but\n%sand on stderr\n%s", p.Args[2], text, &p.stdout, &p.stderr)
}

// ends waits for the end.
func (p *process) ends(code int) {
	p.Helper()
	for p.lines.Scan() {
		p.stdout.WriteString(p.lines.Text() + "\n")
	}
	_ = p.Wait() // its status is looked at below
	if got := p.ProcessState.ExitCode(); got != code {
		p.Errorf("%s: got status %d, want %d; stdout:\n%sstderr:\n%s", p.Args[2], got, code, &p.stdout, &p.stderr)
	}
}

func (p *process) interrupt() {
	if err := p.Process.Signal(os.Interrupt); err != nil {
		p.Error(err)
	}
}

// TestWalk walks through the README's three terminals, by the commands that
// stand there, and by Ctrl-C.
func TestWalk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", folder, "../hub", "../twin", ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, m := range regexp.MustCompile(`(?m)^go run \./examples/((?:hub|twin|backend) .*hub\.json.*)$`).FindAllSubmatch(readme, -1) {
		if command := string(m[1]); !strings.Contains(command, " -events ") && !strings.Contains(command, " send ") {
			commands = append(commands, command) // the others are the section's on telemetry
		}
	}
	if len(commands) != 4 {
		t.Fatalf("README.md has the commands %q; want four: hub, twin report, twin watch, backend", commands)
	}
	start := func(command string) *process {
		t.Helper()
		p := &process{T: t, Cmd: exec.CommandContext(t.Context(), "sh", "-c", "exec ./"+command)}
		p.Dir = folder
		p.Env = append(os.Environ(), "HTTPS_PROXY=")
		p.Stderr = &p.stderr
		r, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		p.lines = bufio.NewScanner(r)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		return p
	}

	hub := start(commands[0])
	hub.want("Ctrl-C ends it.")
	report := start(commands[1])
	report.want(`{"version":2}`)
	report.ends(desk.ExitDone)
	watch := start(commands[2])
	watch.want(`"cause":"start"`)
	backend := start(commands[3])
	backend.ends(desk.ExitDone)
	_, shown, _ := strings.Cut(string(readme), "```\nIt answered after ")
	shown, _, _ = strings.Cut(shown, "```")
	_, shown, _ = strings.Cut(shown, ": ") // how long it took is the machine's
	answer, found, _ := strings.Cut(shown, "\n\n")
	if got := backend.stdout.String(); shown == "" || !strings.Contains(got, answer) || !strings.HasSuffix(got, found) {
		t.Errorf("backend: got\n%s\nwant what README.md shows:\n%s", got, shown)
	}
	watch.want(`"fanOn":true`)
	watch.interrupt()
	watch.ends(desk.ExitDone)

	backend = start(commands[3]) // with no device to answer
	backend.want("it is not connected")
	backend.interrupt()
	backend.ends(desk.ExitFailed)
	if got := backend.stderr.String(); !strings.HasPrefix(got, "backend: interrupted") {
		t.Errorf("backend: got stderr %q; want that it was interrupted", got)
	}
	hub.interrupt()
	hub.ends(desk.ExitDone)
	if _, err := os.Stat(filepath.Join(folder, "hub.json")); !os.IsNotExist(err) {
		t.Errorf("hub.json is still there: %v", err)
	}
}
