package device_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A diary is what listeners did, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// listen registers a listener for present values.
func listen(t *testing.T, c *device.Client, path string, opts *device.ListenOptions, f func(ctx context.Context, ch twin.Change)) {
	t.Helper()
	if _, err := c.OnDesired(path, func(ctx context.Context, ch twin.Change) error {
		if ch.Value.Exists() {
			f(ctx, ch)
		}
		return nil
	}, opts); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// A listener that waits in a call of the client lets others run, and has its
// turn back before the call returns.
func TestListenerGivesItsTurnAway(t *testing.T) {
	for name, wait := range map[string]func(c *device.Client, ctx context.Context){
		"UpdateReported":   func(c *device.Client, ctx context.Context) { _, _ = c.UpdateReported(ctx, twin.Set("x", 1)) },
		"UpdateReportedIf": func(c *device.Client, ctx context.Context) { _, _ = c.UpdateReportedIf(ctx, twin.Set("x", 1), 7) },
		"GetTwin":          func(c *device.Client, ctx context.Context) { _, _ = c.GetTwin(ctx) },
		"Connect":          func(c *device.Client, ctx context.Context) { _ = c.Connect(ctx) },
		"ReportLater":      func(c *device.Client, ctx context.Context) { _ = c.ReportLater(ctx, twin.Set("x", 1)) },
		"two at once": func(c *device.Client, ctx context.Context) {
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = c.GetTwin(ctx) })
			wg.Go(func() { _, _ = c.UpdateReported(ctx, twin.Set("x", 1)) })
			wg.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(&device.Options{Store: &memStore{delay: time.Second}})
				time.Sleep(time.Minute)
				var d diary
				listen(t, c, "fan", nil, func(ctx context.Context, _ twin.Change) {
					w.hub.Device("dev1").SetLine(false)
					for c.State().Phase == device.Online {
						time.Sleep(time.Millisecond)
					}
					d.note("fan waits")
					short, cancel := context.WithTimeout(ctx, 2*time.Second)
					defer cancel()
					wait(c, short)
					d.note("fan goes on")
					time.Sleep(time.Second)
					d.note("fan is done")
				})
				listen(t, c, "valve", nil, func(context.Context, twin.Change) {
					d.note("valve begins")
					time.Sleep(5 * time.Second)
					d.note("valve is done")
				})
				listen(t, c, "lamp", nil, func(context.Context, twin.Change) { d.note("lamp") })
				w.setDesired(`{"fan":1,"lamp":1,"valve":1}`)
				time.Sleep(time.Minute)
				wantLines(t, "the turns", d.take(),
					"fan waits", "valve begins", "valve is done", "fan goes on", "fan is done", "lamp")
			})
		})
	}
}

// One client's listener that waits in a call of another gives its turn away, too.
func TestListenerWaitsForAnotherClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c, other := w.online(nil), w.client(nil)
		var d diary
		listen(t, c, "a", nil, func(ctx context.Context, _ twin.Change) {
			_, err := other.GetTwin(ctx)
			d.note("a: %v", err)
		})
		listen(t, c, "b", nil, func(context.Context, twin.Change) { d.note("b") })
		w.setDesired(`{"a":1,"b":1}`)
		time.Sleep(time.Minute)
		wantLines(t, "the turns", d.take(), "b", "a: "+device.ErrNotStarted.Error())
	})
}

// A listener of any kind that is called again and again never runs beside
// itself, and hears the newest value last.
func TestNoListenerRunsBesideItself(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var running, overlaps, last [4]atomic.Int64
		for i, opts := range []*device.ListenOptions{nil, nil, {Concurrent: true}, {Concurrent: true}} {
			listen(t, c, "n", opts, func(ctx context.Context, ch twin.Change) {
				if running[i].Add(1) > 1 {
					overlaps[i].Add(1)
				}
				if i%2 == 0 {
					_, _ = c.UpdateReported(ctx, twin.Set("x", ch.Version))
				} else {
					time.Sleep(70 * time.Millisecond)
				}
				last[i].Store(ch.Version)
				running[i].Add(-1)
			})
		}
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(50*time.Millisecond).Times(-1))
		for i := range 200 {
			w.setDesired(fmt.Sprintf(`{"n":%d}`, i))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		for i := range last {
			if overlaps[i].Load() != 0 || last[i].Load() != 201 {
				t.Errorf("listener %d ran beside itself %d times, and ended at version %d", i, overlaps[i].Load(), last[i].Load())
			}
		}
	})
}

