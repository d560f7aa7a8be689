package transporttest

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// device is the device of most cases.
	device = "dev1"
	// keepAlive is the one of most cases: it does not matter in real time.
	keepAlive = time.Minute
	// noticed is when a dead line must be known: the contract's transports ask
	// for a sign of life after the keep-alive, and wait 10 s for it.
	noticed = keepAlive + 10*time.Second
	// soon bounds what must not depend on the line, with room for a slow
	// machine.
	soon = 10 * time.Second
)

// login is an accepted login.
func login(t TB, p Peer, id string) transport.Login {
	t.Helper()
	l, err := p.Login(id, keepAlive)
	if err != nil {
		t.Fatalf("register %s: %v", id, err)
	}
	return l
}

// dial opens a connection as the device.
func dial(t TB, p Peer) transport.Conn {
	t.Helper()
	return dialWith(t, p.Dialer(nil), login(t, p, device))
}

func dialWith(t TB, d transport.Dialer, l transport.Login) transport.Conn {
	t.Helper()
	c, err := d.Dial(t.Context(), l)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialOpen opens a connection and both features.
func dialOpen(t TB, p Peer) transport.Conn {
	t.Helper()
	c := dial(t, p)
	open(t, c, transport.TwinResponses, "open-1")
	open(t, c, transport.DesiredChanges, "open-2")
	return c
}

// open opens a feature and waits for the hub to accept.
func open(t TB, c transport.Conn, feature transport.Feature, id string) {
	t.Helper()
	send(t, c, transport.Frame{Kind: transport.Open, Feature: feature, ID: id})
	f := receive(t, c)
	if f.Kind != transport.Accepted || f.ID != id {
		t.Fatalf("open %d: got %s; want accepted %s", feature, show(f), id)
	}
}

func getTwin(id string) transport.Frame {
	return transport.Frame{Kind: transport.GetTwin, ID: id}
}

func patchReported(id, body string) transport.Frame {
	return transport.Frame{Kind: transport.PatchReported, ID: id, Body: []byte(body)}
}

func send(t TB, c transport.Conn, f transport.Frame) {
	t.Helper()
	if err := c.Send(t.Context(), f); err != nil {
		t.Fatalf("Send %s: %v", show(f), err)
	}
}

func receive(t TB, c transport.Conn) transport.Frame {
	t.Helper()
	f, err := c.Receive(t.Context())
	if err != nil {
		t.Fatalf("Receive: %v", err)
	}
	return f
}

// ask sends a request and wants its answer next.
func ask(t TB, c transport.Conn, f transport.Frame, status int) transport.Frame {
	t.Helper()
	send(t, c, f)
	got := receive(t, c)
	if got.Kind != transport.Response || got.ID != f.ID || !is(got.Status, status) {
		t.Fatalf("%s: got %s; want response %s with status %d", show(f), show(got), f.ID, status)
	}
	return got
}

// is compares statuses. Over AMQP a hub answers a patch with 200, where over MQTT
// it says 204: either is success.
func is(got, want int) bool { return got == want || want == patched && got == 200 }

// patched is a patch's success.
const patched = 204

// reported asks for the twin and returns its reported half.
func reported(t TB, c transport.Conn, id string) map[string]any {
	t.Helper()
	var twin struct{ Reported map[string]any }
	body := ask(t, c, getTwin(id), 200).Body
	if err := json.Unmarshal(body, &twin); err != nil || twin.Reported == nil {
		t.Fatalf("the hub's twin is %.200q: %v", body, err)
	}
	return twin.Reported
}

func setDesired(t TB, p Peer, patch string) int64 {
	t.Helper()
	version, err := p.SetDesired(device, patch)
	if err != nil {
		t.Fatalf("SetDesired: %v", err)
	}
	return version
}

// show is a frame for an error's text, without its body.
func show(f transport.Frame) string {
	b, err := json.Marshal(struct {
		Kind, ID, Feature string
		Status, Version   int64
		Bytes             int
	}{string(f.Kind), f.ID, string(f.Feature), int64(f.Status), f.Version, len(f.Body)})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// want wants an error that matches all of those.
func want(t TB, what string, err error, wants ...error) {
	t.Helper()
	for _, w := range wants {
		if !errors.Is(err, w) {
			t.Fatalf("%s: got error %v; want it to match %q", what, err, w)
		}
	}
}

// wantSentinel wants an error that matches one of the contract's.
func wantSentinel(t TB, what string, err error) {
	t.Helper()
	for _, s := range []error{
		transport.ErrClosed, transport.ErrLost, transport.ErrStalled, transport.ErrProtocol, transport.ErrUnauthorized,
		transport.ErrUnavailable, transport.ErrThrottled, transport.ErrQuota, transport.ErrNotFound, transport.ErrUnsupported,
		transport.ErrTooLarge,
	} {
		if errors.Is(err, s) {
			return
		}
	}
	t.Fatalf("%s: got error %v; want it to match a sentinel of package transport", what, err)
}

// wantDead wants a connection to fail every call, at once and likewise.
func wantDead(t TB, c transport.Conn, cause error) {
	t.Helper()
	for range 2 {
		_, err := c.Receive(t.Context())
		want(t, "Receive on a dead connection", err, cause)
		want(t, "Send on a dead connection", c.Send(t.Context(), getTwin("dead")), cause)
	}
}

// wantAlive wants a connection with open features to work.
func wantAlive(t TB, c transport.Conn) {
	t.Helper()
	ask(t, c, getTwin("alive"), 200)
}

// within waits for an outcome, and fails when it takes longer.
func within[T any](t TB, what string, limit time.Duration, outcome <-chan T) T {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v := <-outcome:
		return v
	case <-timer.C:
		t.Fatalf("%s: not within %v", what, limit)
	}
	var none T
	return none // Fatalf has ended the goroutine
}

// background runs f and returns its outcome.
func background[T any](f func() T) <-chan T {
	done := make(chan T, 1)
	go func() { done <- f() }()
	return done
}

// receiving receives until the connection fails, and tells how.
func receiving(ctx context.Context, c transport.Conn) <-chan error {
	return background(func() error {
		for {
			if _, err := c.Receive(ctx); err != nil {
				return err
			}
		}
	})
}

// mustStall makes the device's line half-open.
func mustStall(t TB, p Peer) {
	t.Helper()
	if err := p.Stall(device, true); err != nil {
		t.Fatalf("stall the line: %v", err)
	}
}
