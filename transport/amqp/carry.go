package amqp

import (
	"errors"
	"fmt"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/transport"
)

// carry sends telemetry until this device's part of the line ends: all that waits
// in one transfer, and the next when the hub has answered.
func (c *conn) carry() {
	e := &c.events
	for c.awaitEvent() {
		if !c.attachEvents() {
			continue
		}
		all := c.claimEvents()
		if all == nil {
			continue
		}
		w, ended := c.deliver(all)
		if e.life.Err() != nil {
			return
		}
		if ended {
			c.detachEvents()
		}
		c.line.mu.Lock()
		switch {
		case w.status == 0:
			c.answerLocked(w, all...)
		case !w.forGood():
			// What came later must not overtake it.
			c.answerLocked(w, all...)
			c.refuseAllLocked(w)
		case len(all) > 1:
			e.suspects = all
		default:
			c.answerLocked(w, all...)
		}
		c.line.mu.Unlock()
	}
}

// awaitEvent waits until something is to be sent. It returns false at the end.
func (c *conn) awaitEvent() bool {
	e := &c.events
	for e.life.Err() == nil && c.err() == nil {
		c.line.mu.Lock()
		some := len(e.waiting)+len(e.suspects) > 0
		c.line.mu.Unlock()
		if some {
			return true
		}
		select {
		case <-e.work:
		case <-e.life.Done():
		}
	}
	return false
}

// attachEvents attaches the link if there is none. If the hub refuses that, all
// that waits gets its word as the answer.
func (c *conn) attachEvents() bool {
	e := &c.events
	if e.sender != nil {
		select {
		case <-e.link.Ended: // while nothing was sent
			c.detachEvents()
		default:
			return true
		}
	}
	sender, err := c.session.NewSender(e.life, e.address, &amqp.SenderOptions{
		Properties: e.properties, SettlementMode: amqp.SenderSettleModeUnsettled.Ptr(),
	})
	if err != nil {
		if c.link() == nil && e.life.Err() == nil && c.isOverForDevice(err) {
			return false // nothing else would tell of it
		}
		c.refuseEvents(err)
		return false
	}
	e.sender, e.link = sender, c.line.sender(sender)
	if e.link == nil { // it has ended already
		c.detachEvents()
		c.refuseEvents(&amqp.LinkError{})
		return false
	}
	return true
}

// refuseEvents answers all that waits with the error of a link, or ends the device's
// part of the line if the error is the end of more.
func (c *conn) refuseEvents(err error) {
	if c.events.life.Err() != nil || c.isOverForAll(err) {
		return
	}
	w := linkWord(err)
	if w.forGood() { // it says nothing of the messages
		w.status = statusUnavailable
	}
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.refuseAllLocked(w)
}

// refuseAllLocked answers all that waits.
func (c *conn) refuseAllLocked(w word) {
	e := &c.events
	c.answerLocked(w, e.suspects...)
	c.answerLocked(w, e.waiting...)
	e.suspects, e.waiting = nil, nil
	c.eventsReadyLocked()
}

// isOverForAll reports whether an error is the end of the session or the line,
// and ends the device's part of it then.
func (c *conn) isOverForAll(err error) bool {
	var conn *amqp.ConnError
	var session *amqp.SessionError
	if !errors.As(err, &conn) && !errors.As(err, &session) {
		return false
	}
	c.fail(c.line.amqpError(err))
	return true
}

// detachEvents lets go of a link that has ended.
func (c *conn) detachEvents() {
	_ = c.events.sender.Close(c.events.life) // it has ended, or ends with the session
	if c.events.life.Err() == nil {
		c.events.sender, c.events.link = nil, nil
	}
}

// claimEvents takes what leaves next, once the hub lets it leave and nobody else
// on the line writes telemetry: that keeps at most one transfer of it ahead of a
// request. The caller gives the line's token back. It returns nil when the link
// or this device's part of the line has ended.
func (c *conn) claimEvents() []event {
	e, l := &c.events, c.line
	for e.life.Err() == nil {
		l.mu.Lock()
		room := e.link.Room(c.partsLocked(e.chooseLocked()))
		l.mu.Unlock()
		select {
		case <-e.link.Ended:
			c.refuseEvents(&amqp.LinkError{RemoteErr: remote(e.link.Error)})
			c.detachEvents()
			return nil
		default:
		}
		if !room {
			select {
			case <-e.link.Wake:
			case <-e.link.Ended:
			case <-e.life.Done():
			}
			continue
		}
		select {
		case l.bulk <- struct{}{}:
		case <-e.life.Done():
			return nil
		}
		l.mu.Lock()
		all := e.chooseLocked() // more may have come
		if e.link.Claim(c.partsLocked(all)) {
			all = c.removeLocked(all)
			l.mu.Unlock()
			return all
		}
		l.mu.Unlock()
		<-l.bulk
	}
	return nil
}

// partsLocked is how many transfers the window must take for messages to leave.
func (c *conn) partsLocked(all []event) int {
	return min(c.line.guard.Parts(total(all)), c.events.link.Window())
}

// total is the size of messages in one transfer.
func total(all []event) (n int) {
	for _, e := range all {
		n += e.size
	}
	return n
}

// deliver sends messages in one transfer and returns the hub's word on them. ended
// reports that the link has ended.
func (c *conn) deliver(all []event) (w word, ended bool) {
	e := &c.events
	receipt, err := c.write(all)
	var state amqp.DeliveryState
	if err == nil {
		state, err = receipt.Wait(e.life)
	}
	switch {
	case errors.Is(err, transport.ErrTooLarge):
		return word{statusTooLarge, errorBody(err.Error())}, false
	case err != nil && (e.life.Err() != nil || c.isOverForAll(err)):
		return word{status: statusUnavailable}, false
	case err != nil:
		return linkWord(err), true
	}
	switch state := state.(type) {
	case *amqp.StateAccepted:
		return word{}, false
	case *amqp.StateRejected:
		if state.Error == nil {
			return word{statusRejected, errorBody("the hub rejected the message and gave no reason")}, false
		}
		return conditionError(state.Error).word(), false
	}
	return word{statusUnavailable, errorBody("the hub gave the message back")}, false
}

// write writes messages in one transfer, and gives the line's token back once they
// are written.
func (c *conn) write(all []event) (receipt amqp.SendReceipt, err error) {
	e, l := &c.events, c.line
	defer func() { <-l.bulk }()
	defer l.release(e.link)
	m := batch(all)
	if n := total(all); !e.link.Takes(n) { // then it is one
		b, err := m.MarshalBinary()
		if err != nil || !e.link.Takes(len(b)) {
			return receipt, fmt.Errorf("%w: a message of %d bytes; the hub's limit on this link is %d", transport.ErrTooLarge, len(b), e.link.Limit())
		}
	}
	if receipt, err = e.sender.SendWithReceipt(waiting{e.life}, m, nil); err != nil {
		return receipt, err
	}
	if err := l.wire.flush(e.life.Done()); err != nil {
		c.fail(err)
	}
	return receipt, nil
}
