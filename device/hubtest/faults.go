package hubtest

import (
	"fmt"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
)

// Cut ends the line of a device abruptly, without a word of MQTT; ErrOffline
// when it has none.
func (d Device) Cut() error {
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
// unknown device is ErrUnknown, and nothing changes.
func (d Device) SetLine(up bool) error {
	return d.hub.setLine(d.id, up, func() error { _, err := d.found(); return err })
}

// SetLine takes everyone's line down, or brings it up again. While it is down no
// stream can be opened. In memory the error is ErrLineDown, and real sockets are
// closed at once. A hub that was closed is ErrClosed. Device.SetLine is for one
// device.
func (h *Hub) SetLine(up bool) error { return h.setLine("", up, h.open) }

// open fails once the hub is closed. hub.mu is held.
func (h *Hub) open() error {
	if h.closed {
		return ErrClosed
	}
	return nil
}

// setLine is SetLine of an id, or of everyone for an empty one, if check allows
// it under hub.mu.
func (h *Hub) setLine(id string, up bool, check func() error) error {
	h.mu.Lock()
	if err := check(); err != nil {
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

// Stall makes a device's line half-open, or well again: the hub neither reads
// nor writes on it, and closes nothing. A new connection stalls at its login.
// When the line is well again, what waited goes on. A client whose keep-alive
// passed meanwhile is then cut. See Freeze for one connection alone. An unknown
// device is ErrUnknown.
func (d Device) Stall(on bool) error {
	return d.hub.stall(d.id, on, func() error { _, err := d.found(); return err })
}

// Stall makes everyone's line half-open, or well again, as Device.Stall does
// with that of one device. A hub that was closed is ErrClosed.
func (h *Hub) Stall(on bool) error { return h.stall("", on, h.open) }

func (h *Hub) stall(id string, on bool, check func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := check(); err != nil {
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
