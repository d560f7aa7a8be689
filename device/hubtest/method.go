package hubtest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// methodResult is what a device answered to a direct method.
type methodResult struct {
	status  int    // the device's own code
	payload []byte // JSON, empty for none
}

// call is a direct method under way. hub.mu guards the map that it is in.
type call struct {
	id     string
	who    presence        // the answer must come from the same login
	over   <-chan struct{} // closed once that has ended
	answer chan methodResult
}

func newCall(id string, who presence, over <-chan struct{}) *call {
	return &call{id: id, who: who, over: over, answer: make(chan methodResult, 1)}
}

// Call calls a direct method of a device, which must be connected and listen to
// methods, and waits for its answer until ctx ends. A device listens that has
// subscribed to them, or over AMQP has attached both links for them. The payload
// is JSON, or empty for none. So is the answer's, and its status is the device's own
// code.
//
// A device that does not listen, or whose connection ends before it answers,
// is a *transport.StatusError with the hub's code, 404103 or 404104; a name or
// payload that the hub refuses, one with 400; an unknown one, ErrUnknown.
func (d Device) Call(ctx context.Context, method, payloadJSON string) (status int, answerJSON []byte, err error) {
	if f := checkCall(method, []byte(payloadJSON)); f != nil {
		return 0, nil, statusError(f)
	}
	if err := d.change(func(*identity) error { return nil }); err != nil {
		return 0, nil, err
	}
	h := d.hub
	c, f := h.connectCall(ctx, d.id, method, []byte(payloadJSON), 0)
	if f != nil {
		return 0, nil, statusError(f)
	}
	result, f := h.awaitCall(ctx, c, nil)
	switch {
	case ctx.Err() != nil && f != nil:
		return 0, nil, fmt.Errorf("hubtest: call %s of %s: %w", method, d.id, ctx.Err())
	case f != nil:
		return 0, nil, statusError(f)
	}
	return result.status, result.payload, nil
}

// checkCall judges a method before it is sent.
func checkCall(name string, payload []byte) *fault.Fault {
	switch {
	case name == "":
		return fault.New(fault.Null, "The method has no name.")
	case strings.ContainsFunc(name, notMethodRune):
		// The documentation's list, and what no topic may hold [MQTT-3.3.2-2].
		return fault.New(fault.Invalid, "The method name %q holds a character that is not allowed.", name)
	case len(payload) > maxPayload:
		return fault.New(fault.TooLarge, "The payload has %d bytes; at most %d are allowed.", len(payload), maxPayload)
	case len(payload) == 0:
		return nil
	}
	if _, err := jsondoc.Parse(payload); err != nil {
		return fault.New(fault.Format, "The payload is not JSON: %v.", err)
	}
	return nil
}

func notMethodRune(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("$()<>@,;:\\\"/[]?={}+#", r)
}

// notOnline is the fault of a device that does not listen.
func notOnline(waited time.Duration) *fault.Fault {
	f := fault.New(fault.NotOnline, "Timed out waiting for device to connect.")
	f.Info = timeoutInfo(waited)
	return f
}

// timeoutInfo tells a time-out as a real hub does.
func timeoutInfo(d time.Duration) string {
	s := int(d / time.Second)
	return fmt.Sprintf(`{"timeout":"%02d:%02d:%02d"}`, s/3600, s/60%60, s%60)
}

// connectCall sends a method as soon as its device listens, for which it has
// so much patience.
func (h *Hub) connectCall(ctx context.Context, id, name string, payload []byte, patience time.Duration) (*call, *fault.Fault) {
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		c, changed, f := h.startCall(id, name, payload)
		if c != nil || f != nil {
			return c, f
		}
		if patience == 0 {
			return nil, notOnline(0)
		}
		select {
		case <-changed:
		case <-t.C:
			return nil, notOnline(patience)
		case <-ctx.Done():
			return nil, notOnline(patience)
		case <-h.done:
			return nil, fault.Usual(503001)
		}
	}
}

// startCall sends a method if its device listens; otherwise it returns a
// channel that is closed at the device's next change.
func (h *Hub) startCall(id, name string, payload []byte) (*call, <-chan struct{}, *fault.Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	who := h.identities[id]
	switch {
	case h.closed:
		return nil, nil, fault.Usual(503001)
	case who == nil:
		return nil, nil, fault.UnknownID(id)
	}
	var c *call
	if who.conn != nil {
		c = who.conn.invoke(h.callCount+1, Message{Device: id, Op: Method, FromHub: true, Method: name, Body: payload})
	}
	if c == nil {
		return nil, who.changed, nil
	}
	h.callCount++
	h.calls[c.id] = c
	h.count(id, func(s *Stats) { s.methods++ })
	return c, nil, nil
}

// awaitCall waits for the answer. A late one is dropped.
func (h *Hub) awaitCall(ctx context.Context, c *call, late <-chan time.Time) (methodResult, *fault.Fault) {
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.calls, c.id)
	}()
	select {
	case r := <-c.answer:
		return r, nil
	case <-c.over:
		select { // it may have answered with its last breath
		case r := <-c.answer:
			return r, nil
		default:
		}
		return methodResult{}, fault.New(fault.ClosedRemotely, "The device's connection ended before it answered.")
	case <-late:
	case <-ctx.Done():
	case <-h.done:
		return methodResult{}, fault.Usual(503001)
	}
	return methodResult{}, fault.New(fault.NoAnswer, "Timed out waiting for the response from device.")
}

// answered takes the answer of a device. h.mu is held.
func (h *Hub) answered(by presence, m Message) {
	call := h.calls[m.RequestID]
	if call == nil || call.who != by {
		return // late, or nothing that was asked here
	}
	delete(h.calls, m.RequestID)
	call.answer <- methodResult{m.Status, m.Body} // has room for one
}
