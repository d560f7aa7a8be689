// Package bench is what the tests of the programs for keys in hardware share: a
// hub on a real socket, a program beside the test, and a peer that asks for
// client certificates.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/hsm/internal/firmware"
)

// A TB is the part of testing.TB that is needed here.
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Skipf(format string, args ...any)
	TempDir() string
}

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// Device is the device that a Bench's hub knows.
const Device = "dev1"

// A Bench is a hub with one device, and a program to be tried.
type Bench struct {
	TB
	Ctx     context.Context
	Hub     *hubtest.Hub
	Dev     hubtest.Device
	Flags   []string // lead to the hub
	Program firmware.Program
	Env     map[string]string
	Secrets []string // what no program may print
}

// New makes a bench that ends with the test.
func New(t TB, program firmware.Program) *Bench {
	t.Helper()
	hub := hubtest.New(t, nil)
	dev, err := hub.AddDevice(Device)
	if err != nil {
		t.Fatal(err)
	}
	address, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	b := &Bench{TB: t, Ctx: ctx, Hub: hub, Dev: dev, Program: program, Env: map[string]string{}}
	b.Secrets = []string{dev.PrimaryKey, dev.SecondaryKey, "sig="}
	b.Flags = []string{"-host", hub.Host(), "-device", Device, "-ca", b.File("ca.pem", string(hub.CAPEM())), "-endpoint", address.String()}
	return b
}

// File writes a file that ends with the test, and returns its name.
func (b *Bench) File(name, text string) string {
	b.Helper()
	name = filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// A Running is a program that has not ended.
type Running struct {
	*Bench
	stdout, stderr log
	stop           context.CancelFunc
	ended          chan struct{}
	code           int // to be read once ended is closed
}

// Start runs the program beside the test, with the hub's flags before the
// others.
func (b *Bench) Start(stdin string, args ...string) *Running {
	b.Helper()
	ctx, stop := context.WithCancel(b.Ctx)
	r := &Running{Bench: b, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.code = b.Program.Run(ctx, append(append([]string{}, b.Flags...), args...), firmware.Console{
			Env:   func(name string) string { return b.Env[name] },
			Stdin: strings.NewReader(stdin), Stdout: &r.stdout, Stderr: &r.stderr,
		})
	}()
	b.Cleanup(func() { r.End() })
	return r
}

// Run runs the program to its own end.
func (b *Bench) Run(stdin string, args ...string) (code int, stdout, stderr string) {
	b.Helper()
	r := b.Start(stdin, args...)
	select {
	case <-r.ended:
	case <-b.Ctx.Done():
		b.Errorf("the program did not end by itself; it said:\n%s", r.stderr.String())
	}
	return r.End(), r.stdout.String(), r.stderr.String()
}

// Provision has to succeed, and returns what it printed.
func (b *Bench) Provision(stdin string, args ...string) string {
	b.Helper()
	code, stdout, stderr := b.Run(stdin, args...)
	if code != firmware.ExitDone {
		b.Fatalf("%q ended with status %d:\n%s", args, code, stderr)
	}
	return stdout
}

// Enrol has the hub know the device by the thumbprint that provisioning printed,
// and by its keys no more.
func (b *Bench) Enrol(told string) {
	b.Helper()
	_, rest, _ := strings.Cut(told, "sha256 ")
	thumbprint, _, _ := strings.Cut(rest, "\n")
	if err := b.Hub.Device(Device).SetThumbprints(thumbprint, ""); err != nil {
		b.Fatalf("%v; provisioning told %q", err, told)
	}
}

// WaitFor waits until the program has said something on stderr.
func (r *Running) WaitFor(text string) {
	r.Helper()
	if !r.stderr.waitFor(r.Ctx, text) {
		r.Fatalf("the program did not say %q, but:\n%s", text, r.stderr.String())
	}
}

// End interrupts the program, waits for its end and returns its exit status;
// again, the same.
func (r *Running) End() int {
	r.Helper()
	r.stop()
	<-r.ended
	said := r.stdout.String() + r.stderr.String()
	for _, secret := range r.Secrets {
		if secret != "" && strings.Contains(said, secret) {
			r.Errorf("a secret was printed: %q stands in:\n%s", secret, said)
		}
	}
	return r.code
}

// EndWell is End of a program that has to end with success.
func (r *Running) EndWell() {
	r.Helper()
	if got := r.End(); got != firmware.ExitDone {
		r.Errorf("interrupted: got exit status %d, want %d; the program said:\n%s", got, firmware.ExitDone, r.stderr.String())
	}
}

// InStep holds that the program keeps the twin in step: what it reports
// arrives, and what the hub wishes is answered.
func (r *Running) InStep(rpm int) {
	r.Helper()
	if _, err := r.Hub.Device(Device).WaitReported(r.Ctx, "climate.temperature", "21.5"); err != nil {
		r.Fatalf("the hub waits for a report: %v; the program said:\n%s", err, r.stderr.String())
	}
	version, err := r.Hub.Device(Device).SetDesired(fmt.Sprintf(`{"fan":{"rpm":%d}}`, rpm))
	if err != nil {
		r.Fatal(err)
	}
	want := fmt.Sprintf(`{"value":%d,"ac":200,"av":%d}`, rpm, version)
	if twin, err := r.Hub.Device(Device).WaitReported(r.Ctx, "fan.rpm", want); err != nil {
		r.Fatalf("the hub waits for %s: %v; it has %s; the program said:\n%s", want, err, twin.Reported.JSON, r.stderr.String())
	}
}

// Connected waits until the hub has accepted n logins.
func (b *Bench) Connected(n int) {
	b.Helper()
	_, err := b.Hub.Device(Device).Wait(b.Ctx, func(t hubtest.Twin) bool { return t.Connected && b.Hub.Device(Device).Stats().Connects >= n })
	if err != nil {
		b.Fatalf("wait for login %d: %v", n, err)
	}
}

// A log is what a program says, and can be waited for.
type log struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{} // closed by the next Write; nil when nobody waits
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote != nil {
		close(l.wrote)
		l.wrote = nil
	}
	return l.text.Write(p)
}

// String is all that was written so far.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor waits for a text, and tells whether it came before ctx ended.
func (l *log) waitFor(ctx context.Context, text string) bool {
	for {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), text)
		if l.wrote == nil {
			l.wrote = make(chan struct{})
		}
		next := l.wrote
		l.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-next:
		case <-ctx.Done():
			return false
		}
	}
}
