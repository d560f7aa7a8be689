package device_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A nosyLog asks the client for everything at each line that is logged.
type nosyLog struct {
	slog.Handler
	mu     sync.Mutex
	client *device.Client
	lines  int
	hangs  time.Duration // at each line
}

func (h *nosyLog) Enabled(context.Context, slog.Level) bool { return true }
func (h *nosyLog) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *nosyLog) Handle(context.Context, slog.Record) error {
	h.mu.Lock()
	c := h.client
	h.lines++
	h.mu.Unlock()
	if c != nil {
		_, _, _, _ = c.State(), c.Stats(), c.Desired(), c.Reported()
	}
	time.Sleep(h.hangs)
	return nil
}

// No log is written under a lock, nor on the store's own goroutine: not where a
// disk is full, a listener fails or the store holds nonsense.
func TestNoLogUnderALock(t *testing.T) {
	for _, hangs := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint("hangs ", hangs), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				h := &nosyLog{hangs: hangs}
				st := &memStore{snapshot: []byte(`{`), records: [][]byte{[]byte("nonsense")}}
				c := w.client(&device.Options{Store: st, Logger: slog.New(h)})
				h.mu.Lock()
				h.client = c
				h.mu.Unlock()
				if _, err := c.OnDesired("a", func(context.Context, twin.Change) error { return errors.New("stuck") }, nil); err != nil {
					t.Fatal(err)
				}
				if err := c.Connect(soon(t, time.Hour)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				st.broken(errors.New("no space left on device"))
				start := time.Now()
				if err := c.ReportLater(t.Context(), twin.Set("a", 1)); !errors.Is(err, device.ErrNotStored) {
					t.Errorf("ReportLater: %v", err)
				}
				_ = c.ReportLater(t.Context(), twin.Set("a", 2))
				if took := time.Since(start); took > time.Second {
					t.Errorf("two reports took %v", took)
				}
				synctest.Wait()
				h.mu.Lock()
				if h.lines == 0 {
					t.Error("nothing was logged")
				}
				h.mu.Unlock()
				time.Sleep(10 * time.Minute)
			})
		})
	}
}

// A device that was never online does not fill its store with reports that come
// and go.
func TestNeverOnlineDoesNotFillTheStore(t *testing.T) {
	path := t.TempDir() + "/twin"
	for desc, p := range map[string]func(i int) []twin.Patch{
		"jobs that come and go": func(i int) []twin.Patch {
			at := fmt.Sprintf("job-%06d", i)
			return []twin.Patch{twin.Set(at, "running"), twin.Delete(at)}
		},
		"deletions alone": func(i int) []twin.Patch { return []twin.Patch{twin.Delete(fmt.Sprintf("job-%06d", i))} },
		"objects, and one": func(i int) []twin.Patch {
			return []twin.Patch{twin.Replace("o", map[string]int{fmt.Sprint("k", i): i})}
		},
	} {
		t.Run(desc, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				st := openStore(t, path+desc, w.dev.Identity, &store.Options{MaxSize: 64 << 10, SyncEvery: time.Hour})
				down := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) {
					return nil, fmt.Errorf("%w: no line", transport.ErrUnavailable)
				}}
				c := device.New(w.dev.Identity, w.dev.Credential, down, &device.Options{Store: st, Logger: slog.New(slog.DiscardHandler)})
				_ = c.Connect(soon(t, time.Second))
				for i := range 1500 {
					for _, p := range p(i) {
						if err := c.ReportLater(t.Context(), p); err != nil {
							t.Fatalf("after %d jobs: %v", i, err)
						}
					}
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Flash that hangs holds nobody up for longer than their contexts, and what
// waits for it has a bound.
func TestFlashThatHangs(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(&device.Options{Store: &memStore{hangs: true}})
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		err := c.ReportLater(soon(t, time.Second), twin.Set("a", 1))
		if !errors.Is(err, device.ErrNotStored) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ReportLater: %v", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		w.wantReported("the hub has it all the same", `{"a":1}`)
		waits := make(chan error, 2)
		go func() { waits <- c.ReportLater(t.Context(), twin.Set("b", 1)) }()
		go func() {
			_, err := c.UpdateReported(t.Context(), twin.Set("c", 1))
			waits <- err
		}()
		synctest.Wait()
		start = time.Now()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("Close took %v", took)
		}
		for range 2 {
			if err := <-waits; err != nil && !errors.Is(err, device.ErrNotStored) && !errors.Is(err, device.ErrClosed) {
				t.Errorf("a call that waited: %v", err)
			}
		}
	})
}

// fullStore takes nothing at all, and says so at once.
type fullStore struct{ memStore }

func (s *fullStore) ForClient(own.Key) keep.Store { return s }

func (s *fullStore) AppendFunc(func(error), ...[]byte) error { return s.full() }
func (s *fullStore) CompactFunc(func(error), []byte) error   { return s.full() }
func (s *fullStore) full() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	return store.ErrFull
}

func TestStoreThatTakesNothing(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &fullStore{}
		c := w.online(&device.Options{Store: st})
		for i := range 100 {
			if err := c.ReportLater(t.Context(), twin.Set("n", i)); !errors.Is(err, device.ErrNotStored) || !errors.Is(err, store.ErrFull) {
				t.Fatalf("ReportLater: %v", err)
			}
		}
		if _, err := c.UpdateReported(t.Context(), twin.Set("m", 1)); err != nil {
			t.Errorf("UpdateReported: %v", err)
		}
		w.wantReported("the client lives on", `{"m":1,"n":99}`)
		time.Sleep(time.Hour)
		if n := st.tries(); n > 80 {
			t.Errorf("it was tried %d times in an hour", n)
		}
	})
}
