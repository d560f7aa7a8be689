package amqp

import (
	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// queueSize is how many messages of a link may wait for the hub's credit and
	// window, and queueBytes how many bytes in more than one.
	queueSize  = 16
	queueBytes = 1 << 20
)

// A queue holds the messages of a link for which the hub gives no room. It is
// guarded by line.mu.
type queue struct {
	link     *amqpwire.GuardedLink // nil while there is none
	waiting  []queued
	bytes    int
	draining bool // a goroutine sends what waits, or will
	busy     bool // Send returned ErrBusy, and Receive owes Ready
}

type queued struct {
	m    *amqp.Message
	size int
}

// id is that of the frame.
func (w queued) id() string {
	id, _ := w.m.Properties.CorrelationID.(string)
	return id
}

// add reports whether there was a place. If not, Ready follows.
func (q *queue) add(m *amqp.Message, size int) bool {
	if len(q.waiting) >= queueSize || len(q.waiting) > 0 && q.bytes+size > queueBytes {
		q.busy = true
		return false
	}
	q.waiting = append(q.waiting, queued{m, size})
	q.bytes += size
	return true
}

// take takes the oldest message if the hub gives room, else it returns nil.
func (q *queue) take() *amqp.Message {
	if len(q.waiting) == 0 || !q.link.Claim(1) {
		return nil
	}
	first := q.waiting[0]
	q.waiting[0] = queued{}
	if q.waiting = q.waiting[1:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	q.bytes -= first.size
	return first.m
}

// readyLocked gives Receive a Ready if Send returned ErrBusy and there is a place
// again.
func (c *conn) readyLocked() {
	if c.queue.busy && len(c.queue.waiting) < queueSize && len(c.said) < maxSaid && len(c.opened) < maxOpened {
		c.queue.busy = false
		c.sayLocked(transport.Frame{Kind: transport.Ready, Feature: transport.TwinResponses})
	}
}

// drain sends what waits, as the hub gives room, and ends when nothing waits.
func (c *conn) drain() {
	for c.fate.Err() == nil {
		c.line.mu.Lock()
		m, link := c.queue.take(), c.queue.link
		c.readyLocked()
		if m == nil && len(c.queue.waiting) == 0 {
			c.queue.draining = false
			c.line.mu.Unlock()
			return
		}
		c.line.mu.Unlock()
		if m != nil {
			_ = c.send(c.life, m) // its failure ends the session
			continue
		}
		select {
		case <-link.Wake:
		case <-c.life.Done():
		}
	}
}
