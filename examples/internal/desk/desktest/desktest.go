// Package desktest holds the programs under examples to what a wrong command line
// must lead to.
package desktest

import (
	"bytes"
	"strings"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

// Key is a shared access key that no error may repeat, in base64.
const Key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

// T is what is needed of a test.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Wrong is a command line that cannot be obeyed.
type Wrong struct {
	// Args are the words, Env the environment, and Stdin what is typed.
	Args  []string
	Env   map[string]string
	Stdin string
	// Code is the exit status. 0 means desk.ExitUsage.
	Code int
	// Names are what the error must name: the flag, variable or command, and the
	// value. How it says so is not looked at.
	Names []string
}

// Check runs a program with each wrong command line: it must end with the status,
// print nothing on stdout, and on stderr one line that begins with its name, holds
// the names and no secret.
func Check(t T, program string, run func(args []string, c desk.Console) int, all []Wrong, secrets ...string) {
	t.Helper()
	secrets = append(secrets, Key)
	for _, w := range all {
		if w.Code == 0 {
			w.Code = desk.ExitUsage
		}
		var stdout, stderr bytes.Buffer
		code := run(w.Args, desk.Console{
			Env:   func(name string) string { return w.Env[name] },
			Stdin: strings.NewReader(w.Stdin), Stdout: &stdout, Stderr: &stderr,
		})
		text := stderr.String()
		if code != w.Code || stdout.Len() != 0 {
			t.Errorf("%q: got status %d, stdout %q, stderr %q; want %d and nothing on stdout", w.Args, code, &stdout, text, w.Code)
		}
		if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, program+": ") || !strings.HasSuffix(text, "\n") {
			t.Errorf("%q: got stderr %q; want one line that begins with %s", w.Args, text, program)
		}
		for _, name := range w.Names {
			if !strings.Contains(text, name) {
				t.Errorf("%q: got stderr %q; want %q named", w.Args, text, name)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q: got stderr %q; want it without the secret %q", w.Args, text, secret)
			}
		}
	}
}
