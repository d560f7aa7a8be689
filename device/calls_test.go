package device_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestNewDoesNothing: no I/O, no goroutine, and the options are copied.
func TestNewDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := &device.Options{KeepAlive: time.Minute, Store: &memStore{}, OnState: func(device.State) { t.Error("OnState was called") }}
		dial := dialFunc(func(context.Context, transport.Login) (transport.Conn, error) {
			t.Error("New dials")
			return nil, transport.ErrLost
		})
		before := runtime.NumGoroutine()
		c := device.New(someone(), presents{err: errors.New("asked")}, dial, opts)
		time.Sleep(time.Hour)
		if after := runtime.NumGoroutine(); after != before {
			t.Errorf("%d goroutines after New, %d before", after, before)
		}
		if got := opts.Store.(*memStore); got.claimed {
			t.Error("New claims the store")
		}
		opts.KeepAlive, opts.Store = -1, nil // no longer New's
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Errorf("ReportLater: %v", err)
		}
		if s := c.Stats(); s.Reports != 1 {
			t.Errorf("the client counts %+v", s)
		}
	})
}

// TestLoginIsWhatOptionsSay: what a login announces, and the defaults.
func TestLoginIsWhatOptionsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		var got transport.Login
		dial := dialFunc(func(_ context.Context, login transport.Login) (transport.Conn, error) {
			got = login
			return nil, transport.ErrUnauthorized
		})
		cred := auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return aToken(t), nil })
		now := func() time.Time { return time.Now().Add(time.Hour) }
		for _, tc := range []struct {
			opts    *device.Options
			model   string
			product string
			alive   time.Duration
			ahead   time.Duration // the clock's
		}{
			{nil, "", "", 240 * time.Second, 0},
			{&device.Options{ModelID: "dtmi:x;1", Product: "pump/2.1", KeepAlive: time.Second, Now: now}, "dtmi:x;1", "pump/2.1", time.Second, time.Hour},
		} {
			c := device.New(someone(), cred, dial, tc.opts)
			if err := c.Connect(t.Context()); !errors.Is(err, transport.ErrUnauthorized) {
				t.Errorf("Connect: %v", err)
			}
			if got.ModelID != tc.model || got.Product != tc.product || got.KeepAlive != tc.alive || !got.Now().Equal(time.Now().Add(tc.ahead)) ||
				got.Token.IsZero() || got.Certificate != nil || got.Identity != someone() || got.Sessions == nil {
				t.Errorf("the login has model %q, product %q, keep-alive %v, clock %v", got.ModelID, got.Product, got.KeepAlive, got.Now())
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOptionsHaveBounds holds their figures.
func TestOptionsHaveBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		cred := auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return aToken(t), nil })
		for _, tc := range []struct {
			opts device.Options
			good bool
		}{
			{device.Options{KeepAlive: time.Second - 1}, false},
			{device.Options{KeepAlive: time.Second}, true},
			{device.Options{KeepAlive: 1177 * time.Second}, true},
			{device.Options{KeepAlive: 1177*time.Second + 1}, false},
			{device.Options{Resync: time.Minute - 1}, false},
			{device.Options{Resync: time.Minute}, true},
			{device.Options{Resync: -1}, true},
			{device.Options{RequestTimeout: -1}, false},
			{device.Options{RequestTimeout: time.Second - 1}, false},
			{device.Options{RequestTimeout: time.Second}, true},
			{device.Options{CallTimeout: -1}, true},
			{device.Options{CallTimeout: 100*time.Millisecond - 1}, false},
			{device.Options{CallTimeout: 100 * time.Millisecond}, true},
			{device.Options{Product: strings.Repeat("x", 512)}, true},
			{device.Options{Product: strings.Repeat("x", 513)}, false},
		} {
			c := device.New(someone(), cred, fails(transport.ErrUnauthorized), &tc.opts)
			err := c.Connect(t.Context())
			if good := !errors.Is(err, auth.ErrInvalid); good != tc.good || err == nil {
				t.Errorf("%+v: Connect says %v", tc.opts, err)
			}
			_ = c.Close()
		}
	})
	const minute = time.Minute
	if device.DefaultKeepAlive != 4*minute || device.DefaultRequestTimeout != minute/2 || device.DefaultCallTimeout != 4*minute || device.DefaultResync != 360*minute {
		t.Error("a default is not what README.md and the options say")
	}
}

