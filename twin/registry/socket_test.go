package registry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// The same over TLS, in memory and on real sockets, with the library's HTTP
// client and with one of the user's own.
func TestLines(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	if _, err := hub.AddDevice("fan1"); err != nil {
		t.Fatal(err)
	}
	addr, err := hub.Listen("127.0.0.1:0", hubtest.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	owner, _ := hub.Policy("iothubowner")
	trusting := &tls.Config{RootCAs: hub.RootCAs()}
	own := &http.Transport{TLSClientConfig: trusting, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
	}}
	defer own.CloseIdleConnections()
	// One that trusts the system's roots only.
	strict := &http.Transport{DialContext: own.DialContext}
	defer strict.CloseIdleConnections()
	tests := []struct {
		name string
		opts registry.Options
		want error
	}{
		{"TLS in memory", registry.Options{Stream: transport.TLS(&transport.TLSOptions{Config: trusting, DialContext: hub.DialContext})}, nil},
		{"TLS on a socket", registry.Options{Stream: transport.TLS(&transport.TLSOptions{Config: trusting, Address: addr.String()})}, nil},
		{"a transport", registry.Options{Transport: own}, nil},
		{"a CA that is not trusted", registry.Options{Stream: transport.TLS(&transport.TLSOptions{Address: addr.String()})}, transport.ErrUntrusted},
		{"a transport that does not trust it", registry.Options{Transport: strict}, transport.ErrUntrusted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c, err := registry.New(connectionString(hub.Host(), owner), &test.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				tw, err := c.Twin(ctx, "fan1")
				if err == nil {
					_, err = c.UpdateTwin(ctx, "fan1", tw.ETag, registry.Change{Tags: twin.Set("a", 1)})
				}
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
			}
		})
	}
	if err := hub.SetLine(false); err != nil {
		t.Fatal(err)
	}
	c, err := registry.New(connectionString(hub.Host(), owner), &registry.Options{Stream: hub.Stream, MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Twin(t.Context(), "fan1"); !errors.Is(err, transport.ErrUnavailable) || !errors.Is(err, hubtest.ErrLineDown) {
		t.Errorf("line down: got %v, want ErrUnavailable with its cause", err)
	}
}

// Many at once share the client.
func TestConcurrentUse(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		w.device("fan1")
		done := make(chan error, 32)
		for i := range cap(done) {
			go func() {
				for { // every one counts once, whoever is first
					tw, err := w.client.Twin(w.Context(), "fan1")
					if err == nil {
						_, err = w.client.UpdateTwin(w.Context(), "fan1", tw.ETag, registry.Change{Tags: twin.Set("n"+itoa(i), i)})
					}
					if !errors.Is(err, transport.ErrPrecondition) {
						done <- err
						return
					}
				}
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		n := 0
		for range w.twin("fan1").Tags.All() {
			n++
		}
		if n != cap(done) {
			t.Errorf("%d tags, want %d: an update was lost", n, cap(done))
		}
	})
}
