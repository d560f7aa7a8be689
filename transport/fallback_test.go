package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A way is a Dialer whose every Dial is written down, with the time that its
// context left it.
type way struct {
	name string
	log  *[]string
	mu   *sync.Mutex
	dial func(ctx context.Context) error // nil: it works at once
}

type wayConn struct {
	transport.Conn
	by string
}

func (w *way) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	left := "no limit"
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end).String()
	}
	w.mu.Lock()
	*w.log = append(*w.log, w.name+" "+left)
	dial := w.dial
	w.mu.Unlock()
	if dial != nil {
		if err := dial(ctx); err != nil {
			return nil, err
		}
	}
	return wayConn{by: w.name}, nil
}

// blocked is a port whose packets are dropped.
func blocked(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: connect: %w", transport.ErrStalled, ctx.Err())
}

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// A street is two ways and what was tried of them.
type street struct {
	t             *testing.T
	log           []string
	mu            sync.Mutex
	first, second way
	dialer        transport.Dialer
}

func newStreet(t *testing.T, first, second func(context.Context) error, opts *transport.FallbackOptions) *street {
	s := &street{t: t}
	s.first = way{name: "first", log: &s.log, mu: &s.mu, dial: first}
	s.second = way{name: "second", log: &s.log, mu: &s.mu, dial: second}
	s.dialer = transport.Fallback(&s.first, &s.second, opts)
	return s
}

func loginAt(host string) transport.Login {
	return transport.Login{Identity: auth.Identity{Host: host, DeviceID: "dev1"}}
}

// dial wants a Dial with a minute to lead there by the way of that name after
// those tries.
func (s *street) dial(by string, tries ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	s.log = nil
	c, err := s.dialer.Dial(ctx, loginAt("h.example"))
	if err != nil {
		s.t.Fatalf("Dial: %v", err)
	}
	if got := c.(wayConn).by; got != by {
		s.t.Errorf("connected by the %s way; want the %s", got, by)
	}
	s.wantTries(tries...)
}

func (s *street) wantTries(want ...string) {
	s.t.Helper()
	if got := strings.Join(s.log, ", "); got != strings.Join(want, ", ") {
		s.t.Errorf("tried %s; want %s", got, strings.Join(want, ", "))
	}
}

func TestFallbackRemembersWhatWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asleep time.Duration // what Go's clock does not count
		start := time.Now()
		s := newStreet(t, blocked, nil, nil)
		transport.SetElapsed(s.dialer, func() time.Duration { return time.Since(start) + asleep })

		s.dial("second", "first 10s", "second 50s")
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("connected after %v; want 10s, though packets to the first way are dropped", got)
		}
		s.dial("second", "second 10s")
		asleep += 24*time.Hour - time.Second
		s.dial("second", "second 10s")
		asleep += time.Second
		s.dial("second", "first 10s", "second 50s") // the daily probe
		s.dial("second", "second 10s")
		asleep += 24 * time.Hour
		s.first.dial = nil
		s.dial("first", "first 10s")
		s.dial("first", "first 10s")
	})
}

func TestFallbackTurnsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, blocked, nil, nil)
		s.dial("second", "first 10s", "second 50s")
		s.first.dial, s.second.dial = nil, blocked // the device has moved
		s.dial("first", "second 10s", "first 50s")
		s.dial("first", "first 10s")
	})
}

func TestFallbackKeepsHostsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, blocked, nil, nil)
		s.dial("second", "first 10s", "second 50s")
		s.log = nil
		gateway := loginAt("h.example")
		gateway.Identity.Gateway = "gw.example"
		for range 2 {
			if _, err := s.dialer.Dial(t.Context(), gateway); err != nil {
				t.Fatal(err)
			}
		}
		s.wantTries("first 10s", "second no limit", "second 10s")
		// It remembers some hosts, and forgets no more than it must.
		for i := range 100 {
			if _, err := s.dialer.Dial(t.Context(), loginAt(fmt.Sprintf("h%d.example", i))); err != nil {
				t.Fatal(err)
			}
		}
		s.log = nil
		for i := range 100 {
			if _, err := s.dialer.Dial(t.Context(), loginAt(fmt.Sprintf("h%d.example", i))); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(strings.Join(s.log, ","), "first"); got < 36 || got > 100 {
			t.Errorf("of 100 hosts %d were tried by the first way again; want from 36 to 100, for 64 are remembered", got)
		}
	})
}

func TestFallbackTimes(t *testing.T) {
	for _, c := range []struct {
		name  string
		wait  time.Duration
		limit time.Duration // of the context; 0 for none
		want  []string
	}{
		{"by default", 0, time.Minute, []string{"first 10s", "second 50s"}},
		{"with a limit of one's own", 25 * time.Second, time.Minute, []string{"first 25s", "second 35s"}},
		{"never more than half", 40 * time.Second, time.Minute, []string{"first 30s", "second 30s"}},
		{"in a hurry", 0, 8 * time.Second, []string{"first 4s", "second 4s"}},
		{"without a limit", 0, 0, []string{"first 10s", "second no limit"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStreet(t, blocked, nil, &transport.FallbackOptions{Wait: c.wait})
				ctx := t.Context()
				if c.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.limit)
					defer cancel()
				}
				if _, err := s.dialer.Dial(ctx, loginAt("h.example")); err != nil {
					t.Fatal(err)
				}
				s.wantTries(c.want...)
			})
		})
	}
}

