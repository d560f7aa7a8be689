package hubtest

import (
	"fmt"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
)

// Cut ends the line of a device abruptly, without a word of MQTT; ErrOffline
// when it has none.
func (h *Hub) Cut(id string) error { return h.handle(id).cut() }

func (d handle) cut() error {
	var c presence
	err := d.change(func(who *identity) error {
		if c = who.conn; c == nil {
			return fmt.Errorf("%w: %s", ErrOffline, d.id)
		}
		c.leave()
		return nil
	})
	if err != nil {
		return err
	}
	c.close("cut by Cut")
	return nil
}

// SetLine takes a device's line down, or brings it up again. While it is down
// its connection is cut, and a new one ends at its login without an answer. An
// empty id means everyone's line: then no stream can be opened at all, with
// ErrLineDown in memory, and real sockets are closed at once. It fails with
// ErrUnknown where there is no such device, and changes nothing.
func (h *Hub) SetLine(id string, up bool) error { return h.handle(id).setLine(up) }

func (d handle) setLine(up bool) error {
	h, id := d.hub, d.id
	h.mu.Lock()
	if err := d.known(); err != nil {
		h.mu.Unlock()
		return err
	}
	if up {
		delete(h.down, id)
		h.mu.Unlock()
		return nil
	}
	h.down[id] = true
	cut := h.usersOf(id)
	for _, l := range cut {
		l.leave()
	}
	h.mu.Unlock()
	for _, l := range cut {
		l.close("line is down")
	}
	return nil
}

// known fails where no device has the id; the empty one is everyone's. hub.mu is
// held.
func (d handle) known() (err error) {
	if d.id != "" {
		_, err = d.found()
	}
	return err
}

// Stall makes a device's line half-open, or well again: the hub neither reads
// nor writes on it, and closes nothing. A new connection stalls at its login.
// When the line is well again, what waited goes on; a client whose keep-alive
// passed meanwhile is then cut. An empty id means everyone's line. See Freeze
// for one connection alone. It fails with ErrUnknown where there is no such
// device.
func (h *Hub) Stall(id string, on bool) error { return h.handle(id).stall(on) }

func (d handle) stall(on bool) error {
	h, id := d.hub, d.id
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := d.known(); err != nil {
		return err
	}
	if on {
		h.stalled[id] = true
	} else {
		delete(h.stalled, id)
	}
	h.openGate()
	return nil
}

// openGate lets every connection look anew whether it stalls. h.mu is held.
func (h *Hub) openGate() {
	close(h.gate)
	h.gate = make(chan struct{})
}

// passGate waits while the line stalls; false when the connection has ended.
func (c *conn) passGate() bool {
	h := c.hub
	for {
		h.mu.Lock()
		shut := c.frozen || h.stalled[""] || h.stalled[c.name]
		gate := h.gate
		h.mu.Unlock()
		if !shut {
			return true
		}
		select {
		case <-gate:
		case <-c.done:
			return false
		}
	}
}

// freeze makes the connection half-open for good, and waits for its end.
func (c *conn) freeze() error {
	c.hub.mu.Lock()
	c.frozen = true
	c.hub.mu.Unlock()
	c.passGate()
	return errEnded
}

// errorBody is how the hub words an error.
func (h *Hub) errorBody(f *fault.Fault) []byte {
	h.mu.Lock()
	h.faultCount++
	n := h.faultCount
	h.mu.Unlock()
	return f.Body(n, h.opts.Now())
}
