package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

type verdict int

const (
	wrong    verdict = iota // the mutant does not apply, does not compile, or is seen against its word
	killed                  // a test failed
	survived                // no test did
	unseen                  // no test did, and the mutant says why
	applied                 // it compiles, and no test was run
)

// A result is what became of a mutant.
type result struct {
	verdict verdict
	text    string
	took    time.Duration
}

func (r result) String() string { return r.text }

// runTimeout bounds one package's tests. A change that makes a test wait for
// ever is seen by that.
const runTimeout = 5 * time.Minute

// options are how much of the work is done.
type options struct {
	apply bool // no test is run
	quick bool // of a mutant that names tests no others are run
}

// judge tests one mutant. dir is a folder of its own, which it makes and removes.
func judge(ctx context.Context, dir string, m *mutant, opts options) (r result) {
	began := time.Now()
	defer func() {
		r.took = time.Since(began)
		_ = os.RemoveAll(dir) // what stays goes with the folder around it
	}()
	overlay, err := m.overlay(dir)
	if err != nil {
		return result{verdict: wrong, text: "ERROR: " + err.Error()}
	}
	if opts.apply {
		if out, err := command(ctx, "build", overlay, "-o", os.DevNull, "./"+filepath.Dir(m.file)); err != nil {
			return result{verdict: wrong, text: fmt.Sprintf("ERROR: it does not compile: %v\n%s", err, out)}
		}
		return result{verdict: applied, text: "applies and compiles"}
	}
	built := map[string]string{}
	runs := m.runs()
	if opts.quick && len(m.tests) > 0 {
		runs = m.tests
	}
	for _, t := range runs {
		bin, ok := built[t.pkg]
		if !ok {
			if bin, err = build(ctx, dir, overlay, t.pkg); err != nil {
				return result{verdict: wrong, text: "ERROR: " + err.Error()}
			}
			built[t.pkg] = bin
		}
		if by := fails(ctx, bin, t); by != "" {
			if m.unseen != "" {
				return result{verdict: wrong, text: "ERROR: seen by " + t.pkg + " " + by + ", so take its reason away"}
			}
			return result{verdict: killed, text: "killed by " + t.pkg + " " + by}
		}
	}
	if m.unseen != "" {
		return result{verdict: unseen, text: "unseen: " + m.unseen}
	}
	return result{verdict: survived, text: "SURVIVED"}
}

// overlay writes the changed file, and what go build is to know of it.
func (m *mutant) overlay(dir string) (name string, err error) {
	changed, err := m.mutate()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	at, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, filepath.Base(m.file))
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{at: file}})
	if err != nil {
		return "", err
	}
	name = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, changed, 0o644); err != nil {
		return "", err
	}
	return name, os.WriteFile(name, b, 0o644)
}

// build builds the tests of a package.
func build(ctx context.Context, dir, overlay, pkg string) (bin string, err error) {
	bin = filepath.Join(dir, strings.ReplaceAll(pkg, "/", "_")+".test")
	if out, err := command(ctx, "test", overlay, "-c", "-vet=off", "-ldflags=-s -w", "-o", bin, "./"+pkg); err != nil {
		return "", fmt.Errorf("the tests of %s do not compile with it: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

// command runs the go command, with an overlay unless its name is empty.
func command(ctx context.Context, verb, overlay string, args ...string) ([]byte, error) {
	if overlay != "" {
		args = append([]string{"-overlay", overlay}, args...)
	}
	out, err := exec.CommandContext(ctx, "go", append([]string{verb}, args...)...).CombinedOutput()
	return bytes.TrimSpace(out), err
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)|^panic: test timed out after \S+\n\trunning tests:\n\t\t(\S+)|^(goleak: .*)|^(fatal error: .*)`)

// fails runs tests, and returns the name of the one that failed, or "".
func fails(ctx context.Context, bin string, t testRun) string {
	args := []string{"-test.failfast", "-test.timeout", runTimeout.String()}
	if t.pattern != "" {
		args = append(args, "-test.run", t.pattern)
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = t.pkg
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	found := failed.FindStringSubmatch(string(out))
	if found == nil {
		return err.Error()
	}
	return strings.Join(found[1:], "")
}

// baseline runs the tests of the unchanged code.
func baseline(ctx context.Context, dir string, mutants []*mutant) error {
	var pkgs []string
	for _, m := range mutants {
		for _, t := range m.runs() {
			if !slices.Contains(pkgs, t.pkg) {
				pkgs = append(pkgs, t.pkg)
			}
		}
	}
	for _, pkg := range pkgs {
		bin, err := build(ctx, dir, "", pkg)
		if err != nil {
			return err
		}
		if by := fails(ctx, bin, testRun{pkg: pkg}); by != "" {
			return fmt.Errorf("%s of %s fails in the unchanged code: first mend that", by, pkg)
		}
		_ = os.Remove(bin) // it goes with its folder at the latest
	}
	for _, m := range mutants {
		for _, t := range m.tests {
			if t.pattern == "" {
				return fmt.Errorf("mutant %s: a test line needs a pattern", m.name)
			}
		}
	}
	return nil
}
