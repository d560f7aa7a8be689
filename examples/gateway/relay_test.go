package main

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// A relay stands between the gateway and its hub: it counts connections, and
// cuts them.
type relay struct {
	listener net.Listener
	to       string
	all      sync.WaitGroup

	mu       sync.Mutex
	accepted int
	open     map[net.Conn]bool // both ends of each
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to, open: map[net.Conn]bool{}}
	r.all.Go(r.serve)
	t.Cleanup(func() {
		_ = l.Close()
		r.cut()
		r.all.Wait()
	})
	return r
}

func (r *relay) serve() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		out, err := new(net.Dialer).DialContext(context.Background(), "tcp", r.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		r.mu.Lock()
		r.accepted++
		r.open[in], r.open[out] = true, true
		r.mu.Unlock()
		r.all.Go(func() { r.pipe(in, out) })
		r.all.Go(func() { r.pipe(out, in) })
	}
}

// pipe copies until either end is closed, and closes both.
func (r *relay) pipe(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, from)
}

// cut cuts every connection that there is.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		_ = c.Close()
	}
}

// count is how many connections there were.
func (r *relay) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}
