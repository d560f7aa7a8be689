package hubtest

import "github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"

// A passage is one message that Intercept may lay hands on: a request of a
// device or a service, or a message to a device. Its methods are what its front
// can do with it; carry decides which is called.
type passage interface {
	// message is what Intercept sees.
	message() *Message
	// perform does what a request asks and answers it, or sends a message to a
	// device. Mute, it does not answer. An error ends the connection.
	perform(mute bool) error
	// repeat is what Duplicate adds before perform.
	repeat() error
	// answer answers a request without performing it, or replaces what an answer
	// says.
	answer(act Action) error
	// hold performs later.
	hold(act Action) error
	// drop loses the message.
	drop() error
	// edit changes a member of the message's body.
	edit(act Action)
	// freeze makes the connection half-open, and waits for its end.
	freeze() error
}

// carry lets a message pass Intercept and does with it what the Action says. An
// error ends the connection. No lock is held.
func (h *Hub) carry(p passage) error {
	act := h.intercept(*p.message())
	switch act.kind {
	case actDrop:
		return p.drop()
	case actDelay, actLate:
		return p.hold(act)
	case actAnswer:
		return p.answer(act)
	case actFreeze:
		return p.freeze()
	case actCut:
		return errCut
	case actCutAfter:
		if err := p.perform(true); err != nil {
			return err
		}
		return errCut
	case actDuplicate:
		if err := p.repeat(); err != nil {
			return err
		}
	case actEdit:
		p.edit(act)
	}
	return p.perform(false)
}

// request is what every front makes of what a device sends.
type request struct {
	msg     Message
	expects bool               // PatchReported: msg.Version must be the section's
	bad     *fault.Fault       // wrong before it is looked at
	events  []TelemetryMessage // of Telemetry
}

func (r *request) message() *Message { return &r.msg }

func (r *request) drop() error { return nil }

// handle counts a request of a device, lets it pass Intercept, and performs it.
func (c *conn) handle(p passage) error {
	m := *p.message()
	c.trace(m)
	c.hub.mu.Lock()
	c.hub.count(m.Device, m.count)
	c.hub.mu.Unlock()
	return c.hub.carry(p)
}

// later performs a request once its delay has passed: a late one even if the
// connection has ended by then. A failure ends what the request came by.
func (c *conn) later(act Action, p interface {
	passage
	close(reason string)
}) error {
	stop := c.done
	if act.kind == actLate {
		stop = nil
	}
	c.hub.after(act.delay, stop, func() {
		if err := p.perform(false); err != nil {
			p.close(err.Error())
		}
	})
	return nil
}

// count counts a request by its kind.
func (m Message) count(s *Stats) {
	switch m.Op {
	case Subscribe:
		s.subscribes++
	case GetTwin:
		s.Gets++
	case PatchReported:
		s.Patches++
	case Ping:
		s.Pings++
	case Telemetry:
		s.Telemetry++
	case Disconnect:
		s.Disconnects++
	}
}
