package device_test

import (
	"context"
	"errors"
	"fmt"
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

// soon is a context that ends after d.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestLastWordsReachTheHub(t *testing.T) {
	for name, end := range map[string]func(c *device.Client, ctx context.Context) error{
		"Shutdown": func(c *device.Client, ctx context.Context) error { return c.Shutdown(ctx) },
		"Run": func(c *device.Client, ctx context.Context) error {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			return c.Run(ended)
		},
	} {
		for _, slow := range []time.Duration{0, 8 * time.Second} {
			t.Run(fmt.Sprint(name, " at a hub that takes ", slow), func(t *testing.T) {
				story(t, func(t *testing.T, w *world) {
					c := w.online(nil)
					w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(slow).Times(-1))
					for i := range 3 {
						if err := c.ReportLater(t.Context(), twin.Set("state", i)); err != nil {
							t.Fatal(err)
						}
					}
					if err := end(c, t.Context()); err != nil {
						t.Errorf("the end: %v", err)
					}
					w.wantReported("after the end", `{"state":2}`)
					if got := c.State().Phase; got != device.Closed {
						t.Errorf("the client is %v", got)
					}
				})
			})
		}
	}
}

func TestShutdownSaysWhatIsLeft(t *testing.T) {
	throttles := func(w *world) {
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Fail(429001).Times(-1))
	}
	down := func(w *world) { w.hub.Device("dev1").SetLine(false) }
	for _, tc := range []struct {
		desc   string
		fault  func(w *world)
		within time.Duration // the caller's bound
		takes  time.Duration // at most
		cause  error
	}{
		{"the hub throttles", throttles, time.Minute, time.Minute, context.DeadlineExceeded},
		{"the hub throttles, no bound", throttles, 0, device.DefaultCallTimeout, context.DeadlineExceeded},
		{"the line is down", down, time.Hour, 10 * time.Second, transport.ErrLost},
		{"the context has ended", down, -1, 0, context.DeadlineExceeded},
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, store %t", tc.desc, stored), func(t *testing.T) {
				story(t, func(t *testing.T, w *world) {
					st := &memStore{}
					opts := &device.Options{}
					if stored {
						opts.Store = st
					}
					if *over == "amqp-pool" && tc.desc == "the line is down" {
						// The other device has the connection, and a login on it waits out its time.
						tc.takes, tc.cause = 45*time.Second, context.DeadlineExceeded
					}
					c := w.online(opts)
					tc.fault(w)
					for i := range 3 {
						if err := c.ReportLater(t.Context(), twin.Set(fmt.Sprint("n", i), i)); err != nil {
							t.Fatal(err)
						}
					}
					if tc.within > 0 {
						time.Sleep(30 * time.Second) // far into the back-off
					}
					ctx := t.Context()
					if tc.within != 0 {
						ctx = soon(t, tc.within)
					}
					start := time.Now()
					err := c.Shutdown(ctx)
					if took := time.Since(start); took > tc.takes {
						t.Errorf("it took %v", took)
					}
					var left *device.LeftError
					switch {
					case stored:
						if err != nil {
							t.Errorf("the store holds the rest, and Shutdown says %v", err)
						}
					case !errors.As(err, &left) || left.Reports != 3 || !errors.Is(err, tc.cause):
						t.Errorf("Shutdown: %v, want 3 reports left for %v", err, tc.cause)
					}
					if !stored {
						return
					}
					w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Pass().Times(-1))
					w.hub.Device("dev1").SetLine(true)
					if tc.desc == "the line is down" {
						w.online(&device.Options{Store: st})
						synctest.Wait()
						w.wantReported("by the next client", `{"n0":0,"n1":1,"n2":2}`)
					}
				})
			})
		}
	}
}

// A line that comes back for the one attempt saves the reports.
func TestShutdownTriesTheLineOnce(t *testing.T) {
	if *over == "amqp-pool" {
		t.Skip("whether the one attempt finds the other device's dead connection is a matter of its turn")
	}
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Device("dev1").SetLine(false)
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.hub.Device("dev1").SetLine(true)
		start := time.Now()
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
		w.wantReported("by the one attempt", `{"a":1}`)
	})
}

func TestShutdownOfABrokenStore(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		full := errors.New("no space left on device")
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		w.hub.Device("dev1").SetLine(false)
		st.broken(full)
		_ = c.ReportLater(t.Context(), twin.Set("a", 1))
		var left *device.LeftError
		if err := c.Shutdown(soon(t, time.Minute)); !errors.As(err, &left) || left.Reports != 1 {
			t.Errorf("Shutdown: %v, want 1 report left", err)
		}
	})
}

func TestShutdownOfAClientThatNeverStarted(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		if err := w.client(nil).Shutdown(t.Context()); err != nil {
			t.Errorf("with nothing reported: %v", err)
		}
		c := w.client(nil)
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		var left *device.LeftError
		if err := c.Shutdown(t.Context()); !errors.As(err, &left) || !errors.Is(err, device.ErrNotStarted) {
			t.Errorf("with a report and no store: %v", err)
		}
		st := &memStore{}
		c = w.client(&device.Options{Store: st})
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("with a report and a store: %v", err)
		}
		w.online(&device.Options{Store: st})
		synctest.Wait()
		w.wantReported("by the next client", `{"a":1}`)
	})
}