// TestFallbackReasons sorts what ends the first way: the hub was heard, or not.
func TestFallbackReasons(t *testing.T) {
	no := errors.New("no carrier")
	for _, c := range []struct {
		name  string
		err   error
		other bool // the other way is tried
	}{
		{"packets dropped", fmt.Errorf("%w: %w", transport.ErrStalled, context.DeadlineExceeded), true},
		{"connection refused", fmt.Errorf("%w: %w", transport.ErrUnavailable, &net.OpError{Op: "dial", Err: no}), true},
		{"name not found", &net.DNSError{Err: "no such host", Name: "h.example", IsNotFound: true}, true},
		{"a modem's own error", no, true},
		{"hung up in the handshake", transport.ErrLost, true},
		{"something that is no hub", transport.ErrProtocol, true},
		{"no TLS there", tls.RecordHeaderError{Msg: "x"}, true},
		{"refused identity", transport.ErrUnauthorized, false},
		{"untrusted certificate", fmt.Errorf("%w: %w", transport.ErrUntrusted, &tls.CertificateVerificationError{Err: no}), false},
		{"untrusted certificate, by another stream than TLS's", &tls.CertificateVerificationError{Err: no}, false},
		{"throttled", transport.ErrThrottled, false},
		{"quota", transport.NewStatusError(403, []byte(`{"errorCode":403002}`)), false},
		{"the hub's 503", transport.NewStatusError(503, nil), false},
		{"the hub's 403", transport.NewStatusError(403, nil), false},
		{"malformed identity", fmt.Errorf("%w: %w", transport.ErrUnsupported, auth.ErrInvalid), false},
		{"malformed configuration", auth.ErrInvalid, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStreet(t, fails(c.err), nil, nil)
			_, err := s.dialer.Dial(t.Context(), loginAt("h.example"))
			switch {
			case c.other && err != nil:
				t.Errorf("got error %v; want the second way", err)
			case !c.other && (!errors.Is(err, c.err) || err.Error() != c.err.Error()):
				t.Errorf("got error %v; want %v as it is", err, c.err)
			}
			if got := len(s.log) == 2; got != c.other {
				t.Errorf("tried %v; the second way among them is to be %v", s.log, c.other)
			}
		})
	}
}

func TestFallbackRefusedAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, blocked, fails(transport.ErrUnauthorized), nil)
		for i, tries := range [][]string{{"first 10s", "second no limit"}, {"second 10s"}} {
			s.log = nil
			_, err := s.dialer.Dial(t.Context(), loginAt("h.example"))
			if !errors.Is(err, transport.ErrUnauthorized) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, transport.ErrStalled) {
				t.Errorf("dial %d: got error %v; want ErrUnauthorized and nothing else", i, err)
			}
			s.wantTries(tries...) // the hub was reached, so the second way is the one
		}
	})
}

func TestFallbackBothFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := fmt.Errorf("%w: port 443 is closed", transport.ErrUnavailable)
		s := newStreet(t, blocked, fails(no), nil)
		for range 2 { // nothing is learnt
			s.log = nil
			_, err := s.dialer.Dial(t.Context(), loginAt("h.example"))
			if !errors.Is(err, transport.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got error %v; want the last way's class only: the caller's context goes on", err)
			}
			for _, part := range []string{"port 443 is closed", "connect: context deadline exceeded"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error %q; want it to tell both, %q too", err, part)
				}
			}
			s.wantTries("first 10s", "second no limit")
		}
	})
}

func TestFallbackContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, nil, nil, &transport.FallbackOptions{Probe: time.Hour})
		cancelled := func(dial func(context.Context) error) {
			t.Helper()
			s.first.dial = dial
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			s.log = nil
			start := time.Now()
			_, err := s.dialer.Dial(ctx, loginAt("h.example"))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v; want context.Canceled", err)
			}
			if got := time.Since(start); got != time.Second {
				t.Errorf("Dial ended after %v; want 1s", got)
			}
			s.wantTries("first 10s")
		}
		cancelled(blocked)
		cancelled(func(ctx context.Context) error { <-ctx.Done(); return errors.New("says nothing of the context") })

		// A probe that is cut short is made up for by the next Dial.
		s.dial("second", "first 10s", "second 50s")
		time.Sleep(time.Hour)
		cancelled(blocked)
		s.dial("second", "first 10s", "second 50s")
		s.dial("second", "second 10s")
	})
}

func TestFallbackBothDeadlinesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, blocked, blocked, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		_, err := s.dialer.Dial(ctx, loginAt("h.example"))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, transport.ErrStalled) {
			t.Errorf("got error %v; want the context's and ErrStalled", err)
		}
		if got := time.Since(start); got != 30*time.Second {
			t.Errorf("Dial ended after %v; want 30s", got)
		}
	})
}

// TestFallbackOneProbes has many identities connect when the probe is due.
func TestFallbackOneProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, blocked, nil, nil)
		s.dial("second", "first 10s", "second 50s")
		time.Sleep(24 * time.Hour)
		s.log = nil
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if c, err := s.dialer.Dial(t.Context(), loginAt("h.example")); err != nil || c.(wayConn).by != "second" {
					t.Errorf("Dial: got %v, %v; want the second way", c, err)
				}
			})
		}
		wg.Wait()
		if got := strings.Count(strings.Join(s.log, ","), "first"); got != 1 {
			t.Errorf("%d of 50 tried the first way; want 1, which spares the others the wait", got)
		}
	})
}

// TestFallbackNests has three ways, of which the last works.
func TestFallbackNests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t, blocked, blocked, nil)
		third := &way{name: "third", log: &s.log, mu: &s.mu}
		s.dialer = transport.Fallback(&s.first, transport.Fallback(&s.second, third, nil), nil)
		s.dial("third", "first 10s", "second 10s", "third 40s")
		s.dial("third", "third 5s")
	})
}