// TestNegativeCallTimeoutIsNoBound: a call without a deadline waits on.
func TestNegativeCallTimeoutIsNoBound(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(&device.Options{CallTimeout: -1})
		w.hub.Device("dev1").SetLine(false)
		ended := make(chan error, 2)
		go func() { _, err := c.GetTwin(context.Background()); ended <- err }()
		go func() { _, err := c.UpdateReported(context.Background(), twin.Set("a", 1)); ended <- err }()
		time.Sleep(24 * time.Hour)
		if len(ended) != 0 {
			t.Errorf("a call has ended: %v", <-ended)
		}
		c.Stop()
		for range 2 {
			if err := <-ended; !errors.Is(err, device.ErrClosed) {
				t.Errorf("at Stop: %v", err)
			}
		}
	})
}

// TestNegativeResyncIsNever: a quiet line costs no GET in a week.
func TestNegativeResyncIsNever(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 30 * 24 * time.Hour})
		w.online(&device.Options{Resync: -1})
		before := w.hub.Device("dev1").Stats()
		time.Sleep(7 * 24 * time.Hour)
		if after := w.hub.Device("dev1").Stats(); after.Gets != before.Gets || after.Connects != before.Connects {
			t.Errorf("a week made %d GETs and %d connects", after.Gets-before.Gets, after.Connects-before.Connects)
		}
	})
}

// TestStopEndsCallsInProgress with ErrClosed, whatever they wait for, and
// returns at once.
func TestStopEndsCallsInProgress(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		time.Sleep(time.Minute)
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(time.Second)
		st.mu.Lock()
		st.hangs = true
		st.mu.Unlock()
		calls := map[string]func() error{
			"Connect":          func() error { return c.Connect(t.Context()) },
			"GetTwin":          func() error { _, err := c.GetTwin(t.Context()); return err },
			"UpdateReported":   func() error { _, err := c.UpdateReported(t.Context(), twin.Set("a", 1)); return err },
			"UpdateReportedIf": func() error { _, err := c.UpdateReportedIf(t.Context(), twin.Set("a", 1), 7); return err },
			"ReportLater":      func() error { return c.ReportLater(t.Context(), twin.Set("b", 1)) },
			"Run":              func() error { return c.Run(t.Context()) },
		}
		type outcome struct {
			name string
			err  error
		}
		ended := make(chan outcome, len(calls))
		for name, call := range calls {
			go func() { ended <- outcome{name, call()} }()
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Fatalf("%+v has ended", <-ended)
		}
		start := time.Now()
		c.Stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("Stop took %v", took)
		}
		for range calls {
			switch o := <-ended; {
			case o.name == "Run" && o.err != nil:
				t.Errorf("Run after Stop: %v, want what Close returns", o.err)
			case o.name == "ReportLater" && !errors.Is(o.err, device.ErrClosed) && !errors.Is(o.err, device.ErrNotStored):
				t.Errorf("ReportLater: %v", o.err)
			case o.name != "Run" && o.name != "ReportLater" && !errors.Is(o.err, device.ErrClosed):
				t.Errorf("%s: %v, want ErrClosed", o.name, o.err)
			}
		}
	})
}

// TestRunGivesUpAfterTenSeconds at a hub that answers no report, and returns how
// many are lost.
func TestRunGivesUpAfterTenSeconds(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Drop().Times(-1))
		for i := range 3 {
			if err := c.ReportLater(t.Context(), twin.Set(fmt.Sprint("k", i), i)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := c.Run(ctx)
		if took := time.Since(start); took != time.Minute+10*time.Second {
			t.Errorf("Run returned %v after its context had ended", took-time.Minute)
		}
		var left *device.LeftError
		if !errors.As(err, &left) || left.Reports != 3 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Run: %v, want 3 reports left", err)
		}
		if text := err.Error(); !strings.Contains(text, "3 reports") || !strings.Contains(text, left.Err.Error()) {
			t.Errorf("the error is %q", text)
		}
		if !errors.Is(left.Unwrap(), left.Err) || left.Unwrap() == nil {
			t.Errorf("it unwraps to %v", left.Unwrap())
		}
	})
}

