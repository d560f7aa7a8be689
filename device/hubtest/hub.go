package hubtest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Errors of the back end's side. What the hub's rules refuse is a
// *transport.StatusError, as a service would get it.
var (
	// ErrClosed says that the hub was closed.
	ErrClosed = errors.New("hubtest: hub is closed")
	// ErrUnknown says that there is no such device, module or CA.
	ErrUnknown = errors.New("hubtest: no such device, module or CA; add it first")
	// ErrExists says that there is one already.
	ErrExists = errors.New("hubtest: device or module exists already")
	// ErrOffline says that the device has no connection at present.
	ErrOffline = errors.New("hubtest: device is not connected")
	// ErrLineDown is how opening a stream fails while the line is down.
	ErrLineDown = errors.New("hubtest: the line is down")
)

// A Hub is an IoT Hub in this process. Its methods may be called
// concurrently, and from an Intercept's match function, except Close.
type Hub struct {
	opts Options
	log  *slog.Logger
	done chan struct{}  // closed by Close
	wg   sync.WaitGroup // every goroutine of the hub
	ca   authority
	idp  idp
	web  web

	devices deviceAuthority
	misused func(error) // hears of calls that mean nothing

	// mu guards what follows. It is held for moments, never across I/O or a
	// call of user code: so it never stops virtual time.
	mu         sync.Mutex
	closed     bool
	identities map[string]*identity // by "device" or "device/module"
	policies   map[string]Policy
	cas        map[string]*x509.Certificate // by name
	stats      map[string]*Stats            // by id, kept when the device goes; "" is the sum
	conns      map[*conn]struct{}
	listeners  []net.Listener
	rules      []*rule
	down       map[string]bool     // whose line is down; "" is everyone's
	stalled    map[string]bool     // whose line stalls; "" is everyone's
	gate       chan struct{}       // closed and replaced when stalled changes
	faultCount uint64              // numbers the tracking ids
	generation int64               // of the youngest identity
	calls      map[string]*call    // direct methods under way, by request id
	callCount  uint64              // numbers them
	grants     map[string][]string // by principal
	failures   []error             // what a test asked for and was not done
}

// Start starts a hub. The caller closes it.
func Start(opts *Options) (*Hub, error) {
	o, err := opts.fill()
	if err != nil {
		return nil, err
	}
	h := &Hub{
		opts:       o,
		log:        o.Logger,
		done:       make(chan struct{}),
		identities: map[string]*identity{},
		policies:   map[string]Policy{},
		cas:        map[string]*x509.Certificate{},
		stats:      map[string]*Stats{"": {}},
		conns:      map[*conn]struct{}{},
		down:       map[string]bool{},
		stalled:    map[string]bool{},
		gate:       make(chan struct{}),
		calls:      map[string]*call{},
		grants:     map[string][]string{},
	}
	h.misused = h.fail
	for _, p := range defaultPolicies() {
		if _, err := h.AddPolicy(p); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Close ends the hub: listeners, connections, delayed messages. It returns
// when all of its goroutines have ended. The error includes what [Edit] could not
// do. Closing again does nothing.
func (h *Hub) Close() error {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.done)
	}
	listeners, conns := h.listeners, slices.Collect(maps.Keys(h.conns))
	h.listeners = nil
	h.mu.Unlock()

	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for _, c := range conns {
		c.close("hub closed")
		_ = c.raw.Close() // if it had ended, and waited for its client
	}
	h.wg.Wait()
	return errors.Join(append(errs, h.failed())...)
}

// Host is the hub's full name.
func (h *Hub) Host() string { return h.opts.Host }

// Stream opens an in-memory byte stream to the hub: a transport.StreamFunc
// without TLS, made for virtual time. The target's port tells the protocol;
// its host is not looked up, as if every name led here.
func (h *Hub) Stream(ctx context.Context, target transport.Target) (net.Conn, error) {
	p := Protocol(target.Port)
	if err := p.known(); err != nil {
		return nil, err
	}
	return h.pipe(ctx, false, []Protocol{p})
}

// DialContext opens an in-memory byte stream on which the hub speaks TLS, with a
// certificate of its own CA: it fits transport.TLSOptions.DialContext. The port in the
// address tells the protocol; where it is none of a hub's, the client's first
// byte does. Nothing else of network and address is looked at.
func (h *Hub) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return h.pipe(ctx, true, atPort(address))
}

