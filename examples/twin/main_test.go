package main

import (
	"bufio"
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// A rig is a hub on a real socket, with the device dev1 on it.
type rig struct {
	*testing.T
	ctx   context.Context
	hub   *hubtest.Hub
	dev   hubtest.Device
	flags []string // that lead to the hub
	stdin string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	hub := hubtest.New(t, nil)
	dev, err := hub.AddDevice("dev1")
	if err != nil {
		t.Fatal(err)
	}
	address, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &rig{t, ctx, hub, dev, []string{"-ca", writeCA(t, hub), "-endpoint", address.String()}, ""}
}

// writeCA writes a hub's CA to a file and returns its name.
func writeCA(t *testing.T, hub *hubtest.Hub) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, hub.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (d *rig) env(name string) string {
	if name == desk.DeviceVariable {
		return d.dev.ConnectionString
	}
	return ""
}

func (d *rig) args(words ...string) []string {
	return append(append([]string{}, d.flags...), words...)
}

// run runs the tool to its end.
func (d *rig) run(ctx context.Context, words ...string) (code int, stdout, stderr string) {
	d.Helper()
	var out, errs bytes.Buffer
	code = run(ctx, d.args(words...), desk.Console{Env: d.env, Stdin: strings.NewReader(d.stdin), Stdout: &out, Stderr: &errs})
	d.wantNoSecret(out.String() + errs.String())
	return code, out.String(), errs.String()
}

func (d *rig) wantNoSecret(text string) {
	d.Helper()
	for _, secret := range []string{d.dev.PrimaryKey, d.dev.SecondaryKey, "sig="} {
		if strings.Contains(text, secret) {
			d.Errorf("a secret was printed: %q stands in:\n%s", secret, text)
		}
	}
}

func (d *rig) setDesired(patch string) {
	d.Helper()
	if _, err := d.hub.Device("dev1").SetDesired(patch); err != nil {
		d.Fatal(err)
	}
}

func (d *rig) waitOnline(on bool) {
	d.Helper()
	if _, err := d.hub.Device("dev1").Wait(d.ctx, func(t hubtest.Twin) bool { return t.Connected == on }); err != nil {
		d.Fatal(err)
	}
}

func (d *rig) wantReported(path, value string) {
	d.Helper()
	if _, err := d.hub.Device("dev1").WaitReported(d.ctx, path, value); err != nil {
		d.Error(err)
	}
}

// wantGoodbye holds that the tool left politely.
func (d *rig) wantGoodbye() {
	d.Helper()
	d.waitOnline(false)
	if got := d.hub.Device("dev1").Stats().Disconnects; got != 1 {
		d.Errorf("got %d polite ends at the hub, want 1", got)
	}
}

// A running tool is one that has not ended; its lines are read one by one.
type running struct {
	*testing.T
	interrupt context.CancelFunc
	stdout    *io.PipeReader
	lines     *bufio.Scanner
	stderr    bytes.Buffer  // to be read after end
	spoke     chan struct{} // closed once something stands on stderr
	code      chan int
}

// Write takes what the tool writes to stderr, one call at a time.
func (p *running) Write(b []byte) (int, error) {
	if p.stderr.Len() == 0 {
		close(p.spoke)
	}
	return p.stderr.Write(b)
}

// start runs the tool beside the test.
func (d *rig) start(words ...string) *running {
	d.Helper()
	ctx, cancel := context.WithCancel(d.ctx)
	r, w := io.Pipe()
	p := &running{
		T: d.T, interrupt: cancel, stdout: r, lines: bufio.NewScanner(r),
		spoke: make(chan struct{}), code: make(chan int, 1),
	}
	context.AfterFunc(d.ctx, func() { _ = r.CloseWithError(context.DeadlineExceeded) })
	go func() { p.code <- run(ctx, d.args(words...), desk.Console{Env: d.env, Stdout: w, Stderr: p}) }()
	d.Cleanup(func() {
		p.end()
		d.wantNoSecret(p.stderr.String())
	})
	return p
}

// want reads the next line.
func (p *running) want(why, line string) {
	p.Helper()
	if !p.lines.Scan() {
		p.Fatalf("%s: no line came, but %v; want %s", why, p.lines.Err(), line)
	}
	if got := p.lines.Text(); got != line {
		p.Errorf("%s: got\n%s\nwant\n%s", why, got, line)
	}
}

// end interrupts the tool and returns its exit status; again, the same.
func (p *running) end() int {
	p.interrupt()
	_ = p.stdout.Close() // a line that nobody reads holds nothing up
	code := <-p.code
	p.code <- code
	return code
}

// lapse is a context whose deadline passes when the test says so.
type lapse struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func newLapse(ctx context.Context) *lapse { return &lapse{Context: ctx, done: make(chan struct{})} }

func (l *lapse) pass() { l.once.Do(func() { close(l.done) }) }

func (l *lapse) Done() <-chan struct{} { return l.done }

func (l *lapse) Err() error {
	select {
	case <-l.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestUsageIsThePackagesComment holds the two copies together.
func TestUsageIsThePackagesComment(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.ReplaceAll(file.Doc.Text(), "\n\t", "\n")
	if !strings.HasSuffix(doc, "\n"+usage) {
		t.Errorf("the package's comment does not end in usage; copy it there:\n%s\n---\n%s", doc, usage)
	}
}