// TestRunOutlivesARefusedIdentity and a wrong clock: OnState and State say so.
func TestRunOutlivesARefusedIdentity(t *testing.T) {
	for name, cause := range map[string]error{"refused": transport.ErrUnauthorized, "clock": auth.ErrClockImplausible} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.broken = true
				opts := &device.Options{}
				var d diaryOfStates
				opts.OnState = d.hear
				if name == "clock" {
					opts.Now = func() time.Time { return time.Unix(5, 0) }
				} else if _, err := w.hub.Device("dev1").SetKeys("", ""); err != nil {
					t.Fatal(err)
				}
				c := w.client(opts)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				go func() {
					time.Sleep(30*time.Minute + 2*time.Second) // between two attempts
					if s := c.State(); s.Phase != device.Waiting || !errors.Is(s.Err, cause) {
						t.Errorf("after half an hour the state is %+v", s)
					}
				}()
				if err := c.Run(ctx); err != nil || time.Since(start) < time.Hour {
					t.Errorf("Run: %v after %v", err, time.Since(start))
				}
				if waits := d.of(device.Waiting); len(waits) == 0 || !errors.Is(waits[0].Err, cause) {
					t.Errorf("OnState heard %+v", waits)
				}
				if !strings.Contains(w.log.String(), "level=WARN msg=\"not connected\"") {
					t.Error("the log does not say so")
				}
			})
		})
	}
}

// TestConnectOnlineReturnsAtOnce and costs nothing.
func TestConnectOnlineReturnsAtOnce(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		before, start := w.hub.Device("dev1").Stats(), time.Now()
		for range 10 {
			if err := c.Connect(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if after := w.hub.Device("dev1").Stats(); after != before || time.Since(start) != 0 {
			t.Errorf("ten more Connects took %v and %+v, before %+v", time.Since(start), after, before)
		}
	})
}

// TestSilentWithoutALogger: nothing goes to the program's own log.
func TestSilentWithoutALogger(t *testing.T) {
	own := &logs{}
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(own, nil)))
	defer slog.SetDefault(was)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		c := device.New(someone(), auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return aToken(t), nil }),
			fails(transport.ErrUnauthorized), nil)
		_ = c.Connect(t.Context())
		time.Sleep(time.Hour)
		_ = c.Close()
	})
	if text := own.String(); text != "" {
		t.Errorf("the program's log holds %s", text)
	}
}

// TestEveryMethodAtOnce, for the race detector: all may be called concurrently,
// at any time.
func TestEveryMethodAtOnce(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		c := w.client(&device.Options{Store: &memStore{}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for _, call := range []func(){
			func() { _ = c.Connect(ctx) },
			func() { _, _ = c.GetTwin(ctx) },
			func() { _, _ = c.UpdateReported(ctx, twin.Set("a", 1)) },
			func() { _, _ = c.UpdateReportedIf(ctx, twin.Set("a", 2), 2) },
			func() { _ = c.ReportLater(ctx, twin.Set("b", 1)) },
			func() { _, _ = c.State(), c.Stats() },
			func() { _, _ = c.Desired(), c.Reported() },
			func() { _ = c.Renew() },
			func() { c.ForgetDurable("x") },
			func() {
				if remove, err := c.OnDesired("a", func(context.Context, twin.Change) error { return nil }, nil); err == nil {
					remove()
				}
			},
		} {
			for range 2 {
				wg.Go(func() {
					for range 20 {
						call()
						time.Sleep(time.Second)
					}
				})
			}
		}
		wg.Wait()
		wg.Go(func() { _ = c.Shutdown(ctx) })
		wg.Go(func() { _ = c.Close() })
		wg.Go(c.Stop)
		wg.Wait()
		if got := c.State().Phase; got != device.Closed {
			t.Errorf("the client is %v", got)
		}
	})
}
