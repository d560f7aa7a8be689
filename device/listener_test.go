package device_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestListenerMayCallAnyMethod(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var second ears
		calls := 0
		var remove func()
		var err error
		remove, err = c.OnDesired("a", func(ctx context.Context, ch twin.Change) error {
			if calls++; !ch.Value.Exists() {
				return nil
			}
			if _, err := c.UpdateReported(ctx, ch.Ack(200, "done")); err != nil {
				t.Errorf("UpdateReported in a listener: %v", err)
			}
			if _, err := c.GetTwin(ctx); err != nil {
				t.Errorf("GetTwin in a listener: %v", err)
			}
			if err := c.Connect(ctx); err != nil {
				t.Errorf("Connect in a listener: %v", err)
			}
			if _, err := c.OnDesired("b", second.listener, nil); err != nil {
				t.Errorf("OnDesired in a listener: %v", err)
			}
			_ = c.State()
			remove()
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.setDesired(`{"a":5}`)
		wantLines(t, "the listener added in a listener", second.take(), "start -")
		w.setDesired(`{"a":6,"b":1}`)
		wantLines(t, "it hears on", second.take(), "patch 1")
		if calls != 2 {
			t.Errorf("the listener that removed itself was called %d times, want 2", calls)
		}
		w.wantReported("acknowledged", `{"a":{"ac":200,"ad":"done","av":2,"value":5}}`)
	})
}

func TestListenerMayShutDown(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var inside error
		if _, err := c.OnDesired("", func(ctx context.Context, ch twin.Change) error {
			if ch.Value.At("stop").Exists() {
				c.Stop()
				inside = ctx.Err()
			}
			return nil
		}, nil); err != nil {
			t.Fatal(err)
		}
		w.setDesired(`{"stop":true}`)
		if err := c.Run(t.Context()); err != nil && !errors.Is(err, device.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if !errors.Is(inside, context.Canceled) {
			t.Errorf("the listener's context after Shutdown: %v", inside)
		}
	})
}

func TestPanicsAndErrorsAreContained(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var told []string
		c := w.online(&device.Options{OnListenerError: func(ch twin.Change, err error) {
			path := ch.Path
			mu.Lock()
			defer mu.Unlock()
			var p *device.PanicError
			told = append(told, fmt.Sprintf("%s panic=%t %v", path, errors.As(err, &p), err))
			if path == "err" {
				panic("in OnListenerError")
			}
		}})
		errOut := errors.New("valve stuck")
		for path, l := range map[string]twin.Listener{
			"panics": func(context.Context, twin.Change) error { panic("boom") },
			"err":    func(context.Context, twin.Change) error { return errOut },
			"typed":  twin.Typed(func(_ context.Context, _ int, _ twin.Change) error { return nil }),
		} {
			if _, err := c.OnDesired(path, l, nil); err != nil {
				t.Fatal(err)
			}
		}
		var after ears
		if _, err := c.OnDesired("panics", after.listener, nil); err != nil {
			t.Fatal(err)
		}
		after.take()
		mu.Lock()
		told = nil
		mu.Unlock()
		w.setDesired(`{"panics":1,"err":1,"typed":"no number"}`)
		wantLines(t, "the listener after the panic", after.take(), "patch 1")
		mu.Lock()
		all := strings.Join(told, "\n")
		mu.Unlock()
		for _, want := range []string{"panics panic=true device: listener panicked: boom", "err panic=false valve stuck", "typed panic=false twin: decode \"typed\""} {
			if !strings.Contains(all, want) {
				t.Errorf("told %q, want %q among it", all, want)
			}
		}
		w.setDesired(`{"panics":2}`)
		wantLines(t, "and on", after.take(), "patch 2")
	})
}

func TestTypedListenerStaysAlive(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var got []string
		if _, err := c.OnDesired("fan.rpm", twin.TypedOr(0, func(_ context.Context, rpm int, ch twin.Change) error {
			got = append(got, fmt.Sprintf("%d %t", rpm, ch.Value.Exists()))
			return nil
		}), nil); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{`{"fan":{"rpm":0}}`, `{"fan":{"rpm":"fast"}}`, `{"fan":{"rpm":7}}`, `{"fan":null}`} {
			synctest.Wait()
			w.setDesired(p)
		}
		synctest.Wait()
		wantLines(t, "typed", got, "0 false", "0 true", "7 true", "0 false")
	})
}

