package registry_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// wire is an http.RoundTripper that answers as it is told, and keeps what it
// was asked.
type wire struct {
	mu      sync.Mutex
	asked   []*http.Request
	answers func(r *http.Request) *http.Response
}

func (x *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked = append(x.asked, r)
	return x.answers(r), nil
}

const emptyTwin = `{"deviceId":"x","properties":{"desired":{"$version":1},"reported":{"$version":1}}}`

// A policy's tokens last an hour, are used again, and renewed before their end.
func TestSignedTokens(t *testing.T) {
	x := &wire{answers: func(*http.Request) *http.Response { return response(200, emptyTwin) }}
	story(t, &registry.Options{Transport: x}, func(t *testing.T, w *world) {
		began := time.Now()
		for range 120 {
			w.twin("x")
			time.Sleep(time.Minute)
		}
		ends := map[string]int{}
		for n, r := range x.asked {
			text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "SharedAccessSignature ")
			fields, err := url.ParseQuery(text)
			if !ok || err != nil || fields.Get("sr") != w.hub.Host() || fields.Get("skn") != "iothubowner" {
				t.Fatalf("request %d: got %q, %v", n, text, err)
			}
			ends[fields.Get("se")]++
			se, _ := strconv.ParseInt(fields.Get("se"), 10, 64)
			if left := time.Unix(se, 0).Sub(began.Add(time.Duration(n) * time.Minute)); left < 9*time.Minute {
				t.Errorf("request %d: its token has %v left, want 9 minutes at least", n, left)
			}
		}
		if len(ends) != 3 {
			t.Errorf("in two hours: got %d tokens, want 3", len(ends))
		}
		if r := x.asked[0]; r.URL.String() != "https://hub.devicetwin.test/twins/x?api-version=2021-04-12" || r.Header.Get("User-Agent") != "devicetwin-go" {
			t.Errorf("got %s by %s", r.URL, r.Header.Get("User-Agent"))
		}
	})
}

// source is a TokenSource that counts.
type source struct {
	calls int
	token func(n int) (string, time.Time, error)
}

func (s *source) next(ctx context.Context) (string, time.Time, error) {
	if err := ctx.Err(); err != nil {
		return "", time.Time{}, err
	}
	s.calls++
	return s.token(s.calls)
}

func TestBearerTokens(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		w.hub.Grant("backend", "IoT Hub Data Reader")
		s := &source{token: func(int) (string, time.Time, error) {
			text, err := w.hub.EntraToken("backend", "", time.Hour)
			return text, time.Now().Add(time.Hour), err
		}}
		c, err := registry.NewWithTokens(w.hub.Host(), s.next, w.options(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		get := func() error { _, err := c.Twin(w.Context(), "fan1"); return err }
		for range 5 {
			if err := get(); err != nil {
				t.Fatal(err)
			}
		}
		if s.calls != 1 {
			t.Errorf("five requests: %d tokens, want 1", s.calls)
		}
		time.Sleep(52 * time.Minute)
		if err := get(); err != nil || s.calls != 2 {
			t.Errorf("8 minutes before its end: %v after %d tokens, want 2", err, s.calls)
		}
		// A token that the hub refuses is not used again.
		w.hub.Intercept(hubtest.FromService(""), hubtest.Fail(401002))
		if err := get(); !errors.Is(err, transport.ErrUnauthorized) {
			t.Errorf("refused: got %v, want ErrUnauthorized", err)
		}
		if err := get(); err != nil || s.calls != 3 {
			t.Errorf("after a refusal: %v after %d tokens, want 3", err, s.calls)
		}
		if _, err := c.CreateRegistration(w.Context(), "x", registry.Registration{}); !errors.Is(err, transport.ErrUnauthorized) || !strings.Contains(err.Error(), "Principal backend is not authorized") {
			t.Errorf("without the role: got %v", err)
		}

		broken := errors.New("no token today")
		for _, test := range []struct {
			name  string
			token func(int) (string, time.Time, error)
			want  error
			text  string
		}{
			{"an error", func(int) (string, time.Time, error) { return "", time.Time{}, broken }, broken, "get a token"},
			{"nothing", func(int) (string, time.Time, error) { return "", time.Now().Add(time.Hour), nil }, nil, "empty token"},
			{"one that has ended", func(int) (string, time.Time, error) { return "x", time.Now(), nil }, auth.ErrTokenExpired, "ended"},
		} {
			bad, err := registry.NewWithTokens(w.hub.Host(), (&source{token: test.token}).next, w.options(nil))
			if err != nil {
				t.Fatal(err)
			}
			n := w.requests(func() { _, err = bad.Twin(w.Context(), "fan1") })
			if test.want != nil && !errors.Is(err, test.want) || err == nil || !strings.Contains(err.Error(), test.text) || n != 0 {
				t.Errorf("%s: got %v after %d requests, want %q and none", test.name, err, n, test.text)
			}
			_ = bad.Close()
		}
	})
}

// A source that is slow holds up nobody longer than his context.
func TestSlowSource(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		c, err := registry.NewWithTokens(w.hub.Host(), slowSource, w.options(&registry.Options{MaxAttempts: 1}))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		done := make(chan error, 1)
		go func() { _, err := c.Twin(w.Context(), "x"); done <- err }()
		time.Sleep(time.Second)
		if _, err := c.Twin(within(t, time.Second), "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("behind another: got %v, want DeadlineExceeded", err)
		}
		if err := <-done; !errors.Is(err, transport.ErrStalled) {
			t.Errorf("a source that never comes back: got %v, want ErrStalled", err)
		}
	})
}

// slowSource is a TokenSource that blocks until its context ends.
func slowSource(ctx context.Context) (string, time.Time, error) {
	<-ctx.Done()
	return "", time.Time{}, ctx.Err()
}

// fieldOf finds the field that a case of TestOptions is about.
func fieldOf(name string) string {
	for _, field := range []string{"Stream", "TokenLifetime", "Timeout", "MaxAttempts", "Product"} {
		if strings.Contains(name, field) {
			return field
		}
	}
	return "?"
}

func TestOptions(t *testing.T) {
	good := connectionString("hub.example.net", hubtest.Policy{Name: "service", PrimaryKey: keyText})
	stream := func(context.Context, transport.Target) (net.Conn, error) { return nil, errors.New("no") }
	for name, o := range map[string]*registry.Options{
		"Stream":               {Stream: stream, Transport: http.DefaultTransport},
		"Timeout":              {Timeout: -1},
		"Timeout without unit": {Timeout: 60},
		"a line in Product":    {Product: "a\nb"},
		"Product in Greek":     {Product: "βήτα"},
		"long Product":         {Product: strings.Repeat("a", 257)},
		"MaxAttempts":          {MaxAttempts: -1},
		"TokenLifetime":        {TokenLifetime: time.Second},
		"long TokenLifetime":   {TokenLifetime: 400 * 24 * time.Hour},
	} {
		if _, err := registry.New(good, o); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "Options."+fieldOf(name)+" ") {
			t.Errorf("%s: got %v, want ErrInvalid that names the option", name, err)
		}
		if _, err := registry.NewWithTokens("hub.example.net", slowSource, o); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s with tokens: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := registry.NewWithTokens("hub.example.net:443", slowSource, nil); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a port: got %v, want ErrInvalid", err)
	}
	if _, err := registry.NewWithTokens("hub.example.net", nil, nil); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("no source: got %v, want ErrInvalid", err)
	}
	c, err := registry.New(good, nil)
	if err != nil {
		t.Fatalf("no options: %v", err)
	}
	_ = c.Close()
}
