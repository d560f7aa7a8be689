package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A listener whose two goroutines call the client with its context has its turn
// back before each call returns, and never waits for itself: once they are done
// it ends, and the next listener runs.
func TestTwoGoroutinesOfOneListener(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.broken = true
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(10 * time.Minute)
		w.hub.Device("dev1").SetLine(true)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		var d diary
		wait := func(ctx context.Context, d time.Duration) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			_, _ = c.GetTwin(ctx)
		}
		listen(t, c, "fan", nil, func(ctx context.Context, _ twin.Change) {
			w.hub.Device("dev1").SetLine(false)
			for c.State().Phase == device.Online {
				time.Sleep(time.Millisecond)
			}
			var wg sync.WaitGroup
			wg.Go(func() { wait(ctx, 2*time.Second) })
			wait(ctx, time.Second)
			time.Sleep(1500 * time.Millisecond)
			wait(ctx, 20*time.Second)
			wg.Wait()
			d.note("fan is done")
		})
		listen(t, c, "valve", nil, func(context.Context, twin.Change) {
			d.note("valve begins")
			time.Sleep(10 * time.Second)
			d.note("valve is done")
		})
		w.setDesired(`{"fan":1,"valve":1}`)
		time.Sleep(10 * time.Minute)
		wantLines(t, "the turns", d.take(), "valve begins", "valve is done", "fan is done")
	})
}

// The same with a goroutine that the listener leaves behind: nothing panics.
func TestGoroutineLeftBehindTakesTheTurnTwice(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.broken = true
		var d diary
		wait := func(ctx context.Context, d time.Duration) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			_, _ = c.GetTwin(ctx)
		}
		listen(t, c, "fan", nil, func(ctx context.Context, _ twin.Change) {
			w.hub.Device("dev1").SetLine(false)
			for c.State().Phase == device.Online {
				time.Sleep(time.Millisecond)
			}
			go wait(ctx, 2*time.Second)
			wait(ctx, time.Second)
			time.Sleep(1500 * time.Millisecond)
			wait(ctx, time.Second)
			d.note("fan is done")
		})
		listen(t, c, "valve", nil, func(context.Context, twin.Change) {
			d.note("valve begins")
			time.Sleep(10 * time.Second)
			d.note("valve is done")
		})
		w.setDesired(`{"fan":1,"valve":1}`)
		time.Sleep(10 * time.Minute)
		wantLines(t, "the turns", d.take(), "valve begins", "valve is done", "fan is done")
	})
}

// Shutdown, called by a listener with a context that ends, closes the client
// when that context has ended: also while another listener has the turn and
// waits, as it may, for the client's end.
func TestShutdownWaitsForATurn(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.broken = true
		closed := make(chan struct{})
		listen(t, c, "fan", nil, func(ctx context.Context, _ twin.Change) {
			w.hub.Device("dev1").SetLine(false)
			for c.State().Phase == device.Online {
				time.Sleep(time.Millisecond)
			}
			_ = c.ReportLater(ctx, twin.Set("a", 1))
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = c.Shutdown(short)
			close(closed)
		})
		listen(t, c, "valve", nil, func(ctx context.Context, _ twin.Change) { <-ctx.Done() })
		w.setDesired(`{"fan":1,"valve":1}`)
		time.Sleep(time.Minute)
		select {
		case <-closed:
		default:
			t.Errorf("a minute after Shutdown with 1 s the client is %v", c.State().Phase)
		}
	})
}

// ForgetDurable, called while the listener runs, or by itself, as when it finds
// that its setting is lost, is not undone by its return.
func TestForgetDurableInsideTheListener(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		c := w.client(&device.Options{Store: st})
		if _, err := c.OnDesired("a", func(context.Context, twin.Change) error {
			c.ForgetDurable("x")
			return nil
		}, &device.ListenOptions{Durable: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = c.Close()
		heard, _ := w.hear(st.powerCut(), "a", "x")
		wantLines(t, "after the next start", heard, "start 1")
	})
}

// A listener that was removed while it ran does not take the memory of its name
// from the one that has the name since.
func TestRemovedListenerTakesTheName(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1,"b":1}`)
		st := &memStore{}
		c := w.client(&device.Options{Store: st})
		release := make(chan struct{})
		remove, err := c.OnDesired("a", func(context.Context, twin.Change) error {
			<-release
			return nil
		}, &device.ListenOptions{Durable: "x", Concurrent: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		remove()
		var e ears
		if _, err := c.OnDesired("b", e.listener, &device.ListenOptions{Durable: "x"}); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "the new one", e.take(), "start 1")
		close(release)
		synctest.Wait()
		_ = c.Close()
		heard, _ := w.hear(st.powerCut(), "b", "x")
		wantLines(t, "after the next start, nothing changed", heard)
	})
}

// A listener that was removed while it ran does not answer an old version over
// the answer of its successor.
func TestRemovedListenerAnswersLate(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		c := w.client(nil)
		release := make(chan struct{})
		ack := &device.ListenOptions{Acknowledge: true, Concurrent: true}
		remove, err := c.OnDesired("a", func(context.Context, twin.Change) error {
			<-release
			return errors.New("late")
		}, ack)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		remove()
		var e ears
		if _, err := c.OnDesired("a", e.listener, ack); err != nil {
			close(release)
			t.Skip("it is refused until the first one has ended, which is right, too")
		}
		w.setDesired(`{"a":2}`)
		time.Sleep(time.Minute)
		w.wantReported("the new one's answer", `{"a":{"ac":200,"av":3,"value":2}}`)
		close(release)
		time.Sleep(time.Minute)
		w.wantReported("the new one's answer stays", `{"a":{"ac":200,"av":3,"value":2}}`)
	})
}

// Of names that no listener has, 64 are kept, also of those that come from an
// earlier firmware, and 64 KB, also where the listener was removed as it ran.
func TestIdleNamesOfAnEarlierFirmware(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		c := w.client(&device.Options{Store: st})
		for i := range 200 {
			if _, err := c.OnDesired("a", new(ears).listener, &device.ListenOptions{Durable: fmt.Sprint("x", i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = c.Close()
		for range 3 {
			st = st.powerCut()
			c = w.online(&device.Options{Store: st})
			for i := range 100 { // a compaction, and a day
				if err := c.ReportLater(t.Context(), twin.Set("n", i)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(24 * time.Hour)
			_ = c.Close()
		}
		var s struct{ Heard []json.RawMessage }
		if err := json.Unmarshal(st.snapshot, &s); err != nil {
			t.Fatal(err)
		}
		if len(s.Heard) > 64 {
			t.Errorf("three starts of a firmware without listeners keep %d names, want 64 at most", len(s.Heard))
		}
	})
}

// A guarded report is in no store, so a Shutdown that ends with one is not nil.
func TestShutdownWithAGuardedReport(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		w.broken = true
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(10 * time.Minute)
		told := make(chan error, 1)
		go func() {
			_, err := c.UpdateReportedIf(t.Context(), twin.Set("a", 1), 1)
			told <- err
		}()
		synctest.Wait()
		err := c.Shutdown(soon(t, 10*time.Second))
		t.Logf("its caller was told: %v", <-told)
		w.hub.Device("dev1").SetLine(true)
		w.online(&device.Options{Store: st.powerCut()})
		time.Sleep(time.Minute)
		var left *device.LeftError
		if got := w.reported(); got == `{}` && !errors.As(err, &left) {
			t.Errorf("Shutdown: %v, want a *LeftError: the next client does not report it, the hub has %s", err, got)
		}
	})
}
