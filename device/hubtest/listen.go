package hubtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// acceptPause is the wait after an accept that failed.
const acceptPause = 50 * time.Millisecond

// Listen opens a real socket on which the hub speaks MQTT over TLS, with a
// certificate of its own CA, and returns its address. "127.0.0.1:0" lets the
// system choose a port. Real sockets and virtual time do not go together.
func (h *Hub) Listen(address string) (net.Addr, error) {
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
	h.wg.Go(func() { h.acceptAll(l) })
	return l.Addr(), nil
}

func (h *Hub) acceptAll(l net.Listener) {
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
		if err := h.accept(raw, true); err != nil {
			_ = raw.Close() // whoever dialled sees why not: the end
		}
	}
}
