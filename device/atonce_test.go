package device_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Shutdown returns nil where the store holds everything, also where another
// snapshot had become due while one was being written, and nothing is begun on
// a store whose claim was given back, or it replaces what the next client has.
func TestShutdownWhileASnapshotIsWritten(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &lateStore{memStore: memStore{delay: time.Second}}
		c := w.client(&device.Options{Store: st})
		var wg sync.WaitGroup
		for i := range 51 {
			wg.Go(func() { _ = c.ReportLater(t.Context(), twin.Set("n", i)) })
		}
		wg.Wait()
		wg.Go(func() { _ = c.ReportLater(t.Context(), twin.Set("last", true)) }) // a snapshot
		synctest.Wait()
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(time.Hour).Times(-1))
		if err := c.Connect(t.Context()); err != nil { // another, for the first GET
			t.Fatal(err)
		}
		synctest.Wait()
		err := c.Shutdown(soon(t, 100*time.Millisecond))
		time.Sleep(time.Minute)
		wg.Wait()
		if err != nil {
			t.Errorf("Shutdown: %v; the store holds %s", err, st.snapshot)
		}
		if n := st.late(); n > 0 {
			t.Errorf("%d writes were begun after the release", n)
		}
	})
}

// lateStore counts writes that end after the claim was given back.
type lateStore struct {
	memStore
	after int
}

func (s *lateStore) ForClient(own.Key) keep.Store { return s }

func (s *lateStore) CompactFunc(done func(error), snapshot []byte) error {
	return s.memStore.CompactFunc(func(err error) {
		s.mu.Lock()
		if !s.claimed {
			s.after++
		}
		s.mu.Unlock()
		done(err)
	}, snapshot)
}

func (s *lateStore) late() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after
}

