package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPatience bounds every wait; nothing waits for it that goes well.
const testPatience = time.Minute

// A hall is a hub with devices, a relay before it, and the list of the devices.
type hall struct {
	*testing.T
	ctx     context.Context
	hub     *hubtest.Hub
	relay   *relay
	devices []hubtest.Device
	list    string   // the file
	flags   []string // that lead to hub and list
}

func newHall(t *testing.T, n int) *hall {
	t.Helper()
	hub := hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	at, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	t.Cleanup(cancel)
	h := &hall{T: t, ctx: ctx, hub: hub, relay: newRelay(t, at.String()), list: filepath.Join(t.TempDir(), "devices.txt")}
	var lines []string
	for i := range n {
		d, err := hub.AddDevice(fmt.Sprintf("dev%d", i))
		if err != nil {
			t.Fatal(err)
		}
		h.devices = append(h.devices, d)
		lines = append(lines, d.ConnectionString)
	}
	h.write(lines...)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, hub.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	h.flags = []string{"-devices", h.list, "-ca", ca, "-endpoint", h.relay.listener.Addr().String()}
	return h
}

// write makes the list another one.
func (h *hall) write(lines ...string) {
	h.Helper()
	if err := os.WriteFile(h.list, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		h.Fatal(err)
	}
}

// wait waits for what a device's twin is to be.
func (h *hall) wait(id, what string, is func(hubtest.Twin) bool) hubtest.Twin {
	h.Helper()
	tw, err := h.hub.Device(id).Wait(h.ctx, is)
	if err != nil {
		h.Fatalf("%s is never %s: %v", id, what, err)
	}
	return tw
}

func (h *hall) waitOnline(ids ...string) {
	h.Helper()
	for _, id := range ids {
		h.wait(id, "online, with a reading", func(t hubtest.Twin) bool {
			return t.Connected && bytes.Contains(t.Reported.JSON, []byte(`"readings":`))
		})
	}
}

func (h *hall) waitOffline(ids ...string) {
	h.Helper()
	for _, id := range ids {
		h.wait(id, "offline", func(t hubtest.Twin) bool { return !t.Connected })
	}
}

func (h *hall) setDesired(id, patch string) {
	h.Helper()
	if _, err := h.hub.Device(id).SetDesired(patch); err != nil {
		h.Fatal(err)
	}
}

func (h *hall) waitReported(id, path, value string) {
	h.Helper()
	if _, err := h.hub.Device(id).WaitReported(h.ctx, path, value); err != nil {
		h.Fatal(err)
	}
}

func (h *hall) ids() (ids []string) {
	for _, d := range h.devices {
		ids = append(ids, d.Identity.DeviceID)
	}
	return ids
}

func (h *hall) wantConnections(when string, want int) {
	h.Helper()
	if got := h.relay.count(); got != want {
		h.Errorf("%s: the hub has had %d connections, want %d", when, got, want)
	}
}

// A running gateway is one that has not ended.
type running struct {
	*hall
	hangups chan os.Signal
	stop    context.CancelFunc
	code    chan int
	stdout  told
	stderr  told
}

// start runs the gateway beside the test.
func (h *hall) start(words ...string) *running {
	h.Helper()
	ctx, cancel := context.WithCancel(h.ctx)
	r := &running{hall: h, hangups: make(chan os.Signal), stop: cancel, code: make(chan int, 1)}
	args := append(append([]string{}, h.flags...), words...)
	go func() { r.code <- run(ctx, args, r.hangups, desk.Console{Stdout: &r.stdout, Stderr: &r.stderr}) }()
	h.Cleanup(func() {
		r.end()
		for _, d := range h.devices {
			if text := r.stdout.String() + r.stderr.String(); strings.Contains(text, d.PrimaryKey) || strings.Contains(text, "sig=") {
				h.Fatalf("a secret of %v was printed:\n%s", d.Identity, text)
			}
		}
	})
	return r
}

// end interrupts the gateway and returns its exit status; again, the same.
func (r *running) end() int {
	r.stop()
	code := <-r.code
	r.code <- code
	return code
}

// hangUp says that there is another list.
func (r *running) hangUp() {
	r.Helper()
	select {
	case r.hangups <- syscall.SIGHUP:
	case <-r.ctx.Done():
		r.Fatalf("the gateway takes no SIGHUP; stderr:\n%s", r.stderr.String())
	}
}

// want waits for a text on stdout or stderr.
func (r *running) want(out *told, text string) {
	r.Helper()
	if !out.wait(r.ctx, text) {
		r.Fatalf("%q was not printed, but on stdout\n%son stderr\n%s", text, r.stdout.String(), r.stderr.String())
	}
}

// told is what a program prints, for one who waits for a part of it.
type told struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed with the next Write
}

func (t *told) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
	return t.text.Write(p)
}

func (t *told) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func (t *told) wait(ctx context.Context, part string) bool {
	for {
		t.mu.Lock()
		if strings.Contains(t.text.String(), part) {
			t.mu.Unlock()
			return true
		}
		if t.more == nil {
			t.more = make(chan struct{})
		}
		more := t.more
		t.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}
