package hubtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

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
