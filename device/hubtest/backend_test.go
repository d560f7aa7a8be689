package hubtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
)

func TestWait(t *testing.T) { bubble(t, testWait) }
func testWait(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	go func() {
		time.Sleep(time.Minute)
		login(t, h, d).play(subscribed + patchOne + patchedTo2)
	}()
	start := time.Now()
	tw, err := h.Device("dev1").Wait(ctx, func(tw Twin) bool { return tw.Connected })
	if err != nil || !tw.Connected || time.Since(start) != time.Minute {
		t.Errorf("Wait for connection: got %+v, %v after %v", tw, err, time.Since(start))
	}
	tw, err = h.Device("dev1").WaitReported(ctx, "a", `1.0`)
	if err != nil || string(tw.Reported.JSON) != `{"a":1}` {
		t.Errorf("WaitReported: got %s, %v", tw.Reported.JSON, err)
	}
	if _, err := h.Device("dev1").WaitReported(ctx, "a.b", ``); err != nil {
		t.Errorf("WaitReported for nothing: got %v", err)
	}
	_, err = h.Device("dev1").WaitReported(ctx, "a", `2`)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `{"a":1}`) {
		t.Errorf("WaitReported in vain: got %v, want DeadlineExceeded that shows what is there", err)
	}
	if time.Since(start) != time.Hour {
		t.Errorf("waited %v, want 1h", time.Since(start))
	}
	_, err = h.Device("dev1").WaitReported(ctx, "a", `{`)
	if err == nil {
		t.Errorf("WaitReported with bad JSON: got no error")
	}
	if _, err := h.Device("ghost").Wait(ctx, func(Twin) bool { return true }); !errors.Is(err, ErrUnknown) {
		t.Errorf("Wait for an unknown: got %v, want ErrUnknown", err)
	}
}

