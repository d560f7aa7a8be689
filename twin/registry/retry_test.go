package registry_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// What is sent again after one fault, by the kind of request.
func TestWhatIsTriedAgain(t *testing.T) {
	change := registry.Change{Tags: twin.Set("a", 1)}
	kinds := []struct {
		name string
		do   func(w *world, etag registry.ETag) error
	}{
		{"read", func(w *world, _ registry.ETag) error { _, err := w.client.Twin(w.Context(), "fan1"); return err }},
		{"query", func(w *world, _ registry.ETag) error {
			_, _, err := w.client.QueryPage(w.Context(), "SELECT * FROM devices", nil)
			return err
		}},
		{"update", func(w *world, etag registry.ETag) error {
			_, err := w.client.UpdateTwin(w.Context(), "fan1", etag, change)
			return err
		}},
		{"blind update", func(w *world, _ registry.ETag) error {
			_, err := w.client.UpdateTwin(w.Context(), "fan1", registry.AnyETag, change)
			return err
		}},
		{"creation", func(w *world, _ registry.ETag) error {
			_, err := w.client.CreateRegistration(w.Context(), "fan2", registry.Registration{})
			return err
		}},
		{"method", func(w *world, _ registry.ETag) error {
			_, err := w.client.Call(w.Context(), "fan1", "x", nil, nil)
			return err
		}},
	}
	tests := []struct {
		name  string
		fault hubtest.Action
		want  string // by kind: 2 for two attempts, 1 for one
		err   error  // where there was one
	}{
		{"throttled", hubtest.Fail(429001), "222222", transport.ErrThrottled},
		{"server error", hubtest.Fail(500001), "222111", transport.ErrUnavailable},
		{"bad gateway", hubtest.Answer(502, "oops"), "222111", transport.ErrUnavailable},
		{"unavailable", hubtest.Fail(503001), "222111", transport.ErrUnavailable},
		{"gateway's time-out", hubtest.Answer(504, ""), "222111", transport.ErrUnavailable},
		{"the line is cut", hubtest.Cut(), "222111", transport.ErrLost},
		{"the request is lost", hubtest.Drop(), "222111", transport.ErrStalled},
		{"bad request", hubtest.Fail(400004), "111111", transport.ErrRejected},
		{"unauthorized", hubtest.Fail(401002), "111111", transport.ErrUnauthorized},
		{"quota", hubtest.Fail(403002), "111111", transport.ErrQuota},
		{"precondition", hubtest.Fail(412001), "111111", transport.ErrPrecondition},
	}
	for _, test := range tests {
		for k, kind := range kinds {
			story(t, nil, func(t *testing.T, w *world) {
				w.device("fan1")
				etag := w.twin("fan1").ETag
				w.hub.Intercept(hubtest.FromService(""), test.fault)
				var err error
				n := w.requests(func() { err = kind.do(w, etag) })
				if want := int(test.want[k] - '0'); n != want {
					t.Errorf("%s of a %s: %d attempts, want %d", test.name, kind.name, n, want)
				}
				switch {
				case n == 1 && !errors.Is(err, test.err):
					t.Errorf("%s of a %s: got %v, want %v", test.name, kind.name, err, test.err)
				case n == 2 && kind.name != "method" && err != nil, n == 2 && kind.name == "method" && !errors.Is(err, registry.ErrOffline):
					t.Errorf("%s of a %s: the second attempt: %v", test.name, kind.name, err)
				}
			})
		}
	}
}

// An update whose answer was lost is not performed twice, and says what may
// have happened.
func TestLostAnswerOfAnUpdate(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		before := w.twin("fan1")
		w.hub.Intercept(hubtest.FromService("PATCH /twins/fan1"), hubtest.CutAfter())
		_, err := w.client.UpdateTwin(w.Context(), "fan1", before.ETag, registry.Change{Desired: twin.Set("a", 1)})
		if !errors.Is(err, transport.ErrPrecondition) || !strings.Contains(err.Error(), "may have been performed") {
			t.Errorf("got %v, want ErrPrecondition that tells of the lost answer", err)
		}
		if got := w.twin("fan1").Desired.Version(); got != before.Desired.Version()+1 {
			t.Errorf("performed %d times, want once", got-before.Desired.Version())
		}
	})
}

