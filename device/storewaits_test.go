package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestCloseWaitsForTheStore, for 5 s at most, and not for the hub.
func TestCloseWaitsForTheStore(t *testing.T) {
	for _, tc := range []struct{ slow, takes time.Duration }{{4 * time.Second, 4 * time.Second}, {time.Minute, 5 * time.Second}} {
		story(t, func(t *testing.T, w *world) {
			st := &memStore{}
			c := w.online(&device.Options{Store: st})
			time.Sleep(time.Minute)
			w.hub.Device("dev1").SetLine(false)
			time.Sleep(time.Second)
			st.mu.Lock()
			st.delay = tc.slow
			st.mu.Unlock()
			go func() { _ = c.ReportLater(context.Background(), twin.Set("n", 1)) }()
			synctest.Wait()
			start := time.Now()
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if took := time.Since(start); took != tc.takes {
				t.Errorf("Close on a store that takes %v took %v, want %v", tc.slow, took, tc.takes)
			}
			time.Sleep(time.Minute) // the store's own goroutine
			if stored := len(st.powerCut().records) > 0; tc.slow == tc.takes && !stored {
				t.Error("Close did not wait until the report was stored")
			}
		})
	}
}

// TestLostWithoutAStore: what the hub has not confirmed ends with the process.
func TestLostWithoutAStore(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Device("dev1").SetLine(false)
		if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := c.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
		w.hub.Device("dev1").SetLine(true)
		w.online(nil)
		time.Sleep(time.Minute)
		w.wantReported("another client", `{}`)
	})
}

// TestFailingStoreIsTriedWithABackoff: a second apart at first, two minutes in
// the end.
func TestFailingStoreIsTriedWithABackoff(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		time.Sleep(time.Minute)
		st.broken(errors.New("no space left on device"))
		var at []time.Time
		tries := 0
		for start := time.Now(); time.Since(start) < 30*time.Minute; time.Sleep(100 * time.Millisecond) {
			_ = c.ReportLater(t.Context(), twin.Set("n", time.Since(start).Seconds()))
			if n := st.tries(); n != tries {
				if n > tries+1 {
					t.Errorf("%d attempts at once", n-tries)
				}
				tries, at = n, append(at, time.Now())
			}
		}
		if len(at) < 15 {
			t.Fatalf("%d attempts in 30 minutes", len(at))
		}
		wantBackoff(t, at, time.Second, 2*time.Minute, time.Second)
	})
}

// TestIdleMemoriesAreBounded: of what was heard under names that no listener has
// any more, 64 names are kept, and 64 KB, and the ones used last.
func TestIdleMemoriesAreBounded(t *testing.T) {
	for _, tc := range []struct{ names, size, most, least int }{
		{100, 10, 64, 64}, {40, 3000, 64 << 10 / 3000, 64<<10/3100 - 1},
	} {
		story(t, func(t *testing.T, w *world) {
			st := &memStore{}
			c := w.online(&device.Options{Store: st})
			for i := range tc.names {
				at := fmt.Sprintf("job%03d", i)
				remove, err := c.OnDesired(at, func(context.Context, twin.Change) error { return nil }, &device.ListenOptions{Durable: at})
				if err != nil {
					t.Fatal(err)
				}
				w.setDesired(fmt.Sprintf(`{"%s":"%s"}`, at, strings.Repeat("x", tc.size)))
				synctest.Wait()
				remove()
				w.setDesired(fmt.Sprintf(`{"%s":null}`, at))
				synctest.Wait()
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			st = st.powerCut()
			st.records = append(st.records, []byte("nonsense")) // asks for a snapshot
			c = w.online(&device.Options{Store: st})
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			var s struct{ Heard []struct{ N string } }
			if err := json.Unmarshal(st.powerCut().snapshot, &s); err != nil {
				t.Fatal(err)
			}
			n := len(s.Heard)
			if n > tc.most || n < tc.least || s.Heard[n-1].N != fmt.Sprintf("job%03d", tc.names-1) {
				t.Errorf("of %d names with %d bytes each, %d are kept, want %d to %d; the last is %v", tc.names, tc.size, n, tc.least, tc.most, s.Heard[n-1])
			}
		})
	}
}

// TestForgetDurableBeforeTheStart: the last 256 names count.
func TestForgetDurableBeforeTheStart(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		for _, tc := range []struct {
			more  int
			heard []string
		}{{255, []string{"start 1"}}, {256, nil}} {
			st := &memStore{}
			_, first := w.hear(st, "a", "x")
			_ = first.Close()
			c := w.client(&device.Options{Store: st.powerCut()})
			start := time.Now()
			c.ForgetDurable("x")
			for i := range tc.more {
				c.ForgetDurable(fmt.Sprint("y", i))
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("ForgetDurable took %v", took)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			var e ears
			if _, err := c.OnDesired("a", e.listener, &device.ListenOptions{Durable: "x"}); err != nil {
				t.Fatal(err)
			}
			wantLines(t, fmt.Sprint("with ", tc.more, " names after it"), e.take(), tc.heard...)
			_ = c.Close()
		}
	})
}

// TestUnsyncedIsZeroWhereTheStoreDoesNotSay.
func TestUnsyncedIsZeroWhereTheStoreDoesNotSay(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(&device.Options{Store: &memStore{delay: time.Second}})
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		if s := c.Stats(); s.Unsynced != 0 || !s.UnsyncedSince.IsZero() {
			t.Errorf("the client counts %+v", s)
		}
	})
}