// What is reported before the start is taken. Calls that wait, wait for it.
func TestCallsRaceWithTheStart(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("store ", stored), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				opts := &device.Options{}
				if stored {
					opts.Store = &memStore{delay: time.Second}
				}
				c := w.client(opts)
				if err := c.ReportLater(t.Context(), twin.Set("early", 1)); err != nil {
					t.Errorf("ReportLater before the start: %v", err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := c.UpdateReported(t.Context(), twin.Set("waits", 1)); err != nil {
						t.Errorf("UpdateReported: %v", err)
					}
					if _, err := c.GetTwin(t.Context()); err != nil {
						t.Errorf("GetTwin: %v", err)
					}
					cancel()
				})
				time.Sleep(9 * time.Second)
				if err := c.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
				wg.Wait()
				w.wantReported("in the end", `{"early":1,"waits":1}`)
			})
		})
	}
}

func TestCallsWaitForAStartWithinBounds(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		start := time.Now()
		if _, err := c.GetTwin(t.Context()); err != device.ErrNotStarted {
			t.Errorf("GetTwin: %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it waited %v", took)
		}
		_, err := c.UpdateReportedIf(soon(t, time.Second), twin.Set("a", 1), 1)
		if !errors.Is(err, device.ErrNotStarted) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("UpdateReportedIf, ended by its context: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			c.Stop()
		}()
		if _, err := c.UpdateReported(t.Context(), twin.Set("a", 1)); !errors.Is(err, device.ErrClosed) {
			t.Errorf("UpdateReported, ended by Stop: %v", err)
		}
	})
}

func TestConnectWithAnEndedContextStartsTheClient(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("store ", stored), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				opts := &device.Options{}
				if stored {
					opts.Store = &memStore{}
				}
				c := w.client(opts)
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				if err := c.Connect(ended); !errors.Is(err, context.Canceled) {
					t.Errorf("Connect: %v", err)
				}
				time.Sleep(time.Minute)
				if got := c.State().Phase; got != device.Online {
					t.Errorf("a minute later the client is %v", got)
				}
				if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
					t.Errorf("ReportLater: %v", err)
				}
			})
		})
	}
}

// OnState hears of the end, whatever ended the client.
func TestOnStateHearsTheEnd(t *testing.T) {
	for name, end := range map[string]func(c *device.Client, ctx context.Context){
		"Run":     func(c *device.Client, ctx context.Context) { _ = c.Run(ctx) },
		"Connect": func(c *device.Client, ctx context.Context) { _ = c.Connect(ctx) },
		"Stop":    func(c *device.Client, _ context.Context) { c.Stop() },
		"Close":   func(c *device.Client, _ context.Context) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var phases []string
				c := device.New(auth.Identity{Host: "h.x", DeviceID: "d"}, nil, nil, &device.Options{OnState: func(s device.State) {
					phases = append(phases, fmt.Sprint(s.Phase, " ", errors.Is(s.Err, auth.ErrInvalid)))
				}})
				end(c, t.Context())
				synctest.Wait()
				wantLines(t, "OnState", phases, fmt.Sprint("closed ", name == "Run" || name == "Connect"))
				_ = c.Close()
			})
		})
	}
}

func TestCloseDoesNotWaitForAListenerForEver(t *testing.T) {
	for name, end := range map[string]func(c *device.Client, ctx context.Context) error{
		"Close":    func(c *device.Client, _ context.Context) error { return c.Close() },
		"Shutdown": func(c *device.Client, ctx context.Context) error { return c.Shutdown(ctx) },
	} {
		for _, inside := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, inside the listener: %t", name, inside), func(t *testing.T) {
				story(t, func(t *testing.T, w *world) {
					w.broken = true
					st := &memStore{}
					c := w.online(&device.Options{Store: st})
					free := make(chan struct{})
					result := make(chan error, 1)
					if _, err := c.OnDesired("valve", func(ctx context.Context, ch twin.Change) error {
						if !ch.Value.Exists() {
							return nil
						}
						if inside {
							result <- end(c, ctx)
							return nil
						}
						<-free
						return nil
					}, nil); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					w.setDesired(`{"valve":1}`)
					synctest.Wait()
					start := time.Now()
					if !inside {
						result <- end(c, t.Context())
					}
					if err := <-result; !errors.Is(err, device.ErrListenerRuns) {
						t.Errorf("%s: %v", name, err)
					}
					if took := time.Since(start); took > 6*time.Second {
						t.Errorf("it took %v", took)
					}
					if got := c.State().Phase; got != device.Closed {
						t.Errorf("the client is %v", got)
					}
					if !strings.Contains(w.log.String(), "listeners=[valve] OnState=false") && !inside {
						t.Errorf("the log does not name the listener")
					}
					// The store is free, though the listener runs on.
					next := w.online(&device.Options{Store: st})
					close(free)
					synctest.Wait()
					if err := c.Close(); err != nil {
						t.Errorf("Close once the listener has returned: %v", err)
					}
					if err := next.Close(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestCloseInOnState(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var c *device.Client
		result := make(chan error, 1)
		c = device.New(w.dev.Identity, w.dev.Credential, w.dial(), &device.Options{OnState: func(s device.State) {
			if s.Phase == device.Online {
				result <- c.Close()
			}
		}})
		_ = c.Connect(t.Context())
		if err := <-result; !errors.Is(err, device.ErrListenerRuns) {
			t.Errorf("Close in OnState: %v", err)
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close afterwards: %v", err)
		}
	})
}