// Each attempt is one request, whatever became of the line: a GET is not repeated
// by package net/http, too.
func TestAttemptsCountOnce(t *testing.T) {
	change := registry.Change{Desired: twin.Set("a", 1)}
	faults := []hubtest.Action{hubtest.Fail(429001), hubtest.Fail(503001), hubtest.Cut(), hubtest.CutAfter()}
	for _, kind := range []struct {
		name string
		want [4]int // by fault
		do   func(w *world, c *registry.Client, etag registry.ETag) error
	}{
		{"get", [4]int{5, 5, 5, 5}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, err := c.Twin(w.Context(), "d")
			return err
		}},
		{"list", [4]int{5, 5, 5, 5}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, err := c.Devices(w.Context(), 0)
			return err
		}},
		{"modules", [4]int{5, 5, 5, 5}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, err := c.Modules(w.Context(), "d")
			return err
		}},
		{"query", [4]int{5, 5, 5, 5}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, _, err := c.QueryPage(w.Context(), "SELECT * FROM devices", nil)
			return err
		}},
		{"update", [4]int{5, 5, 5, 5}, func(w *world, c *registry.Client, etag registry.ETag) error {
			_, err := c.UpdateTwin(w.Context(), "d", etag, change)
			return err
		}},
		{"blind update", [4]int{5, 1, 1, 1}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, err := c.UpdateTwin(w.Context(), "d", registry.AnyETag, change)
			return err
		}},
		{"creation", [4]int{5, 1, 1, 1}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, err := c.CreateRegistration(w.Context(), "e", registry.Registration{})
			return err
		}},
		{"method", [4]int{5, 1, 1, 1}, func(w *world, c *registry.Client, _ registry.ETag) error {
			_, err := c.Call(w.Context(), "d", "m", nil, nil)
			return err
		}},
		{"blind deletion", [4]int{5, 1, 1, 1}, func(w *world, c *registry.Client, _ registry.ETag) error {
			return c.DeleteRegistration(w.Context(), "d", registry.AnyETag)
		}},
	} {
		for n, fault := range faults {
			for _, own := range []bool{false, true} {
				story(t, nil, func(t *testing.T, w *world) {
					w.device("d")
					c := w.client
					if own {
						c = w.dial(&registry.Options{Transport: w.transport()})
					}
					tw, err := c.Twin(w.Context(), "d") // whose line is used again
					if err != nil {
						t.Fatal(err)
					}
					w.hub.Intercept(hubtest.FromService(""), fault.Times(-1))
					if got := w.requests(func() { err = kind.do(w, c, tw.ETag) }); got != kind.want[n] || err == nil {
						t.Errorf("%s, fault %d, Transport %t: sent %d times, want %d (%v)", kind.name, n, own, got, kind.want[n], err)
					}
				})
			}
		}
	}
}

// transport is one of the user's own that leads to the hub.
func (w *world) transport() *http.Transport {
	own := &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return w.hub.Stream(ctx, transport.Target{Protocol: "https", Host: w.hub.Host(), Port: 443})
	}}
	w.Cleanup(own.CloseIdleConnections)
	return own
}

// A deletion whose answer was lost finds nothing then. That is no word about a
// twin that the hub does not know.
func TestLostAnswerOfADeletion(t *testing.T) {
	for id, request := range map[string]string{"fan1": "DELETE /devices/fan1", "fan1/cam": "DELETE /devices/fan1/modules/cam"} {
		story(t, nil, func(t *testing.T, w *world) {
			w.device("fan1")
			if _, err := w.hub.AddDevice("fan1/cam"); err != nil {
				t.Fatal(err)
			}
			i, err := w.client.Registration(w.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			w.hub.Intercept(hubtest.FromService(request), hubtest.CutAfter())
			err = w.client.DeleteRegistration(w.Context(), id, i.ETag)
			if !errors.Is(err, transport.ErrPrecondition) || errors.Is(err, transport.ErrNotFound) || !strings.Contains(err.Error(), "may have been performed") {
				t.Errorf("%s: got %v, want ErrPrecondition that tells of the lost answer", id, err)
			}
			err = w.client.DeleteRegistration(w.Context(), id, i.ETag)
			if !errors.Is(err, transport.ErrNotFound) || errors.Is(err, transport.ErrPrecondition) {
				t.Errorf("%s, once more: got %v, want ErrNotFound", id, err)
			}
		})
	}
	// An update that finds nothing fails with that, and what came before.
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		etag := w.twin("fan1").ETag
		w.hub.Intercept(hubtest.FromService("PATCH /twins/fan1"), hubtest.Cut())
		w.hub.Intercept(hubtest.FromService("PATCH /twins/fan1"), hubtest.Fail(404001))
		_, err := w.client.UpdateTwin(w.Context(), "fan1", etag, registry.Change{Tags: twin.Set("a", 1)})
		if !errors.Is(err, transport.ErrNotFound) || !strings.Contains(err.Error(), "may have been performed") {
			t.Errorf("got %v, want ErrNotFound that tells of the lost answer", err)
		}
	})
}

