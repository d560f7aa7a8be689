package amqp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// twinCredit is how many messages the hub may send ahead of Receive, each of
// amqpwire.MaxTaken bytes at most: 4 MB.
const twinCredit = 8

// twinLinks are a device's pair of links for the twin: attached for the first
// frame that is about it, or at a login without a token.
type twinLinks struct {
	address string

	// Guarded by line.mu.
	out       *amqp.Sender
	in        *amqp.Receiver // nil while there is no pair
	attaching bool           // then the queue is said to be draining
	tried     chan struct{}  // closed when the last attempt is over, nil before the first
	opens     []string       // IDs of Open TwinResponses that wait for the pair
}

// openTwin answers Open and Close of TwinResponses, at once if there is nothing to
// do.
func (c *conn) openTwin(f transport.Frame) error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if n := len(c.said) + len(c.twin.opens); n >= maxSaid {
		c.queue.busy = true
		return fmt.Errorf("%w: %d answers wait for the hub or for Receive", transport.ErrBusy, n)
	}
	if f.Kind == transport.Close || c.twin.in != nil {
		c.sayLocked(transport.Frame{Kind: transport.Accepted, ID: f.ID})
		return nil
	}
	if err := c.wantTwinLocked(); err != nil {
		return err
	}
	c.twin.opens = append(c.twin.opens, f.ID)
	return nil
}

// wantTwinLocked has the pair attached if there is none. Meanwhile the queue takes
// what is to be sent.
func (c *conn) wantTwinLocked() error {
	t := &c.twin
	if t.in != nil || t.attaching {
		return nil
	}
	if c.events.life.Err() != nil {
		return c.fate.Err()
	}
	tried := make(chan struct{})
	c.served.Add(1)
	if !c.line.startLocked(func() { defer c.served.Done(); c.serveTwin(tried) }) {
		c.served.Done()
		return c.line.cause
	}
	t.tried, t.attaching, c.queue.draining = tried, true, true
	return nil
}

// serveTwin attaches the pair, and then takes the hub's messages.
func (c *conn) serveTwin(tried chan struct{}) {
	err := c.attachTwin(c.events.life)
	if err == nil {
		c.twinAttached()
	} else {
		c.twinRefused(err)
	}
	close(tried)
	if err == nil {
		c.pump()
	}
}

// attachTwin attaches the pair: the sending link first, as a hub expects it. Both
// get the same properties, which pair them.
func (c *conn) attachTwin(ctx context.Context) error {
	props := maps.Clone(c.events.properties)
	props["com.microsoft:channel-correlation-id"] = "twin:" + rand.Text()
	out, err := c.session.NewSender(ctx, c.twin.address, &amqp.SenderOptions{
		Properties: props, SettlementMode: amqp.SenderSettleModeSettled.Ptr(),
	})
	if err != nil {
		return err
	}
	link := c.line.sender(out)
	in, err := c.session.NewReceiver(ctx, c.twin.address, &amqp.ReceiverOptions{
		Properties: props, Credit: twinCredit, MaxMessageSize: amqpwire.MaxTaken,
		RequestedSenderSettleMode: amqp.SenderSettleModeSettled.Ptr(),
	})
	if err == nil && link == nil { // it has ended already
		err = &amqp.LinkError{}
		_ = in.Close(ctx)
	}
	if err != nil {
		_ = out.Close(ctx) // it has ended, or ends with the session
	}
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if err == nil || ctx.Err() != nil {
		c.twin.out = out
	}
	if err == nil {
		c.twin.in, c.queue.link = in, link
	}
	return err
}

// twinAttached answers who waited for the pair, and has what waits sent.
func (c *conn) twinAttached() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	t, q := &c.twin, &c.queue
	t.attaching = false
	for _, id := range t.opens {
		c.sayLocked(transport.Frame{Kind: transport.Accepted, ID: id})
	}
	t.opens = nil
	all := q.waiting
	q.waiting, q.bytes = nil, 0
	for _, w := range all {
		if q.link.Takes(w.size) {
			q.waiting, q.bytes = append(q.waiting, w), q.bytes+w.size
			continue
		}
		text := fmt.Sprintf("a message of %d bytes; the hub's limit on this link is %d", w.size, q.link.Limit())
		c.refuseLocked(w.id(), word{statusTooLarge, errorBody(text)})
	}
	q.draining = len(q.waiting) > 0 && c.line.startLocked(c.drain)
	c.readyLocked()
	poke(c.wake) // Receive minds the end of the link from now on
}

// twinRefused answers with the hub's word all that waits for the pair, or ends the
// device's part of the line if the error is about more than the pair.
func (c *conn) twinRefused(err error) {
	over := c.events.life.Err() != nil || c.isOverForAll(err) || c.isOverForDevice(err)
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	t, q := &c.twin, &c.queue
	t.attaching = false
	if over {
		return
	}
	w := linkWord(err)
	for _, id := range t.opens {
		c.refuseLocked(id, w)
	}
	for _, waits := range q.waiting {
		c.refuseLocked(waits.id(), w)
	}
	t.opens = nil
	q.waiting, q.bytes, q.draining = nil, 0, false
	c.readyLocked()
}

// refuseLocked gives Receive the answer to a frame that was not sent.
func (c *conn) refuseLocked(id string, w word) {
	delete(c.opened, id)
	c.sayLocked(transport.Frame{Kind: transport.Response, ID: id, Status: w.status, Body: bytes.Clone(w.body)})
}

// isOverForDevice reports whether the hub refused a link for the identity, and ends
// the device's part of the line then: a hub may take a token and judge its owner at
// the first link.
func (c *conn) isOverForDevice(err error) bool {
	var said *amqp.Error
	if !errors.As(err, &said) || !errors.Is(conditionError(said), transport.ErrUnauthorized) {
		return false
	}
	c.fail(conditionError(said))
	return true
}

// hasNoTwin reports whether a hub refused the pair for good and for a reason that is
// not the identity, as one of the basic tier does.
func hasNoTwin(err error) bool {
	var conn *amqp.ConnError
	var session *amqp.SessionError
	return !errors.As(err, &conn) && !errors.As(err, &session) && linkWord(err).status == statusRejected
}

// link is the twin's on which we send, nil while there is none.
func (c *conn) link() *amqpwire.GuardedLink {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	return c.queue.link
}
