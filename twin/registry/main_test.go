package registry_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a hub with a client of the registry, in virtual time.
type world struct {
	*testing.T
	hub    *hubtest.Hub
	owner  hubtest.Policy
	client *registry.Client
	log    *logs
}

// story runs a test in a bubble that begins at a date of today.
func story(t *testing.T, opts *registry.Options, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		w := &world{T: t, hub: hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)}), log: &logs{}}
		w.owner, _ = w.hub.Policy("iothubowner")
		w.client = w.dial(opts)
		f(t, w)
		for _, secret := range []string{w.owner.PrimaryKey, "sig=", "SharedAccessSignature", "Bearer"} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log holds %q:\n%s", secret, w.log)
			}
		}
	})
}

// dial makes a client of the hub's owner.
func (w *world) dial(opts *registry.Options) *registry.Client {
	w.Helper()
	c, err := registry.New(connectionString(w.hub.Host(), w.owner), w.options(opts))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) options(opts *registry.Options) *registry.Options {
	var o registry.Options
	if opts != nil {
		o = *opts
	}
	if o.Stream == nil && o.Transport == nil {
		o.Stream = w.hub.Stream
	}
	o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &o
}

func connectionString(host string, p hubtest.Policy) string {
	return "HostName=" + host + ";SharedAccessKeyName=" + p.Name + ";SharedAccessKey=" + p.PrimaryKey
}

func (w *world) device(id string) hubtest.Device {
	w.Helper()
	d, err := w.hub.AddDevice(id)
	if err != nil {
		w.Fatal(err)
	}
	return d
}

// twin gets a twin that must be there.
func (w *world) twin(id string) registry.Twin {
	w.Helper()
	t, err := w.client.Twin(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return t
}

// requests runs f and counts what arrives at the hub meanwhile.
func (w *world) requests(f func()) int {
	before := w.hub.Stats().Requests
	f()
	return w.hub.Stats().Requests - before
}

// logs is a log that a test can look into.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// code is the hub's error code in an error, 0 for none.
func code(err error) int {
	var s *transport.StatusError
	if errors.As(err, &s) {
		return s.Code
	}
	return 0
}

// within is a context in virtual time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func itoa(n int) string { return strconv.Itoa(n) }
