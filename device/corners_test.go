package device_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A confirmed report is reverted after a power cut before its fsync.
func TestCornerConfirmedReportReverted(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{delay: 2 * time.Second} // bad flash
		c := w.online(&device.Options{Store: st})
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 2)); err != nil {
			t.Fatal(err)
		}
		after := st.powerCut() // the power goes right after success was told
		_ = c.Close()
		w.wantReported("confirmed", `{"n":2}`)
		w.online(&device.Options{Store: after})
		time.Sleep(time.Minute)
		w.wantReported("a confirmed report", `{"n":2}`)
	})
}

// The same for UpdateReportedIf.
func TestCornerConfirmedGuardedReverted(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{delay: 2 * time.Second}
		c := w.online(&device.Options{Store: st})
		v, err := c.UpdateReported(t.Context(), twin.Set("n", 1))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if _, err := c.UpdateReportedIf(t.Context(), twin.Set("n", 2), v); err != nil {
			t.Fatal(err)
		}
		after := st.powerCut()
		_ = c.Close()
		w.online(&device.Options{Store: after})
		time.Sleep(time.Minute)
		w.wantReported("a confirmed report", `{"n":2}`)
	})
}

// The base snapshot is lost when a write is under way.
func TestCornerRebaseLost(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{delay: 10 * time.Second}
		if _, err := w.hub.Device("dev1").SetDesired(`{"a":1}`); err != nil {
			t.Fatal(err)
		}
		w.hub.Device("dev1").SetLine(false)
		c := w.client(&device.Options{Store: st})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_ = c.Connect(ctx)
		cancel()
		go func() { _ = c.ReportLater(context.Background(), twin.Set("serial", "x1")) }()
		synctest.Wait() // the write of 10 s is under way
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(time.Hour)
		if st.snapshots() == 0 {
			t.Errorf("no base was written within an hour")
		}
		left := st.powerCut()
		t.Logf("%s %s", left.snapshot, left.records)
		st.mu.Lock()
		st.delay = 0 // Close has something to write
		st.mu.Unlock()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// An unreadable change during a GET is forgotten.
func TestCornerUnreadableDuringGet(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		c := w.online(nil)
		var a ears
		if _, err := c.OnDesired("a", a.listener, nil); err != nil {
			t.Fatal(err)
		}
		a.take()
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Delay(5*time.Second))
		go func() { _, _ = c.GetTwin(context.Background()) }()
		synctest.Wait()
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Answer(200, `{"a":`))
		w.setDesired(`{"a":2}`)
		time.Sleep(10 * time.Minute)
		wantLines(t, "the change", a.take(), "gap 2")
	})
}

// Close with a store that hangs.
func TestCornerCloseHangs(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{hangs: true}
		c := device.New(w.dev.Identity, w.dev.Credential, dialerOf(w), &device.Options{Store: st})
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		go func() { _ = c.ReportLater(context.Background(), twin.Set("a", 1)) }()
		synctest.Wait()
		done := make(chan struct{})
		go func() { _ = c.Close(); close(done) }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			panic("Close hangs")
		}
	})
}

// Mend record after a newer Want.
type hook struct {
	slog.Handler
	f func(string)
}

func (h hook) Handle(_ context.Context, r slog.Record) error { h.f(r.Message); return nil }
func (h hook) Enabled(context.Context, slog.Level) bool      { return true }
func (h hook) WithAttrs([]slog.Attr) slog.Handler            { return h }

func TestCornerMendAfterWant(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		var c *device.Client
		said := false
		log := slog.New(hook{slog.DiscardHandler, func(m string) {
			if strings.HasPrefix(m, "hub reads back") && !said {
				said = true
				if err := c.ReportLater(context.Background(), twin.Set("n", 9)); err != nil {
					t.Error(err)
				}
			}
		}})
		c = w.online(&device.Options{Store: st, Logger: log})
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Edit("reported.n", "1"))
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1.5)); err != nil {
			t.Fatal(err)
		}
		pass := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Drop().Times(-1))
		if _, err := c.GetTwin(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !said {
			t.Fatal("no read back")
		}
		after := st.powerCut()
		_ = c.Close()
		pass()
		w.online(&device.Options{Store: after})
		time.Sleep(10 * time.Minute)
		w.wantReported("said last", `{"n":9}`)
	})
}