func TestWaitEnds(t *testing.T) { bubble(t, testWaitEnds) }
func testWaitEnds(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	addDevice(t, h, "dev2")
	errs := make(chan error, 2)
	for _, id := range []string{"dev1", "dev2"} {
		go func() {
			_, err := h.Device(id).Wait(context.Background(), func(Twin) bool { return false })
			errs <- err
		}()
	}
	synctest.Wait()
	if err := h.Device("dev1").Remove(); err != nil {
		t.Fatalf("RemoveDevice: %v", err)
	}
	if err := <-errs; !errors.Is(err, ErrUnknown) {
		t.Errorf("removed: got %v, want ErrUnknown", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

func TestStatsCount(t *testing.T) { bubble(t, testStatsCount) }
func testStatsCount(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	setDesired(t, h, "dev1", `{"a":1}`) // not subscribed: nobody is told
	c.play(subscribed + getTwin + gotTwin + patchOne + patchedTo2 + ping + `
		> PUBLISH Q1 9 devices/dev1/messages/events/ x
		< PUBACK 9`)
	setDesired(t, h, "dev1", `{"a":1}`) // a write that changes nothing is told all the same
	c.play("< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=3 {\"a\":1,\"$version\":3}\n> DISCONNECT\n< close")
	p := hello(t, h, d)
	p.password = "-"
	c = open(t, h)
	c.send(p.bytes())
	c.play("< CONNACK sp=0 rc=5\n< close")
	want := Stats{Connects: 1, Refused: 1, Disconnects: 1, subscribes: 2, Gets: 1, Patches: 1, Notifications: 1, Pings: 1, Telemetry: 1}
	if got := h.Device("dev1").Stats(); got != want {
		t.Errorf("stats: got %+v, want %+v", got, want)
	}
	if got := h.Stats(); got != want {
		t.Errorf("sum: got %+v, want %+v", got, want)
	}
	if got := h.Device("ghost").Stats(); got != (Stats{}) {
		t.Errorf("unknown: got %+v, want zero", got)
	}
}

func TestClosedHub(t *testing.T) { bubble(t, testClosedHub) }
func testClosedHub(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c, early := login(t, h, d), open(t, h)
	h.Intercept(FromDevice("dev1", Ping), Late(time.Hour))
	c.send(packetBytes(t, "PINGREQ"))
	synctest.Wait()
	for range 2 {
		if err := h.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	c.play(`< close`)
	early.play(`< close`)
	if _, err := h.Stream(context.Background(), transport.Target{Port: 8883}); !errors.Is(err, ErrClosed) {
		t.Errorf("Stream: got %v, want ErrClosed", err)
	}
	if _, err := h.Device("dev1").SetDesired(`{}`); !errors.Is(err, ErrClosed) {
		t.Errorf("SetDesired: got %v, want ErrClosed", err)
	}
	if _, err := h.AddDevice("dev2"); !errors.Is(err, ErrClosed) {
		t.Errorf("AddDevice: got %v, want ErrClosed", err)
	}
	if _, err := h.Listen("127.0.0.1:0"); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen: got %v, want ErrClosed", err)
	}
}

func TestStreamRefuses(t *testing.T) {
	h := New(t, nil)
	if _, err := h.Stream(context.Background(), transport.Target{Port: 1883}); err == nil {
		t.Errorf("another port: got no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Stream(ctx, transport.Target{Port: 8883}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want Canceled", err)
	}
}

func TestOptions(t *testing.T) {
	for _, bad := range []Options{{Host: "https://hub"}, {quirks: quirk.Set{TokenGrace: -1}}, {quirks: quirk.Set{Merge: 7}}} {
		if h, err := Start(&bad); err == nil {
			_ = h.Close()
			t.Errorf("%+v: got no error", bad)
		}
	}
	h, err := Start(nil)
	if err != nil || h.Host() != defaultHost {
		t.Fatalf("Start(nil): got %v, %v", h, err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// fakeTB records what New does with a test.
type fakeTB struct {
	cleanups []func()
	fatal    string
	logs     int
}

func (f *fakeTB) Helper()                        {}
func (f *fakeTB) Cleanup(c func())               { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Fatalf(format string, _ ...any) { f.fatal = format }
func (f *fakeTB) Logf(string, ...any)            { f.logs++ }

func TestNew(t *testing.T) {
	tb := &fakeTB{}
	if h := New(tb, &Options{Host: "not a host"}); h != nil || tb.fatal == "" {
		t.Errorf("bad options: got %v, fatal %q", h, tb.fatal)
	}
	h := New(tb, nil)
	h.log.Info("hello")
	for _, f := range tb.cleanups {
		f()
	}
	if _, err := h.AddDevice("dev1"); !errors.Is(err, ErrClosed) {
		t.Errorf("after cleanup: got %v, want ErrClosed", err)
	}
	if tb.logs != 1 {
		t.Errorf("log lines: got %d, want 1", tb.logs)
	}
}

// Many devices at once, in real time, for the race detector.
func TestManyDevices(t *testing.T) {
	h, err := Start(nil)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { _ = h.Close() })
	done := make(chan struct{})
	const devices = 20
	for i := range devices {
		d := addDevice(t, h, "dev"+string(rune('a'+i)))
		go func() {
			defer func() { done <- struct{}{} }()
			for range 3 { // each takes over from the one before
				c := login(t, h, d)
				c.play(subscribed)
				for range 10 {
					if _, err := h.Device(d.Identity.DeviceID).SetDesired(`{"a":1}`); err != nil {
						t.Errorf("SetDesired: %v", err)
					}
					c.play(`< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=…`)
					c.play(patchOne + "< PUBLISH Q0 $iothub/twin/res/204/?$rid=p&$version=…")
				}
			}
		}()
	}
	for range devices {
		<-done
	}
	if got := h.Stats(); got.Patches != 30*devices || got.Takeovers != 2*devices {
		t.Errorf("stats: got %+v, want %d patches, %d takeovers", got, 30*devices, 2*devices)
	}
}
