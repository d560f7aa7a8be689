package hubtest

import (
	"errors"
	"sync"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
)

// itemCost is what an item costs beside its body.
const itemCost = 256

var errQueueFull = errors.New("client does not read what it is sent")

// outgoing is one message on its way to the device.
type outgoing struct {
	msg   Message
	form  form
	asIs  bool // Intercept has had it
	pause int  // seconds for which the device is asked to wait, or 0 for none
}

// A form is what a protocol adds to an outgoing message, and makes of it.
type form interface {
	// write writes the message.
	write(item outgoing) error
	// replace makes the message say what Intercept wants.
	replace(item outgoing, act Action) outgoing
	// end says why the connection ends after the message; nil when it does not.
	end() error
	// spare reports whether a failure over the message ends only the part of its
	// device, and ends that.
	spare(err error) bool
}

// queue is what waits to be written. Nothing ever waits to put something in.
type queue struct {
	wake chan struct{} // capacity 1: there is something to look at

	mu    sync.Mutex
	items []outgoing
	bytes int
	full  bool // and stays so: the connection is ending
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

// push hands a message to the writer. The caller holds hub.mu of a hub that is
// not closed, or is a goroutine of the hub.
func (c *conn) push(item outgoing) {
	q := &c.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full {
		return
	}
	if q.bytes += item.cost(); q.bytes > maxQueue {
		q.full = true
		// The writer may be stuck, and closing is nothing to do under a lock.
		c.unread.Store(true)
		c.hub.wg.Go(func() { c.close(errQueueFull.Error()) })
		return
	}
	q.items = append(q.items, item)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (o outgoing) cost() int { return itemCost + len(o.msg.Body) }

// take waits for the next message; false when the connection has ended.
func (q *queue) take(done <-chan struct{}) (outgoing, bool) {
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			item := q.items[0]
			q.items[0] = outgoing{} // let its body go
			q.items = q.items[1:]
			q.bytes -= item.cost()
			q.mu.Unlock()
			return item, true
		}
		q.mu.Unlock()
		select {
		case <-q.wake:
		case <-done:
			return outgoing{}, false
		}
	}
}

// writeAll writes until the connection ends.
func (c *conn) writeAll() {
	for {
		item, ok := c.out.take(c.done)
		if !ok {
			return
		}
		if err := c.deliver(item); err != nil && !item.form.spare(err) {
			c.close(err.Error())
			return
		}
	}
}

// deliver lets a message pass Intercept, then writes it. An error ends the
// connection.
func (c *conn) deliver(item outgoing) error {
	if !c.passGate() {
		return errEnded
	}
	d := &delivery{conn: c, item: item}
	if item.asIs {
		return d.perform(false)
	}
	return c.hub.carry(d)
}

// delivery is a message to a device as Intercept has it.
type delivery struct {
	*conn
	item outgoing
}

func (d *delivery) message() *Message { return &d.item.msg }

// perform writes the message. There is nothing that it could leave out when it is
// mute, but that the connection goes on.
func (d *delivery) perform(mute bool) error {
	if err := d.item.form.write(d.item); err != nil || mute {
		return err
	}
	return d.item.form.end()
}

func (d *delivery) repeat() error { return d.item.form.write(d.item) }

func (d *delivery) answer(act Action) error {
	d.item = d.item.form.replace(d.item, act)
	return d.perform(false)
}

func (d *delivery) hold(act Action) error {
	d.item.asIs = true
	d.hub.after(act.delay, d.done, func() { d.push(d.item) })
	return nil
}

func (d *delivery) drop() error { return d.item.form.end() }

func (d *delivery) edit(act Action) { d.hub.edit(&d.item.msg, act) }

// replace makes an answer of some kind say what Intercept wants.
func (h *Hub) replace(item outgoing, op Op, act Action) outgoing {
	body := []byte(act.body)
	if act.code != 0 {
		body = h.errorBody(fault.Usual(act.code))
	}
	item.pause = act.pause()
	switch op {
	case GetTwin, PatchReported:
		item.msg.Status, item.msg.Version, item.msg.Body = act.status, 0, body
	case Desired, Method:
		item.msg.Body = body
	}
	return item
}
