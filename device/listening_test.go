package device_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestFailedListenerIsNotCalledAgain without a change: what it failed at counts
// as delivered, whatever else happens.
func TestFailedListenerIsNotCalledAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		c := w.online(nil)
		var d diary
		if _, err := c.OnDesired("a", func(_ context.Context, ch twin.Change) error {
			d.note("%v", ch.Value)
			return errors.New("valve stuck")
		}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantLines(t, "the start", d.take(), "1")
		if _, err := c.GetTwin(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.setDesired(`{"b":1}`)
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantLines(t, "without a change", d.take())
		w.setDesired(`{"a":2}`)
		synctest.Wait()
		wantLines(t, "the next change", d.take(), "2")
	})
}

// TestOnListenerErrorComesBeforeTheNextCall, and holds other listeners up, with
// panics and acknowledgements that cannot be made among the errors.
func TestOnListenerErrorComesBeforeTheNextCall(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var d diary
		c := w.online(&device.Options{OnListenerError: func(ch twin.Change, err error) {
			d.note("error begins: %s", ch.Path)
			time.Sleep(time.Minute)
			d.note("error ends: %v", err)
		}})
		listen(t, c, "a", nil, func(_ context.Context, ch twin.Change) {
			d.note("a %v", ch.Value)
			panic("stuck")
		})
		listen(t, c, "b", nil, func(context.Context, twin.Change) { d.note("b") })
		w.setDesired(`{"a":1,"b":1}`)
		time.Sleep(time.Second)
		w.setDesired(`{"a":2}`)
		time.Sleep(time.Hour)
		const says = "error ends: device: listener panicked: stuck"
		wantLines(t, "the turns", d.take(), "a 1", "error begins: a", says, "b", "a 2", "error begins: a", says)
	})
}

// TestPanicErrorSaysWhatItHolds: the value, not the stack.
func TestPanicErrorSaysWhatItHolds(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		stuck := errors.New("stuck")
		var all []*device.PanicError
		c := w.online(&device.Options{OnListenerError: func(_ twin.Change, err error) {
			var p *device.PanicError
			if errors.As(err, &p) {
				all = append(all, p)
			}
		}})
		listen(t, c, "a", nil, func(context.Context, twin.Change) { panic(stuck) })
		listen(t, c, "b", nil, func(context.Context, twin.Change) { panic("no error") })
		w.setDesired(`{"a":1,"b":1}`)
		synctest.Wait()
		if len(all) != 2 {
			t.Fatalf("%d panics", len(all))
		}
		if !errors.Is(all[0], stuck) || errors.Unwrap(all[1]) != nil {
			t.Errorf("they unwrap to %v and %v", errors.Unwrap(all[0]), errors.Unwrap(all[1]))
		}
		for _, p := range all {
			if !strings.Contains(string(p.Stack), "listening_test.go") || strings.Contains(p.Error(), "goroutine") {
				t.Errorf("%q, with a stack of %d bytes", p.Error(), len(p.Stack))
			}
		}
	})
}

// TestOnDesiredRefuses what can never be heard, and listeners that would fight.
func TestOnDesiredRefuses(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		none := func(context.Context, twin.Change) error { return nil }
		for _, path := range []string{"a b", "a$", "$version", "a#", "a.", ".a", "a..b", "\xff", strings.Repeat("k", 1025)} {
			if _, err := c.OnDesired(path, none, nil); !errors.Is(err, twin.ErrInvalid) {
				t.Errorf("a listener at %.20q: %v", path, err)
			}
		}
		if _, err := c.OnDesired("a", nil, nil); err == nil {
			t.Error("a nil listener was taken")
		}
		for _, path := range []string{"", "a/b", "温度", "a.b.c"} {
			remove, err := c.OnDesired(path, none, nil)
			if err != nil {
				t.Errorf("a listener at %q: %v", path, err)
				continue
			}
			remove()
		}
		ack := &device.ListenOptions{Acknowledge: true}
		if _, err := c.OnDesired("o.p", none, ack); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"o.p", "o", "o.p.q", ""} {
			if _, err := c.OnDesired(path, none, ack); !errors.Is(err, twin.ErrInvalid) {
				t.Errorf("a second acknowledgement, at %q beside o.p: %v", path, err)
			}
		}
		for _, path := range []string{"o.q", "op"} {
			if _, err := c.OnDesired(path, none, ack); err != nil {
				t.Errorf("an acknowledgement at %q beside o.p: %v", path, err)
			}
		}
		for length, good := range map[int]bool{128: true, 129: false} {
			if _, err := c.OnDesired("d", none, &device.ListenOptions{Durable: strings.Repeat("x", length)}); (err == nil) != good {
				t.Errorf("a durable name of %d bytes: %v", length, err)
			}
		}
	})
}

// TestRemovalIsNotAcknowledged: the last acknowledgement stays.
func TestRemovalIsNotAcknowledged(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		c := w.online(&device.Options{OnListenerError: func(ch twin.Change, err error) {
			t.Errorf("version %d: %v", ch.Version, err)
		}})
		calls := 0
		if _, err := c.OnDesired("a", func(context.Context, twin.Change) error { calls++; return nil }, &device.ListenOptions{Acknowledge: true}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.setDesired(`{"a":null}`)
		time.Sleep(time.Minute)
		synctest.Wait()
		if calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}
		w.wantReported("the last acknowledgement", `{"a":{"ac":200,"av":2,"value":1}}`)
		if err := c.ReportLater(t.Context(), twin.Delete("a")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantReported("deleted by hand", `{}`)
	})
}

// TestListenersRunInOrderOfRegistration, whatever their paths.
func TestListenersRunInOrderOfRegistration(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var d diary
		var want []string
		for _, path := range []string{"z", "a", "", "m.n", "m", "b"} {
			listen(t, c, path, nil, func(context.Context, twin.Change) { d.note("%q", path) })
			want = append(want, `"`+path+`"`)
		}
		d.take() // the start of ""
		w.setDesired(`{"a":1,"b":1,"m":{"n":1},"z":1}`)
		synctest.Wait()
		wantLines(t, "the order", d.take(), want...)
	})
}

// TestDurableWithoutAStore makes no difference.
func TestDurableWithoutAStore(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		for range 2 {
			var e ears
			c := w.client(nil)
			if _, err := c.OnDesired("a", e.listener, &device.ListenOptions{Durable: "x"}); err != nil {
				t.Fatal(err)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantLines(t, "each start", e.take(), "start 1")
			_ = c.Close()
		}
	})
}