func (h *Hub) pipe(ctx context.Context, secure bool, speaks []Protocol) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := memconn.Pipe("device", h.opts.Host)
	if err := h.accept(server, secure, speaks); err != nil {
		return nil, errors.Join(err, client.Close(), server.Close())
	}
	return client, nil
}

// accept starts to serve a stream; when it fails, the caller closes raw.
func (h *Hub) accept(raw net.Conn, secure bool, speaks []Protocol) error {
	c := newConn(h, raw, secure, speaks)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if h.down[""] {
		return ErrLineDown
	}
	h.conns[c] = struct{}{}
	h.wg.Go(c.serve)
	return nil
}

// spawn runs f in a goroutine that Close waits for; not once the hub closes.
func (h *Hub) spawn(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Go(f)
	}
}

// after runs f once d has passed, unless stop is closed or the hub ends
// before.
func (h *Hub) after(d time.Duration, stop <-chan struct{}, f func()) {
	h.spawn(func() {
		if wait(d, stop, h.done) {
			f()
		}
	})
}

// wait waits for d and reports whether neither channel was closed before.
func wait(d time.Duration, stop, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
	case <-done:
	}
	return false
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// acceptPause is the wait after an accept that failed.
const acceptPause = 50 * time.Millisecond

// Listen opens a real socket on which the hub speaks the protocols given over
// TLS, with a certificate of its own CA, and returns its address. None given
// means all, on one port: the client's first byte tells which. "127.0.0.1:0"
// lets the system choose a port. Real sockets and virtual time do not go
// together.
func (h *Hub) Listen(address string, speaks ...Protocol) (net.Addr, error) {
	for _, p := range speaks {
		if err := p.known(); err != nil {
			return nil, err
		}
	}
	speaks = slices.Clone(speaks)
	if len(speaks) == 0 {
		speaks = protocols()
	}
	if _, err := h.authority(); err != nil { // made before a client waits for it
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("hubtest: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errors.Join(ErrClosed, l.Close())
	}
	h.listeners = append(h.listeners, l)
	h.wg.Go(func() { h.acceptAll(l, speaks) })
	return l.Addr(), nil
}

func (h *Hub) acceptAll(l net.Listener, speaks []Protocol) {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files: the next may do
			h.log.Warn("accept failed", "err", err)
			if !wait(acceptPause, nil, h.done) {
				return
			}
			continue
		}
		if err := h.accept(raw, true, speaks); err != nil {
			_ = raw.Close() // whoever dialled sees why not: the end
		}
	}
}

// Stats counts what passed between the hub and one device, or all of them. A
// request counts when it arrives, whatever Intercept does to it then.
type Stats struct {
	Connects      int // logins accepted
	Refused       int // logins refused
	Takeovers     int // connections that ended because of a newer one
	Disconnects   int // polite ends
	Gets          int
	Patches       int
	Notifications int // desired changes told to a connected, subscribed device
	Pings         int
	Telemetry     int
	Repeats       int // messages whose id an earlier one had
	Forgotten     int // messages that the hub no longer keeps
	Requests      int // over REST; only in the sum

	subscribes int // SUBSCRIBE packets
	methods    int // direct methods handed to a device that listens
}

// Stats returns the counters of a device, which outlive its removal. One that
// the hub never knew has counted nothing.
func (d Device) Stats() Stats { return d.hub.statsOf(d.id) }

// Stats returns the sum over all devices, services, and clients that name no
// known device.
func (h *Hub) Stats() Stats { return h.statsOf("") }

func (h *Hub) statsOf(id string) Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.stats[id]; s != nil {
		return *s
	}
	return Stats{}
}

// count counts for one identity and for the sum. h.mu is held.
func (h *Hub) count(id string, f func(*Stats)) {
	f(h.stats[""])
	if s := h.stats[id]; s != nil && id != "" {
		f(s)
	}
}

// statusError is a fault as a service gets it.
func statusError(f *fault.Fault) error {
	return &transport.StatusError{Status: f.Status(), Code: f.Code, Message: f.Text}
}
