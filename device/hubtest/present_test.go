package hubtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// client is a TLS client by crypto/tls alone, so that none of the library's
// means to present a certificate has a part in it.
type client struct {
	cert    *tls.Certificate
	version uint16 // 0 for the newest
	cache   tls.ClientSessionCache
}

// open speaks TLS over the hub's memory and returns the stream.
func (c client) open(t testing.TB, h *Hub) *raw {
	t.Helper()
	plain, err := h.DialContext(context.Background(), "tcp", h.Host()+":8883")
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	config := &tls.Config{
		ServerName: h.Host(), RootCAs: h.RootCAs(), Time: h.opts.Now, ClientSessionCache: c.cache,
		MinVersion: c.version, MaxVersion: c.version,
	}
	if c.cert != nil {
		config.Certificates = []tls.Certificate{*c.cert}
	}
	s := tls.Client(plain, config)
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatalf("SetDeadline: %v", err)
	}
	if err := s.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return &raw{t: t, conn: s, r: bufio.NewReader(s)}
}

// login says who it is and returns the hub's answer.
func (c client) login(t testing.TB, h *Hub, id, password string) (string, *raw) {
	t.Helper()
	s := c.open(t, h)
	s.send(bareHello(h, id, password).bytes())
	return s.receiveIn(patience), s
}

func bareHello(h *Hub, id, password string) connectPacket {
	return connectPacket{name: "MQTT", level: 4, keepAlive: 240, id: id, user: h.Host() + "/" + id + "/?api-version=2021-04-12", password: password}
}

// The answers to a login.
const (
	letIn   = "CONNACK sp=0 rc=0"
	refused = "CONNACK sp=0 rc=5"
	// unavailable is what a disabled identity hears.
	unavailable = "CONNACK sp=0 rc=3"
)

// reasons hears why a hub refuses logins.
type reasons struct {
	mu   sync.Mutex
	last string
}

func (r *reasons) logger() *slog.Logger                         { return slog.New(r) }
func (r *reasons) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (r *reasons) WithAttrs([]slog.Attr) slog.Handler           { return r }
func (r *reasons) WithGroup(string) slog.Handler                { return r }
func (r *reasons) Handle(_ context.Context, rec slog.Record) error {
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "reason" {
			r.mu.Lock()
			r.last = a.Value.String()
			r.mu.Unlock()
		}
		return true
	})
	return nil
}

// take returns the last reason, and forgets it.
func (r *reasons) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.last
	r.last = ""
	return s
}

// must is the value of a call that has to work.
func must[T any](t testing.TB, what string) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}