// Attempts are few, and their pauses grow; the hub's wish rules.
func TestPauses(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		get := func(ctx context.Context) (n int, took time.Duration, err error) {
			began := time.Now()
			n = w.requests(func() { _, err = w.client.Twin(ctx, "fan1") })
			return n, time.Since(began), err
		}
		remove := w.hub.Intercept(hubtest.FromService(""), hubtest.Fail(503001).Times(-1))
		n, took, err := get(w.Context())
		if n != 5 || took < 3750*time.Millisecond || took > 7500*time.Millisecond || !errors.Is(err, transport.ErrUnavailable) {
			t.Errorf("always unavailable: %d attempts in %v, %v; want 5 in half to whole of 7.5s", n, took, err)
		}
		remove()
		w.hub.Intercept(hubtest.FromService(""), hubtest.Fail(429001).RetryAfter(42*time.Second))
		if n, took, err = get(w.Context()); n != 2 || took < 42*time.Second || took > 43*time.Second || err != nil {
			t.Errorf("Retry-After 42 s: %d attempts in %v, %v; want 2 in 42s", n, took, err)
		}
		w.hub.Intercept(hubtest.FromService(""), hubtest.Fail(429001).RetryAfter(10*time.Minute))
		var status *transport.StatusError
		if n, _, err = get(w.Context()); n != 1 || !errors.As(err, &status) || status.RetryAfter != 10*time.Minute {
			t.Errorf("Retry-After 10 min: %d attempts, %v; want 1, with the wish in the error", n, err)
		}
		w.hub.Intercept(hubtest.FromService(""), hubtest.Fail(429001).RetryAfter(42*time.Second))
		if n, took, err = get(within(t, 10*time.Second)); n != 1 || took != 0 || !errors.Is(err, transport.ErrThrottled) {
			t.Errorf("Retry-After beyond the deadline: %d attempts in %v, %v; want the hub's word at once", n, took, err)
		}

		one := w.dial(&registry.Options{MaxAttempts: 1})
		w.hub.Intercept(hubtest.FromService(""), hubtest.Fail(429001))
		if _, err := one.Twin(w.Context(), "fan1"); !errors.Is(err, transport.ErrThrottled) {
			t.Errorf("one attempt: got %v, want ErrThrottled", err)
		}
	})
}

// Nothing hangs: an attempt has its time-out, and each wait its context.
func TestTimeouts(t *testing.T) {
	story(t, &registry.Options{Timeout: 5 * time.Second, MaxAttempts: 1}, func(t *testing.T, w *world) {
		w.device("fan1")
		w.hub.Intercept(hubtest.FromService(""), hubtest.Drop().Times(-1))
		began := time.Now()
		if _, err := w.client.Twin(w.Context(), "fan1"); !errors.Is(err, transport.ErrStalled) || errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("no answer: got %v after %v, want ErrStalled after 5s", err, time.Since(began))
		}
		began = time.Now()
		if _, err := w.client.Twin(within(t, time.Second), "fan1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("the caller's deadline: got %v after %v, want DeadlineExceeded after 1s", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		if _, err := w.client.Twin(ctx, "fan1"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: got %v, want Canceled", err)
		}
		began = time.Now()
		if _, err := w.client.Call(w.Context(), "fan1", "x", nil, &registry.CallOptions{ResponseTimeout: 10 * time.Second, ConnectTimeout: 20 * time.Second}); !errors.Is(err, transport.ErrStalled) || time.Since(began) != 35*time.Second {
			t.Errorf("a method: got %v after %v, want ErrStalled after 35s", err, time.Since(began))
		}
		// While it waits for its next attempt, too.
		patient := w.dial(nil)
		w.hub.Intercept(func(m hubtest.Message) bool { return false }, hubtest.Pass())
		ctx, cancel = context.WithCancel(w.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := w.hub.SetLine(false); err != nil {
			t.Fatal(err)
		}
		if _, err := patient.Twin(ctx, "fan1"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in a pause: got %v, want Canceled", err)
		}
	})
}

// Without a line nothing was sent, so even a blind write is tried again.
func TestNoLine(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		opened, fail := 0, 2
		c := w.dial(&registry.Options{Stream: func(ctx context.Context, target transport.Target) (net.Conn, error) {
			if opened++; opened <= fail {
				return nil, errors.New("no carrier")
			}
			if target.Port != 443 || target.Host != w.hub.Host() {
				t.Errorf("target: got %s:%d", target.Host, target.Port)
			}
			return w.hub.Stream(ctx, target)
		}})
		change := registry.Change{Tags: twin.Set("a", 1)}
		if _, err := c.UpdateTwin(w.Context(), "fan1", registry.AnyETag, change); err != nil || opened != 3 {
			t.Errorf("got %v after %d lines, want success after 3", err, opened)
		}
		_ = c.Close()
		opened, fail = 0, 100
		if _, err := c.UpdateTwin(w.Context(), "fan1", registry.AnyETag, change); !errors.Is(err, transport.ErrUnavailable) || !strings.Contains(err.Error(), "no carrier") || opened != 5 {
			t.Errorf("got %v after %d lines, want ErrUnavailable with the cause after 5", err, opened)
		}
	})
}
