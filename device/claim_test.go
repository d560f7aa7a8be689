package device_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// openStore opens a store on the disk of this machine, and closes it at the end
// of the story.
func openStore(t *testing.T, path string, id auth.Identity, opts *store.Options) *store.Store {
	t.Helper()
	st, err := store.Open(path, id, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// firsts are the calls that may be a client's first.
func firsts() map[string]func(c *device.Client, ctx context.Context) error {
	return map[string]func(c *device.Client, ctx context.Context) error{
		"Connect": func(c *device.Client, ctx context.Context) error { return c.Connect(ctx) },
		"Run": func(c *device.Client, ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return c.Run(ctx)
		},
		"ReportLater": func(c *device.Client, ctx context.Context) error { return c.ReportLater(ctx, twin.Set("only", "B")) },
	}
}

func TestStoreOfAnother(t *testing.T) {
	for _, tc := range []struct {
		desc  string
		other func(w *world) auth.Identity // who comes second
		held  bool                         // the first still has it
		want  error
	}{
		{"in use by the same device", func(w *world) auth.Identity { return w.dev.Identity }, true, store.ErrInUse},
		{"in use by another", otherDevice, true, store.ErrInUse},
		{"of another device", otherDevice, false, store.ErrForeign},
		{"of the device, for its module", func(w *world) auth.Identity {
			id := w.dev.Identity
			id.ModuleID = "m"
			return id
		}, false, store.ErrForeign},
	} {
		for name, first := range firsts() {
			t.Run(tc.desc+", "+name, func(t *testing.T) {
				path := t.TempDir() + "/twin"
				story(t, func(t *testing.T, w *world) {
					st := openStore(t, path, auth.Identity{}, nil)
					a := w.online(&device.Options{Store: st})
					if _, err := a.UpdateReported(t.Context(), twin.Set("serial", "A")); err != nil {
						t.Fatal(err)
					}
					if !tc.held {
						if err := a.Close(); err != nil {
							t.Fatal(err)
						}
					}
					synctest.Wait()
					before, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					b := device.New(tc.other(w), w.dev.Credential, w.dial(), &device.Options{Store: st})
					if err := first(b, t.Context()); !errors.Is(err, tc.want) {
						t.Errorf("%s: %v, want %v", name, err, tc.want)
					}
					synctest.Wait()
					if got := b.State().Phase; got != device.NotStarted {
						t.Errorf("the client that has no store is %v", got)
					}
					after, err := os.ReadFile(path)
					if err != nil || string(after) != string(before) {
						t.Errorf("the file was %q and is %q (%v)", before, after, err)
					}
					if err := b.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			})
		}
	}
}

func otherDevice(w *world) auth.Identity {
	dev, err := w.hub.AddDevice("other")
	if err != nil {
		w.Fatal(err)
	}
	return dev.Identity
}

// A client that found the store in use gets it once it is free, by the same call.
func TestStoreIsClaimedOnceItIsFree(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		a, b := w.online(&device.Options{Store: st}), w.client(&device.Options{Store: st})
		if err := b.ReportLater(t.Context(), twin.Set("a", 1)); !errors.Is(err, errMemInUse) {
			t.Fatalf("ReportLater: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.ReportLater(t.Context(), twin.Set("a", 2)); err != nil {
			t.Errorf("ReportLater on a store that is free: %v", err)
		}
		if got := b.State().Phase; got != device.NotStarted {
			t.Errorf("ReportLater made the client %v", got)
		}
		if err := b.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantReported("the report that was taken", `{"a":2}`)
	})
}

// The next client on a store that nobody opened again finds all that the one
// before kept.
func TestNextClientOnTheSameStore(t *testing.T) {
	path := t.TempDir() + "/twin"
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		st := openStore(t, path, auth.Identity{}, nil)
		for i := range 4 {
			var a ears
			c := w.client(&device.Options{Store: st})
			if _, err := c.OnDesired("a", a.listener, &device.ListenOptions{Durable: "a"}); err != nil {
				t.Fatal(err)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := a.take(); len(got) != 0 && i > 0 {
				t.Errorf("start %d: the durable listener heard %q", i, got)
			}
			w.hub.Device("dev1").SetLine(false)
			if err := c.ReportLater(t.Context(), twin.Set(fmt.Sprint("n", i), i)); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			w.hub.Device("dev1").SetLine(true)
		}
		w.online(&device.Options{Store: st})
		synctest.Wait()
		w.wantReported("all that was reported", `{"n0":0,"n1":1,"n2":2,"n3":3}`)
	})
}

func TestNilStoreIsNone(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st, err := store.Open("/no/such/folder/twin", w.dev.Identity, nil)
		if err == nil {
			t.Fatal("it opened")
		}
		unused := device.New(w.dev.Identity, w.dev.Credential, mqtt.Dialer{}, &device.Options{Store: st})
		if err := unused.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		c := w.client(&device.Options{Store: st})
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Errorf("ReportLater: %v", err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantReported("without a store", `{"a":1}`)
		if !strings.Contains(w.log.String(), "without a store") {
			t.Error("the log does not say that there is no store")
		}
	})
}

// slowClaim takes its time.
type slowClaim struct {
	memStore
	err error // in the end
}

func (s *slowClaim) ForClient(own.Key) keep.Store { return s }

func (s *slowClaim) Claim(ctx context.Context, id auth.Identity) (func(context.Context) error, error) {
	select {
	case <-time.After(time.Hour):
		if s.err != nil {
			return nil, s.err
		}
		return s.memStore.Claim(ctx, id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A disk that hangs when the store is claimed holds nobody up for longer than
// the contexts say.
func TestClaimThatHangs(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(&device.Options{Store: &slowClaim{}})
		if err := c.Connect(soon(t, time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Connect: %v", err)
		}
		if err := c.ReportLater(soon(t, time.Second), twin.Set("a", 1)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, device.ErrNotStored) {
			t.Errorf("ReportLater: %v, and it is not wanted", err)
		}
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v", took)
		}
	})
	story(t, func(t *testing.T, w *world) {
		c := w.client(&device.Options{Store: &slowClaim{}})
		_ = c.Connect(soon(t, time.Second))
		time.Sleep(2 * time.Hour)
		if got := c.State().Phase; got != device.Online {
			t.Errorf("two hours later the client is %v", got)
		}
	})
}

// Stop ends Run while the store is being claimed, as it does later.
func TestStopDuringAClaim(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(&device.Options{Store: &slowClaim{}})
		done := make(chan error, 1)
		go func() { done <- c.Run(t.Context()) }()
		synctest.Wait()
		c.Stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := c.Run(t.Context()); !errors.Is(err, device.ErrClosed) {
			t.Errorf("Run of a closed client: %v", err)
		}
	})
}

// A claim that fails when nobody waits for it any more is logged.
func TestClaimThatFailsLateIsLogged(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(&device.Options{Store: &slowClaim{err: store.ErrForeign}})
		_ = c.Connect(soon(t, time.Second))
		time.Sleep(2 * time.Hour)
		if !strings.Contains(w.log.String(), store.ErrForeign.Error()) {
			t.Errorf("the log says %s", w.log.String())
		}
	})
}
