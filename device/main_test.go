package device_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a hub with one device on it, in a bubble of virtual time that
// starts at a plausible date.
type world struct {
	*testing.T
	hub    *hubtest.Hub
	dev    hubtest.Device
	log    *logs
	stream transport.StreamFunc // the line: plain in memory, unless a test says otherwise
	dialer transport.Dialer     // nil for what -over names, on that line
	faults []func()             // remove what chaos intercepts
	broken bool                 // wrong configuration ends the client: Close may say so
	quotes bool                 // errors quote the names of what is secret

	companions int // on the same connection, with -over amqp-pool
}

// story runs a test in a bubble.
func story(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	storyAt(t, hubtest.Options{}, f)
}

// storyAt is story at a hub of a special kind.
func storyAt(t *testing.T, opts hubtest.Options, f func(t *testing.T, w *world)) {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	synctest.Test(t, func(t *testing.T) {
		// The bubble begins in 2000, which no board's clock should say.
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		hub := hubtest.New(t, &opts)
		dev, err := hub.AddDevice("dev1")
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, hub: hub, dev: dev, log: &logs{}, stream: hub.Stream}
		t.Cleanup(w.noSecrets)
		f(t, w)
	})
}

// noSecrets ends every story: no log of it may hold a key or a signature.
func (w *world) noSecrets() {
	text := w.log.String()
	for _, secret := range []string{w.dev.PrimaryKey, w.dev.SecondaryKey, "sig=", "SharedAccessSignature"} {
		if w.quotes && secret == "SharedAccessSignature" {
			continue
		}
		if strings.Contains(text, secret) {
			w.Errorf("the log holds %q:\n%s", secret, text)
		}
	}
}

// client makes a client on the in-memory line; Cleanup closes it.
func (w *world) client(opts *device.Options) *device.Client {
	w.Helper()
	var o device.Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c := w.bare(&o)
	c.Desired() // these stories are of firmware that uses the twin
	return c
}

// bare makes a client whose twin is not used.
func (w *world) bare(o *device.Options) *device.Client {
	w.Helper()
	c := device.New(w.dev.Identity, w.dev.Credential, w.dial(), o)
	w.Cleanup(func() {
		if err := c.Close(); err != nil && !w.broken {
			w.Errorf("Close: %v", err)
		}
	})
	return c
}

// dial is the transport of the story: the one that -over names, unless the test
// says otherwise.
func (w *world) dial() transport.Dialer {
	if w.dialer != nil {
		return w.dialer
	}
	dialer, ok := overs()[*over]
	if !ok {
		w.Fatalf("-over %s: it is mqtt, mqtt-ws, amqp, amqp-ws or amqp-pool", *over)
	}
	d := dialer(w.stream)
	if *over == "amqp-pool" {
		w.accompany(d)
	}
	return d
}

// accompany has another device use the same connection, as long as the story
// lasts.
func (w *world) accompany(d transport.Dialer) {
	w.companions++
	other, err := w.hub.AddDevice(fmt.Sprintf("company%d", w.companions))
	if err != nil {
		w.Fatal(err)
	}
	c := device.New(other.Identity, other.Credential, d, nil)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run(ctx)
	}()
	w.Cleanup(func() {
		cancel()
		<-ended
	})
}

// renewsInPlace reports whether a token is renewed without a new connection,
// which is what AMQP does otherwise than MQTT.
func (w *world) renewsInPlace() bool { return strings.HasPrefix(*over, "amqp") }

// logins counts from now on how often the device proves itself; over AMQP a
// renewal is a proof without a connection.
func (w *world) logins() func() int {
	var n atomic.Int64
	w.hub.Intercept(func(m hubtest.Message) bool {
		if hubtest.FromDevice("dev1", hubtest.Connect)(m) {
			n.Add(1)
		}
		return false
	}, hubtest.Pass())
	return func() int { return int(n.Load()) }
}

// over has every story of this package told over another transport.
var over = flag.String("over", "mqtt", "transport of the stories: mqtt, mqtt-ws, amqp, amqp-ws, or amqp-pool, in which another device shares the connection")

// overs are the transports, on a line to the hub.
func overs() map[string]func(transport.StreamFunc) transport.Dialer {
	socket := func(line transport.StreamFunc) transport.StreamFunc { return ws.Stream(&ws.Options{Stream: line}) }
	return map[string]func(transport.StreamFunc) transport.Dialer{
		"mqtt":    func(line transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: line} },
		"mqtt-ws": func(line transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: socket(line)} },
		"amqp":    func(line transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: line} },
		"amqp-ws": func(line transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: socket(line)} },
		"amqp-pool": func(line transport.StreamFunc) transport.Dialer {
			return amqp.NewPool(amqp.Dialer{Stream: line}, nil)
		},
	}
}

// online makes a client and connects it.
func (w *world) online(opts *device.Options) *device.Client {
	w.Helper()
	c := w.client(opts)
	if err := c.Connect(w.Context()); err != nil {
		w.Fatalf("Connect: %v", err)
	}
	return c
}

func (w *world) setDesired(patch string) {
	w.Helper()
	if _, err := w.hub.Device("dev1").SetDesired(patch); err != nil {
		w.Fatal(err)
	}
}

// reported is the hub's reported half of the device, as JSON.
func (w *world) reported() string {
	w.Helper()
	tw, err := w.hub.Device("dev1").Twin()
	if err != nil {
		w.Fatal(err)
	}
	return string(tw.Reported.JSON)
}

func (w *world) wantReported(what, want string) {
	w.Helper()
	if got := w.reported(); got != want {
		w.Errorf("%s: the hub has %s, want %s", what, got, want)
	}
}

// logs keeps what is logged, for a look at the end.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// ears gathers what a listener hears.
type ears struct {
	mu    sync.Mutex
	heard []twin.Change
}

func (e *ears) listener(_ context.Context, c twin.Change) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, c)
	return nil
}

// take returns what was heard since the last take, as "cause value" lines.
func (e *ears) take() []string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	var lines []string
	for _, c := range e.heard {
		text := "-"
		if c.Value.Exists() {
			text = string(c.Value.JSON())
		}
		lines = append(lines, c.Cause.String()+" "+text)
	}
	e.heard = nil
	return lines
}

// hubConfig trusts the hub's own CA.
func hubConfig(hub *hubtest.Hub) *tls.Config { return &tls.Config{RootCAs: hub.RootCAs()} }