// A listener's error whose Error panics, such as a nil pointer in an interface,
// ends no program, whatever the log's handler does with it.
func TestErrorThatPanicsInTheLog(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1,"b":1}`)
		c := w.client(&device.Options{Logger: slog.New(plainHandler{slog.DiscardHandler})})
		if _, err := c.OnDesired("a", func(context.Context, twin.Change) error { return (*nilError)(nil) }, nil); err != nil {
			t.Fatal(err)
		}
		var e ears
		if _, err := c.OnDesired("b", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "the other listener", e.take(), "start 1")
	})
}

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

// plainHandler makes text of errors, as the bridges to other logs do.
type plainHandler struct{ slog.Handler }

func (h plainHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h plainHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h plainHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			_ = err.Error()
		}
		return true
	})
	return nil
}

// Everything at once, for the race detector: it holds.
func TestEverythingAtOnce(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		for round := range 20 {
			st := &memStore{delay: time.Duration(round) * 10 * time.Millisecond}
			c := w.client(&device.Options{Store: st, OnState: func(device.State) {}, OnListenerError: func(twin.Change, error) {}})
			w.broken = true
			var wg sync.WaitGroup
			for i := range 4 {
				name := fmt.Sprint("x", i)
				wg.Go(func() {
					for range 10 {
						remove, err := c.OnDesired("a.b", func(ctx context.Context, ch twin.Change) error {
							switch i {
							case 0:
								_, _ = c.UpdateReported(ctx, twin.Set("r", ch.Version))
							case 1:
								_, _ = c.GetTwin(ctx)
							case 2:
								c.ForgetDurable(name)
								_ = c.ReportLater(ctx, twin.Set("q", ch.Version))
							}
							return nil
						}, &device.ListenOptions{Durable: name, Concurrent: i%2 == 0})
						if err != nil {
							return
						}
						time.Sleep(37 * time.Millisecond)
						_, _, _ = c.State(), c.Stats(), c.Desired().JSON()
						remove()
					}
				})
			}
			wg.Go(func() { _ = c.Connect(t.Context()) })
			wg.Go(func() {
				for i := range 10 {
					w.setDesired(fmt.Sprintf(`{"a":{"b":%d}}`, i))
					time.Sleep(29 * time.Millisecond)
				}
			})
			time.Sleep(time.Duration(round*23) * time.Millisecond)
			wg.Go(func() { _ = c.Shutdown(soon(t, time.Second)) })
			wg.Go(func() { _ = c.Close() })
			wg.Wait()
			if err := c.Close(); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
	})
}

// A listener that succeeded and only names the code or the text of its answer
// has heard the value: a durable one is not run again at the next start. (For a
// decision: ListenOptions.Durable says "without an error".)
func TestDurableListenerThatNamesItsAnswer(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := &memStore{}
		var d diary
		for range 2 {
			c := w.client(&device.Options{Store: st})
			if _, err := c.OnDesired("a", func(_ context.Context, ch twin.Change) error {
				d.note("%v", ch.Value)
				return &twin.AckError{Code: twin.AckOK, Text: "in effect since noon"}
			}, &device.ListenOptions{Durable: "x", Acknowledge: true}); err != nil {
				t.Fatal(err)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			_ = c.Close()
			st = st.powerCut()
		}
		wantLines(t, "two starts", d.take(), "1")
	})
}

// It holds: what ReportLater took is at the hub, or with the next client on the
// store, whenever Shutdown comes and the power goes, and without a store
// Shutdown's word is true.
func TestShutdownAtAnyMoment(t *testing.T) {
	for _, stored := range []bool{true, false} {
		for moment := range 30 {
			story(t, func(t *testing.T, w *world) {
				st := &memStore{delay: 30 * time.Millisecond}
				opts := &device.Options{}
				if stored {
					opts.Store = st
				}
				w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(70*time.Millisecond).Times(-1))
				c := w.client(opts)
				var mu sync.Mutex
				taken := map[string]bool{}
				var wg sync.WaitGroup
				wg.Go(func() {
					time.Sleep(time.Duration(moment%7) * 40 * time.Millisecond)
					_ = c.Connect(t.Context())
				})
				for i := range 5 {
					wg.Go(func() {
						for n := range 30 {
							key := fmt.Sprintf("k%d-%d", i, n)
							if c.ReportLater(t.Context(), twin.Set(key, n)) == nil {
								mu.Lock()
								taken[key] = true
								mu.Unlock()
							}
							time.Sleep(17 * time.Millisecond)
						}
					})
				}
				time.Sleep(time.Duration(moment) * 13 * time.Millisecond)
				if moment%3 == 0 {
					w.hub.Device("dev1").SetLine(false)
				}
				ended := make(chan error, 1)
				go func() { ended <- c.Shutdown(soon(t, time.Duration(moment%5)*200*time.Millisecond)) }()
				time.Sleep(time.Duration(moment%11) * 20 * time.Millisecond)
				mu.Lock()
				dead, promised := st.powerCut(), maps.Clone(taken)
				mu.Unlock()
				err := <-ended
				wg.Wait()
				w.hub.Device("dev1").SetLine(true)
				if stored {
					var left *device.LeftError
					if errors.As(err, &left) {
						t.Errorf("moment %d: %v, with a store that is well", moment, err)
					}
					w.online(&device.Options{Store: dead})
					time.Sleep(time.Minute)
				} else {
					promised = taken
				}
				missing := 0
				for key := range promised {
					if !strings.Contains(w.reported(), `"`+key+`"`) {
						missing++
					}
				}
				var left *device.LeftError
				switch errors.As(err, &left); {
				case stored && missing > 0:
					t.Errorf("moment %d: %d reports are lost", moment, missing)
				case !stored && left == nil && missing > 0:
					t.Errorf("moment %d: Shutdown says %v, and %d reports are lost", moment, err, missing)
				case !stored && left != nil && left.Reports < missing:
					t.Errorf("moment %d: Shutdown says %v, and %d reports are lost", moment, err, missing)
				}
			})
		}
	}
}
