package device_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A dialFunc is a transport without a hub.
type dialFunc func(ctx context.Context, login transport.Login) (transport.Conn, error)

func (f dialFunc) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	return f(ctx, login)
}

// fails is a transport at which every login fails.
func fails(err error) dialFunc {
	return func(context.Context, transport.Login) (transport.Conn, error) { return nil, err }
}

// aToken is one that is good for a day.
func aToken(t *testing.T) auth.Token {
	t.Helper()
	key, err := auth.ParseKey("c2VjcmV0")
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.SignToken(own.Key{}, t.Context(), key, someone().Audience(), "", time.Now().Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func someone() auth.Identity { return auth.Identity{Host: "hub.example", DeviceID: "dev1"} }

// A diaryOfStates keeps what OnState hears.
type diaryOfStates struct {
	mu     sync.Mutex
	states []device.State
}

func (d *diaryOfStates) hear(s device.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.states = append(d.states, s)
}

// of returns the states of a phase that were heard.
func (d *diaryOfStates) of(phase device.Phase) (all []device.State) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.states {
		if s.Phase == phase {
			all = append(all, s)
		}
	}
	return all
}

// TestPaceOfFailures holds the table of failures in the package's documentation:
// how fast each is tried again, and whether it ends the wait of Connect.
func TestPaceOfFailures(t *testing.T) {
	const second, most = time.Second, 2 * time.Minute
	unknown := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	made, err := hubtest.SelfSigned("dev1", &hubtest.IssueOptions{NotAfter: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	ended, err := tls.X509KeyPair(made.CertificatePEM, made.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	token := func(_ context.Context) (auth.Token, error) { return aToken(t), nil }
	for name, tc := range map[string]struct {
		dial  error
		cred  auth.Credential // nil for a good token
		clock time.Time       // the wall clock at the start, zero for the right one
		base  time.Duration   // of the first delay
		fixed bool            // every delay is base
		tells bool            // Connect returns
		slow  int             // failures from which on the base is 15 s, and Connect returns
	}{
		"line cannot be opened":        {dial: fmt.Errorf("%w: no route", transport.ErrUnavailable), base: second},
		"line is lost":                 {dial: transport.ErrLost, base: second},
		"no sign of life":              {dial: transport.ErrStalled, base: second},
		"peer breaks the protocol":     {dial: transport.ErrProtocol, base: second},
		"any other":                    {dial: errors.New("the modem is off"), base: second},
		"identity refused":             {dial: transport.ErrUnauthorized, base: 15 * second, tells: true},
		"hub not trusted":              {dial: transport.ErrUntrusted, base: 15 * second, tells: true},
		"hub not trusted, by Go":       {dial: unknown, base: 15 * second, tells: true},
		"CONNACK 3 again and again":    {dial: fmt.Errorf("%w: %w", transport.ErrDisabled, transport.ErrUnavailable), base: second, slow: 4},
		"given token expired":          {cred: auth.StaticToken(expired(t)), base: 15 * second, tells: true},
		"certificate out of its time":  {cred: presents{cert: &ended}, base: 15 * second, tells: true},
		"credential fails":             {cred: presents{err: errors.New("the TPM is busy")}, base: second, tells: true},
		"credential gives nonsense":    {cred: presents{err: auth.ErrInvalid}, base: 15 * second, tells: true},
		"clock implausible":            {clock: time.Unix(5, 0), base: 5 * second, fixed: true, tells: true},
		"wrong configuration, at once": {dial: auth.ErrInvalid, tells: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
				start := time.Now()
				cred := tc.cred
				if cred == nil {
					cred = auth.TokenFunc(func(ctx context.Context, _ string) (auth.Token, error) { return token(ctx) })
				}
				opts := &device.Options{}
				var d diaryOfStates
				opts.OnState = d.hear
				if !tc.clock.IsZero() {
					opts.Now = func() time.Time { return tc.clock.Add(time.Since(start)) }
				}
				c := device.New(someone(), cred, fails(tc.dial), opts)
				defer c.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				err := c.Connect(ctx)
				if told := !errors.Is(err, context.DeadlineExceeded); told != (tc.tells || tc.slow > 0) {
					t.Errorf("Connect: %v after %v", err, time.Since(start))
				}
				if tc.tells && time.Since(start) > 0 {
					t.Errorf("Connect returned after %v", time.Since(start))
				}
				if tc.base == 0 { // the client has ended
					if got := c.State().Phase; got != device.Closed || !errors.Is(err, auth.ErrInvalid) {
						t.Errorf("the client is %v: %v", got, err)
					}
					return
				}
				time.Sleep(30 * time.Minute)
				waits := d.of(device.Waiting)
				if len(waits) < 15 {
					t.Fatalf("%d attempts in 30 minutes", len(waits))
				}
				var parts []float64
				for i, s := range waits {
					delay := s.RetryAt.Sub(s.Since)
					want := tc.base
					if tc.slow > 0 && i+1 >= tc.slow {
						want = 15 * second
					}
					if !tc.fixed {
						want = min(want<<min(i, 16), most)
						if delay < want/2 || delay > want {
							t.Errorf("failure %d: the next attempt after %v, want %v to %v", i+1, delay, want/2, want)
						}
						parts = append(parts, float64(delay)/float64(want))
					} else if delay != want {
						t.Errorf("failure %d: the next attempt after %v, want %v", i+1, delay, want)
					}
					if s.Attempt != i+1 {
						t.Errorf("failure %d is counted as %d in a row", i+1, s.Attempt)
					}
					if i > 0 && s.Since.Sub(waits[i-1].RetryAt) > time.Millisecond {
						t.Errorf("attempt %d was due at %v, and failed at %v", i+1, waits[i-1].RetryAt, s.Since)
					}
				}
				if !tc.fixed && (slices.Min(parts) > 0.75 || slices.Max(parts) < 0.75) {
					t.Errorf("delays are not spread over [d/2, d]: %.2f", parts)
				}
			})
		})
	}
}

// presents is a credential that has this certificate, or fails.
type presents struct {
	auth.Credential
	cert *tls.Certificate
	err  error
}

func (p presents) Certificate(context.Context) (*tls.Certificate, error) { return p.cert, p.err }
func (p presents) Token(context.Context, string, time.Time) (auth.Token, error) {
	return auth.Token{}, nil
}

func expired(t *testing.T) auth.Token {
	key, err := auth.ParseKey("c2VjcmV0")
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.SignToken(own.Key{}, t.Context(), key, someone().Audience(), "", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestDelaysAreForgottenAfterAMinuteOnline: after a shorter time they are not.
func TestDelaysAreForgottenAfterAMinuteOnline(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var d diaryOfStates
		c := w.online(&device.Options{OnState: d.hear})
		for range 8 { // online for 50 s each time
			time.Sleep(50 * time.Second)
			_ = w.hub.Device("dev1").Cut()
			synctest.Wait()
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		waits := d.of(device.Waiting)
		if delay := waits[7].RetryAt.Sub(waits[7].Since); delay < 30*time.Second || waits[7].Attempt != 8 {
			t.Errorf("after 8 connections of 50 s the next attempt is due after %v, as number %d", delay, waits[7].Attempt)
		}
		time.Sleep(61 * time.Second)
		_ = w.hub.Device("dev1").Cut()
		waits = d.of(device.Waiting)
		if delay := waits[8].RetryAt.Sub(waits[8].Since); delay > time.Second || waits[8].Attempt != 1 {
			t.Errorf("after a minute online the next attempt is due after %v, as number %d", delay, waits[8].Attempt)
		}
	})
}

// TestSlowOnStateHearsTheLast32: the oldest states go, and the rest is in order.
func TestSlowOnStateHearsTheLast32(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		var d diaryOfStates
		free := make(chan struct{})
		token := aToken(t)
		c := device.New(someone(), auth.TokenFunc(func(context.Context, string) (auth.Token, error) { return token, nil }),
			fails(transport.ErrLost), &device.Options{OnState: func(s device.State) {
				d.hear(s)
				if s.Attempt == 0 {
					<-free
				}
			}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_ = c.Connect(ctx)
		attempts := c.State().Attempt
		close(free)
		synctest.Wait()
		waits := d.of(device.Waiting)
		heard := len(waits) + len(d.of(device.Connecting))
		if heard != 1+32 || waits[len(waits)-1].Attempt != attempts || attempts < 20 {
			t.Errorf("OnState heard %d states, and attempt %d last; want 33, and %d", heard, waits[len(waits)-1].Attempt, attempts)
		}
		for i, s := range waits[1:] {
			if s.Attempt != waits[i].Attempt+1 {
				t.Errorf("attempt %d was heard after %d", s.Attempt, waits[i].Attempt)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOnStateMayCallTheClient: no lock is held, and the next state waits.
func TestOnStateMayCallTheClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var c *device.Client
		var running, calls int
		c = w.client(&device.Options{OnState: func(s device.State) {
			if running++; running > 1 {
				t.Error("two calls at once")
			}
			calls++
			_, _, _, _ = c.State(), c.Stats(), c.Desired(), c.Reported()
			if s.Phase == device.Online && calls == 2 {
				if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
					t.Errorf("UpdateReported: %v", err)
				}
				_, _ = c.GetTwin(t.Context())
				_ = c.Connect(t.Context())
				_ = c.ReportLater(t.Context(), twin.Set("m", 1))
				c.ForgetDurable("x")
				if _, err := c.OnDesired("a", new(ears).listener, nil); err != nil {
					t.Errorf("OnDesired: %v", err)
				}
				_ = w.hub.Device("dev1").Cut()
				time.Sleep(time.Minute)
				c.Stop()
			}
			running--
		}})
		_ = c.Connect(t.Context())
		time.Sleep(time.Hour)
		if got := c.State().Phase; got != device.Closed || calls < 5 {
			t.Errorf("the client is %v after %d calls", got, calls)
		}
	})
}
