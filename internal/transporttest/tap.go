package transporttest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A tap counts the streams of a Dialer, and breaks their writes on demand.
type tap struct {
	opened, closed atomic.Int64
	written        atomic.Int64 // bytes
	broken         atomic.Pointer[error]

	hold atomic.Pointer[chan struct{}] // writes wait until it is closed
	held chan struct{}                 // closed when one waits
	once sync.Once
}

func (a *tap) wrap(stream net.Conn) (net.Conn, error) {
	a.opened.Add(1)
	return &tapped{Conn: stream, tap: a}, nil
}

// breakWrites makes every later write fail.
func (a *tap) breakWrites(err error) { a.broken.Store(&err) }

// holdWrites makes every later write wait until release, as on a line that takes
// nothing.
func (a *tap) holdWrites() (release func()) {
	hold := make(chan struct{})
	a.held = make(chan struct{})
	a.hold.Store(&hold)
	return sync.OnceFunc(func() { close(hold) })
}

// wantClosed wants all streams to be closed.
func (a *tap) wantClosed(t TB, what string, opened int64) {
	t.Helper()
	if o, c := a.opened.Load(), a.closed.Load(); o != opened || c != opened {
		t.Fatalf("%s: %d streams opened, %d of them closed; want %d and %d", what, o, c, opened, opened)
	}
}

type tapped struct {
	net.Conn
	tap    *tap
	closed atomic.Bool
}

func (s *tapped) Write(b []byte) (int, error) {
	s.tap.written.Add(int64(len(b)))
	if err := s.tap.broken.Load(); err != nil {
		return 0, *err
	}
	if hold := s.tap.hold.Load(); hold != nil {
		s.tap.once.Do(func() { close(s.tap.held) })
		<-*hold
	}
	return s.Conn.Write(b)
}

func (s *tapped) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.tap.closed.Add(1)
	}
	return s.Conn.Close()
}

// A gate lets senders wait for a Ready frame.
type gate struct {
	mu    sync.Mutex // guards ready. Nothing waits while it is held
	ready chan struct{}
}

func newGate() *gate { return &gate{ready: make(chan struct{})} }

// open wakes the senders that wait.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.ready)
	g.ready = make(chan struct{})
}

func (g *gate) next() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready
}

// send sends a frame, again after each Ready while there is no room.
func (g *gate) send(ctx context.Context, c transport.Conn, f transport.Frame) error {
	for {
		ready := g.next()
		err := c.Send(ctx, f)
		if !errors.Is(err, transport.ErrBusy) {
			return err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