// inBubble counts the goroutines of stories: runtime.NumGoroutine counts those of
// the runtime, too, such as the one for finalizers while it runs.
func inBubble() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), ", synctest bubble ")
}

func TestConcurrentListenerHoldsNobodyUp(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var d diary
		synctest.Wait()
		before := inBubble()
		listen(t, c, "slow", &device.ListenOptions{Concurrent: true, Acknowledge: true}, func(context.Context, twin.Change) {
			d.note("slow begins")
			time.Sleep(time.Hour)
			d.note("slow is done")
		})
		listen(t, c, "fast", nil, func(context.Context, twin.Change) { d.note("fast") })
		for i := range 3 {
			w.setDesired(fmt.Sprintf(`{"fast":%d,"slow":1}`, i))
			time.Sleep(time.Second)
		}
		got := d.take()
		slices.Sort(got) // the two are begun at once
		wantLines(t, "meanwhile", got, "fast", "fast", "fast", "slow begins")
		time.Sleep(3 * time.Hour)
		wantLines(t, "afterwards", d.take(), "slow is done", "slow begins", "slow is done")
		synctest.Wait()
		w.wantReported("acknowledged", `{"slow":{"ac":200,"av":4,"value":1}}`)
		after := inBubble()
		if after > before {
			t.Errorf("%d goroutines while listeners are idle, %d before there were any", after, before)
		}
	})
}

func TestSlowListenerIsReportedByItsPath(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		listen(t, c, "quick", nil, func(ctx context.Context, _ twin.Change) {
			time.Sleep(29 * time.Second)
			w.hub.Device("dev1").SetLine(false)
			_, _ = c.GetTwin(ctx) // waits for minutes, but holds nobody up
		})
		listen(t, c, "stuck", nil, func(context.Context, twin.Change) { time.Sleep(31 * time.Second) })
		listen(t, c, "alone", &device.ListenOptions{Concurrent: true}, func(context.Context, twin.Change) { time.Sleep(2 * time.Minute) })
		w.setDesired(`{"alone":1,"quick":1,"stuck":1}`)
		time.Sleep(10 * time.Minute)
		for path, want := range map[string]int{"quick": 0, "stuck": 1, "alone": 1} {
			if got := strings.Count(w.log.String(), "path="+path+" longerThan=30s"); got != want {
				t.Errorf("%q is reported %d times, want %d", path, got, want)
			}
		}
	})
}

// A callback that ends its goroutine, as t.FailNow does, silences nobody.
func TestGoexitSilencesNobody(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var states, errs atomic.Int64
		c := w.online(&device.Options{
			OnState: func(device.State) {
				states.Add(1)
				runtime.Goexit()
			},
			OnListenerError: func(twin.Change, error) {
				errs.Add(1)
				runtime.Goexit()
			},
		})
		var b ears
		for _, opts := range []*device.ListenOptions{{Acknowledge: true}, {Concurrent: true}} {
			listen(t, c, "a", opts, func(context.Context, twin.Change) { runtime.Goexit() })
		}
		if _, err := c.OnDesired("b", b.listener, nil); err != nil {
			t.Fatal(err)
		}
		b.take()
		for i := range 3 {
			w.setDesired(fmt.Sprintf(`{"a":%d}`, i))
			synctest.Wait()
		}
		w.setDesired(`{"b":1}`)
		wantLines(t, "the other listener", b.take(), "patch 1")
		if got := errs.Load(); got != 6 {
			t.Errorf("OnListenerError was called %d times, want 6", got)
		}
		if got := w.reported(); !strings.Contains(got, `"ac":500`) || !strings.Contains(got, "Goexit") {
			t.Errorf("the acknowledgement is %s", got)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if got := states.Load(); got != 3 {
			t.Errorf("OnState was called %d times, want 3", got)
		}
	})
}

// OnListenerError gets the change that the listener failed at.
func TestOnListenerErrorGetsTheChange(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var d diary
		c := w.online(&device.Options{OnListenerError: func(ch twin.Change, err error) {
			d.note("%s %v v%d %v", ch.Path, ch.Value, ch.Version, err)
		}})
		if _, err := c.OnDesired("fan", twin.Typed(func(context.Context, int, twin.Change) error { return nil }), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.setDesired(`{"fan":"x"}`)
		synctest.Wait()
		if got := d.take(); len(got) != 1 || !strings.HasPrefix(got[0], `fan "x" v2 decode`) && !strings.HasPrefix(got[0], `fan x v2 twin: decode`) {
			t.Errorf("OnListenerError heard %q", got)
		}
	})
}
