package ws_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A front is the far end of in-memory streams, for what no well hub does; the
// hub's own is hubtest's.
type front struct {
	t     *testing.T
	serve func(net.Conn) // owns the stream's far end

	opened, closed atomic.Int64
	target         atomic.Pointer[transport.Target] // of the last stream
	wg             sync.WaitGroup
}

// newFront ends with the test, once everything has that could hold serve up:
// make it first.
func newFront(t *testing.T, serve func(net.Conn)) *front {
	f := &front{t: t, serve: serve}
	t.Cleanup(f.wg.Wait)
	return f
}

// Stream is a transport.StreamFunc.
func (f *front) Stream(_ context.Context, target transport.Target) (net.Conn, error) {
	f.target.Store(&target)
	client, server := memconn.Pipe("device", "hub")
	f.opened.Add(1)
	f.wg.Go(func() {
		defer server.Close()
		f.serve(server)
	})
	return &counted{Conn: client, closed: &f.closed}, nil
}

// wantClosed wants every stream to be closed.
func (f *front) wantClosed() {
	f.t.Helper()
	if o, c := f.opened.Load(), f.closed.Load(); o != c {
		f.t.Errorf("%d streams were opened, %d of them closed; want all", o, c)
	}
}

type counted struct {
	net.Conn
	once   sync.Once
	closed *atomic.Int64
}

func (c *counted) Close() error {
	c.once.Do(func() { c.closed.Add(1) })
	return c.Conn.Close()
}

// upgraded serves WebSocket, as the library does it for a net/http server. A
// device that leaves before is no news; one that is refused will tell.
func upgraded(use func(*websocket.Conn)) func(net.Conn) {
	return func(raw net.Conn) {
		in := bufio.NewReader(raw)
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		c, err := upgrade(taken{raw: raw, in: in, header: http.Header{}}, r)
		if err != nil {
			return
		}
		use(c)
	}
}

func upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, error) {
	u := websocket.Upgrader{Subprotocols: []string{"mqtt", "AMQPWSB10"}}
	return u.Upgrade(w, r, nil)
}

// taken is a stream that was taken from an HTTP server.
type taken struct {
	raw    net.Conn
	in     *bufio.Reader
	header http.Header
}

func (w taken) Header() http.Header         { return w.header }
func (w taken) Write(b []byte) (int, error) { return w.raw.Write(b) }
func (w taken) WriteHeader(int)             {}

func (w taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.raw, bufio.NewReadWriter(w.in, bufio.NewWriter(w.raw)), nil
}

func wantError(t *testing.T, what string, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Fatalf("%s: got error %v; want it to match %q", what, err, want)
		}
	}
}