func TestAcknowledgeByItself(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"good":1,"bad":"x","fails":1}`)
		c := w.client(nil)
		fails := errors.New("valve stuck")
		for path, l := range map[string]twin.Listener{
			"good":   func(context.Context, twin.Change) error { return nil },
			"bad":    twin.Typed(func(context.Context, int, twin.Change) error { return nil }),
			"fails":  func(context.Context, twin.Change) error { return fails },
			"absent": func(context.Context, twin.Change) error { return nil },
		} {
			if _, err := c.OnDesired(path, l, &device.ListenOptions{Acknowledge: true}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.OnDesired("", new(ears).listener, &device.ListenOptions{Acknowledge: true}); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("acknowledging everything: %v", err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := w.reported()
		for _, want := range []string{
			`"good":{"ac":200,"av":2,"value":1}`, `"ac":400`, `"fails":{"ac":500,"ad":"valve stuck","av":2,"value":1}`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("reported %s, want %s in it", got, want)
			}
		}
		if strings.Contains(got, "absent") {
			t.Errorf("what is not desired was acknowledged: %s", got)
		}
		w.hub.Device("dev1").SetLine(false)
		w.setDesired(`{"good":1}`) // the same value, a new version
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(time.Minute)
		if got := w.reported(); !strings.Contains(got, `"good":{"ac":200,"av":3,"value":1}`) {
			t.Errorf("the acknowledgement does not carry the new version: %s", got)
		}
	})
}

func TestListenersRunOneAtATimeInVersionOrder(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var mu sync.Mutex
		running, last, wrong := 0, map[string]int64{}, 0
		for _, path := range []string{"", "n", "m"} {
			if _, err := c.OnDesired(path, func(_ context.Context, ch twin.Change) error {
				mu.Lock()
				if running++; running > 1 || ch.Version < last[path] {
					wrong++
				}
				last[path] = ch.Version
				mu.Unlock()
				time.Sleep(30 * time.Millisecond) // slower than the changes come
				mu.Lock()
				running--
				mu.Unlock()
				return nil
			}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 300 {
			w.setDesired(fmt.Sprintf(`{"n":%d,"m":%d}`, i, i))
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if wrong != 0 {
			t.Errorf("%d calls overlapped or went backwards", wrong)
		}
		for path, v := range last {
			if v != 301 {
				t.Errorf("listener on %q ended at version %d, want 301", path, v)
			}
		}
	})
}

func TestBlockedListenerBlocksNothingElse(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(&device.Options{KeepAlive: 10 * time.Second})
		if _, err := c.OnDesired("slow", func(ctx context.Context, ch twin.Change) error {
			if !ch.Value.Exists() {
				return nil
			}
			time.Sleep(30 * time.Second)
			_, err := c.UpdateReported(ctx, twin.Set("slow", "done"))
			return err
		}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.setDesired(`{"slow":1}`)
		time.Sleep(15 * time.Second)
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Errorf("UpdateReported meanwhile: %v", err)
		}
		time.Sleep(30 * time.Second)
		w.wantReported("both", `{"n":1,"slow":"done"}`)
		// Over AMQP it is the hub that speaks first, and the client needs no word.
		if s := w.hub.Device("dev1").Stats(); s.Connects != 1 || s.Pings == 0 && !w.renewsInPlace() {
			t.Errorf("connects %d, pings %d: the keep-alive stood still", s.Connects, s.Pings)
		}
	})
}

func TestStatesAreTold(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var phases []string
		c := w.client(&device.Options{OnState: func(s device.State) {
			mu.Lock()
			defer mu.Unlock()
			line := s.Phase.String()
			if s.Phase == device.Waiting {
				line += fmt.Sprintf(" cause=%t retry=%t", s.Err != nil, s.RetryAt.After(s.Since))
			}
			phases = append(phases, line)
			if s.Phase == device.Waiting {
				panic("in OnState")
			}
		}})
		if got := c.State().Phase; got != device.NotStarted {
			t.Errorf("a new client is %v", got)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.hub.Device("dev1").Cut(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "phases", phases, "connecting", "online", "waiting cause=true retry=true", "connecting", "online", "closed")
	})
}

func TestRenewalHoldsCalls(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		stop := time.Now().Add(3 * time.Hour)
		n := 0
		for ; time.Now().Before(stop); n++ {
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", n)); err != nil {
				t.Fatalf("report %d: %v", n, err)
			}
			time.Sleep(time.Second)
		}
		if s := w.hub.Device("dev1").Stats(); s.Connects < 4 && !w.renewsInPlace() || s.Gets != s.Connects {
			t.Errorf("%d connects and %d GETs in three hours of hourly tokens", s.Connects, s.Gets)
		}
		tw, err := w.hub.Device("dev1").Twin()
		if err != nil || tw.Reported.Version != int64(n+1) {
			t.Errorf("version %d (%v) after %d reports: one was lost or sent twice", tw.Reported.Version, err, n)
		}
	})
}

func TestAThousandReconnectsLeaveNothingBehind(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(&device.Options{Logger: slog.New(slog.DiscardHandler)})
		before := heap()
		for range 1000 {
			if err := w.hub.Device("dev1").Cut(); err != nil {
				t.Fatal(err)
			}
			for synctest.Wait(); c.State().Phase == device.Online; synctest.Wait() {
				time.Sleep(time.Millisecond)
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute) // long enough online to forget
		}
		if after := heap(); after > before+512<<10 {
			t.Errorf("the heap grew from %d to %d bytes", before, after)
		}
	}) // the bubble and goleak count the goroutines
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestRealSocket is the one story of this package on a real loopback socket
// with real TLS, in real time.
func TestRealSocket(t *testing.T) {
	hub := hubtest.New(t, nil)
	if _, err := hub.AddDevice("dev1"); err != nil {
		t.Fatal(err)
	}
	dev, err := hub.AddDevice("dev1/mod")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr.String())
	}
	stranger := device.New(dev.Identity, dev.Credential, mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{DialContext: dial})}, nil)
	if err := stranger.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a hub whose CA is unknown: %v", err)
	}
	if err := stranger.Close(); err != nil {
		t.Error(err)
	}
	config := hubConfig(hub)
	c := device.New(dev.Identity, dev.Credential, mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{DialContext: dial, Config: config})}, nil)
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	heard := make(chan string, 10)
	if _, err := c.OnDesired("a", func(_ context.Context, ch twin.Change) error {
		heard <- ch.Cause.String() + " " + string(ch.Value.JSON())
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next := func() string {
		select {
		case s := <-heard:
			return s
		case <-ctx.Done():
			return ctx.Err().Error()
		}
	}
	if got := next(); got != "start " {
		t.Errorf("heard %q", got)
	}
	if _, err := hub.Device("dev1/mod").SetDesired(`{"a":1}`); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "patch 1" {
		t.Errorf("heard %q", got)
	}
	if _, err := c.UpdateReported(t.Context(), twin.Set("a", 1)); err != nil {
		t.Error(err)
	}
}
