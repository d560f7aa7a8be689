package amqpwire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
)

// A hub drives an engine over a stream: one goroutine reads, another does all
// the rest. It is what the hub in the box will do, without the hub.
type hub struct {
	t      *testing.T
	conn   *amqpwire.Conn
	stream net.Conn
	on     func(amqpwire.Event) bool // takes an event; false leaves it to accept
	do     chan func()
	chunks chan []byte // closed when the stream ends
	done   chan struct{}
}

// newHub starts a hub and returns the client's end of its stream. It ends with
// the stream; stop waits for it.
func newHub(t *testing.T, o *amqpwire.Options, on func(*hub, amqpwire.Event) bool) (*hub, net.Conn) {
	client, server := memconn.Pipe("device", "hub")
	h := &hub{
		t: t, conn: amqpwire.NewConn(time.Now(), o), stream: server,
		do: make(chan func()), chunks: make(chan []byte), done: make(chan struct{}),
	}
	h.on = func(ev amqpwire.Event) bool { return on != nil && on(h, ev) }
	go h.read()
	go h.run()
	return h, client
}

func (h *hub) read() {
	defer close(h.chunks)
	for {
		b := make([]byte, 32<<10)
		n, err := h.stream.Read(b)
		if n > 0 {
			h.chunks <- b[:n]
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				h.t.Errorf("hub reads: %v", err)
			}
			return
		}
	}
}

func (h *hub) run() {
	defer close(h.done)
	defer func() {
		h.stream.Close()
		for range h.chunks { // until read has ended
		}
	}()
	for !h.conn.Done() {
		timer := time.NewTimer(time.Until(h.conn.NextTick()))
		select {
		case b, ok := <-h.chunks:
			if !ok {
				return
			}
			h.conn.Feed(time.Now(), b)
		case f := <-h.do:
			f()
		case <-timer.C:
			h.conn.Tick(time.Now())
		}
		timer.Stop()
		for ev := h.conn.Next(); ev != nil; ev = h.conn.Next() {
			if !h.on(ev) {
				h.accept(ev)
			}
		}
		if out := h.conn.AppendOutput(time.Now(), nil); len(out) > 0 {
			if _, err := h.stream.Write(out); err != nil {
				return
			}
		}
	}
}

// accept is the hub that says yes.
func (h *hub) accept(ev amqpwire.Event) {
	switch ev := ev.(type) {
	case *amqpwire.Login:
		h.conn.AcceptLogin()
	case *amqpwire.Attaching:
		ev.Link.Accept(0)
	case *amqpwire.Delivery:
		if !ev.Settled {
			ev.Link.Settle(ev.ID, amqpwire.Outcome{State: amqpwire.Accepted})
		}
	}
}

// call runs f in the hub's goroutine.
func (h *hub) call(f func()) {
	select {
	case h.do <- f:
	case <-h.done:
		h.t.Error("the hub has ended; want it to take a call")
	}
}

// dial opens a connection of the official client.
func dial(t *testing.T, client net.Conn, o *amqp.ConnOptions) *amqp.Conn {
	t.Helper()
	c, err := amqp.NewConn(soon(t), client, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

// soon is a context that ends before a test would hang.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newSession(t *testing.T, c *amqp.Conn) *amqp.Session {
	t.Helper()
	s, err := c.NewSession(soon(t), nil)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	return s
}