// Closing within the store's back-off loses what is wanted.
func TestCornerCloseWithinBackoff(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		time.Sleep(time.Minute)
		w.hub.Device("dev1").SetLine(false)
		st.broken(errors.New("busy"))
		_ = c.ReportLater(t.Context(), twin.Set("a", 1))
		st.broken(nil)
		_ = c.Close()
		w.hub.Device("dev1").SetLine(true)
		w.online(&device.Options{Store: st.powerCut()})
		time.Sleep(time.Minute)
		w.wantReported("wanted", `{"a":1}`)
	})
}

// Removal heard by a durable listener, and root listener.
func TestCornerDurableRemovalAndRoot(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1,"x":[1,{"b":2}]}`)
		st := &memStore{}
		start := func() (*device.Client, *ears, *ears, *ears) {
			a, r, x := &ears{}, &ears{}, &ears{}
			c := w.client(&device.Options{Store: st})
			for p, e := range map[string]*ears{"a": a, "": r, "x": x} {
				if _, err := c.OnDesired(p, e.listener, &device.ListenOptions{Durable: "at " + p}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			return c, a, r, x
		}
		c, a, r, x := start()
		synctest.Wait()
		w.setDesired(`{"a":null}`)
		a.take()
		r.take()
		x.take()
		st = st.powerCut()
		t.Logf("%s %s", st.snapshot, st.records)
		_ = c.Close()
		_, a, r, x = start()
		wantLines(t, "removed", a.take())
		wantLines(t, "root", r.take())
		wantLines(t, "x", x.take())
		t.Log(w.log.String()[max(0, w.log.buf.Len()-800):])
	})
}

// Given token of the far future.
func TestCornerFarToken(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		token, err := auth.SignToken(own.Key{}, t.Context(), key, w.dev.Identity.Audience(), "", time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		c := device.New(w.dev.Identity, auth.StaticToken(token), mqttDialer{Stream: w.stream}, nil)
		defer c.Close()
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		w.hub.Intercept(func(m hubtest.Message) bool {
			if m.Op == hubtest.Connect && !m.FromHub {
				if n++; n > 200 {
					panic("hot loop of reconnects")
				}
			}
			return false
		}, hubtest.Pass())
		w.hub.Device("dev1").SetLine(false)
		w.hub.Device("dev1").SetLine(true)
		deadline := time.Now().Add(20 * time.Second)
		for time.Now().Before(deadline) {
			time.Sleep(time.Second)
			if n := c.Stats().Connects; n > 50 {
				t.Errorf("%d connects in %v; now %v", n, 20*time.Second-time.Until(deadline), c.State().Phase)
				return
			}
		}
	})
}

func dialerOf(w *world) mqttDialer { return mqttDialer{Stream: w.stream} }

type mqttDialer = mqtt.Dialer

// Calls that ended while their GET was under way stay in line.
func TestCornerDeadGets(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Drop().Times(-1))
		for range 1000 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			_, _ = c.GetTwin(ctx)
			cancel()
		}
		time.Sleep(time.Hour)
		if n := c.WaitingGets(); n > 2 {
			t.Errorf("%d calls wait, though every caller has gone", n)
		}
	})
}

// What ends a client that is shutting down.
func TestCornerConnectAfterShutdown(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.hub.Device("dev1").SetLine(false)
		c := w.client(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_ = c.Connect(ctx)
		c.Stop()
		if err := c.Run(t.Context()); err != device.ErrClosed {
			t.Errorf("Run: %v", err)
		}
	})
}
