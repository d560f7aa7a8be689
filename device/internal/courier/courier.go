// Package courier carries messages to the hub: it says which goes next, and
// knows what waits, what is on its way, and what became of each. It is state
// that takes the time: without I/O, clocks and goroutines. Package device guards
// it with its client's mutex.
package courier

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// What becomes of a message that does not reach the hub.
var (
	// ErrFull says that there was no room for a message.
	ErrFull = errors.New("device: the queue of messages is full; send less, or give it more room (TelemetryOptions.QueueBytes)")
	// ErrPoison says that the hub ends the connection at a message.
	ErrPoison = errors.New("device: the hub ends the connection whenever this message is sent; check its size and properties")
	// ErrUnknownOutcome says that a message was sent, and nobody knows whether
	// the hub has it.
	ErrUnknownOutcome = errors.New("device: the message was sent, and the hub has not answered: it may have it or not")
)

// Full says what goes when there is no room.
type Full uint8

// The choices.
const (
	DropOldest Full = iota
	DropNewest
	Refuse
)

// Limits are the user's.
type Limits struct {
	Bytes    int  // of messages that wait and that nobody waits for
	WhenFull Full // what goes then
	// Units of 4 KB, as hubs count; 0 for no limit.
	PerSecond, PerDay int
}

// perItem is what a message costs in memory beside its Size, about.
const perItem = 256

// unit is what hubs meter by: each message costs as many as it begins.
const unit = 4 << 10

// An Item is one message. Its fields but the first three belong to the Courier.
type Item struct {
	Message transport.Message
	// Answer gets what became of the message, once. Its capacity is 1. Nil where
	// nobody waits for it.
	Answer chan error

	seq    uint64 // the order of Offer
	size   int
	queued time.Duration
	id     string        // of the frame that carries it, empty while it waits
	sent   time.Duration // when it left, its last byte if left is true
	left   bool
	ahead  int  // bytes on their way when it was sent, with its own
	again  bool // it was sent before, and may have arrived
	gone   bool // nobody wants it any more, and it is on its way
	cuts   int  // connections that ended at it
	due    time.Duration
}

// Again reports whether the message was sent before.
func (it *Item) Again() bool { return it.again }

// The two kinds of messages.
const (
	urgent = iota
	normal
)

func kindOf(it *Item) int {
	if it.Message.Urgent {
		return urgent
	}
	return normal
}

// Counts are what a Courier did so far.
type Counts struct {
	Sent, Retried             int64
	Full, Refused, Poisonous  int64 // dropped, by cause
	Queued, QueuedBytes, Away int   // now
}

// A Courier is all that one client has to send. Use New.
type Courier struct {
	limits   Limits
	queues   [2][]*Item // what waits, by kind, in order
	flight   []*Item    // what is on its way, in the order of sending
	suspects []*Item    // wait to travel alone
	bytes    int        // of what waits and nobody waits for
	urgents  int        // sent in a row while a normal one waited
	window   window
	budget   budget
	putOff   time.Duration // nothing is sent before
	hold     time.Duration // since when the way is kept free for a suspect, or < 0
	seq      uint64        // of the item offered last
	troubled bool          // a connection ended at once when messages were sent, and none had an answer since
	counts   Counts
}

// calm is how long nothing is sent on a new connection when the last one ended at
// messages: others have their turn before this one may end, too.
const calm = 10 * time.Second

// Begin notes a new connection.
func (c *Courier) Begin(now time.Duration) {
	if c.troubled {
		c.putOff = max(c.putOff, now+calm)
	}
}

// New is a Courier with nothing to do.
func New(limits Limits) Courier {
	return Courier{limits: limits, window: newWindow(), hold: -1}
}

// Next takes the message to send now, if there is one, for the frame of that ID.
func (c *Courier) Next(now time.Duration, wall time.Time) (*Item, bool) {
	if now < c.putOff || len(c.flight) >= c.window.size || c.lone(now) {
		return nil, false
	}
	if it := c.suspect(now); it != nil {
		return it, true
	}
	if c.hold >= 0 {
		return nil, false
	}
	kind := urgent
	if len(c.queues[urgent]) == 0 || c.urgents >= maxUrgents && len(c.queues[normal]) > 0 {
		kind = normal
	}
	q := c.queues[kind]
	if len(q) == 0 || !c.budget.allows(now, wall, q[0], c.limits) {
		return nil, false
	}
	it := q[0]
	q[0] = nil
	if c.queues[kind] = q[1:]; len(q) == 1 {
		c.queues[kind] = nil
	}
	if it.Answer == nil {
		c.bytes -= it.size + perItem
	}
	switch {
	case kind == normal:
		c.urgents = 0
	case len(c.queues[normal]) > 0:
		c.urgents++
	}
	c.budget.spend(it)
	c.leave(it, now)
	return it, true
}

// maxUrgents is how many urgent messages may go while a normal one waits.
const maxUrgents = 7

func (c *Courier) leave(it *Item, now time.Duration) {
	it.sent, it.left, it.ahead = now, false, it.size
	for _, other := range c.flight {
		it.ahead += other.size
	}
	c.flight = append(c.flight, it)
	if it.again {
		c.counts.Retried++
	}
}

// Named notes the ID of the frame that carries a message.
func (c *Courier) Named(it *Item, id string) { it.id = id }

// Sent notes that the last byte of a message has left.
func (c *Courier) Sent(id string, now time.Duration) {
	for _, it := range c.flight {
		if it.id == id {
			it.sent, it.left = now, true
		}
	}
}

// Unsent takes back a message that Next gave and that was not sent.
func (c *Courier) Unsent(id string) {
	it := c.landed(id)
	if it == nil {
		return
	}
	c.budget.refund(it)
	if it.again {
		c.counts.Retried--
	}
	c.requeue(it)
}

// landed takes a message out of those on their way, or returns nil.
func (c *Courier) landed(id string) *Item {
	for i, it := range c.flight {
		if it.id == id && id != "" {
			c.flight = slices.Delete(c.flight, i, i+1)
			it.id = ""
			return it
		}
	}
	return nil
}

// requeue puts a message back where it was: in its place among those of its
// kind, or among the suspects.
func (c *Courier) requeue(it *Item) {
	if it.gone {
		return
	}
	if it.cuts >= maxCuts {
		c.suspects = append(c.suspects, it)
		return
	}
	if it.Answer == nil {
		c.bytes += it.size + perItem
	}
	k := kindOf(it)
	i := 0
	for i < len(c.queues[k]) && c.queues[k][i].seq < it.seq {
		i++
	}
	c.queues[k] = slices.Insert(c.queues[k], i, it)
}

// Accepted takes the hub's word that it has a message. It returns false for the
// ID of something else.
func (c *Courier) Accepted(id string, now time.Duration) bool {
	it := c.landed(id)
	if it == nil {
		return false
	}
	c.counts.Sent++
	c.troubled = false
	if c.window.acked(it, now) {
		c.putOff = max(c.putOff, now+c.window.pause())
	}
	it.settle(nil)
	return true
}

func (it *Item) settle(err error) {
	if it.Answer != nil {
		it.Answer <- err
	}
}

// Refused takes the hub's word that it will never take a message.
func (c *Courier) Refused(id string, err error) bool {
	it := c.landed(id)
	if it == nil {
		return false
	}
	c.counts.Refused++
	it.settle(err)
	return true
}

// PutOff takes the hub's word that it may take a message later, and sends
// nothing before.
func (c *Courier) PutOff(id string, until time.Duration) bool {
	it := c.landed(id)
	if it == nil {
		return false
	}
	it.again = true
	c.requeue(it)
	c.putOff = max(c.putOff, until)
	return true
}

// Has reports whether a message is on its way in the frame of that ID.
func (c *Courier) Has(id string) bool {
	return id != "" && slices.ContainsFunc(c.flight, func(it *Item) bool { return it.id == id })
}

// Withdraw gives up on a message whose caller has gone. It reports whether the
// hub may have it. After an answer it does nothing.
func (c *Courier) Withdraw(it *Item) (unknown bool) {
	for _, other := range c.flight {
		if other == it {
			it.gone = true
			it.Answer = nil
			return true
		}
	}
	is := func(other *Item) bool { return other == it }
	k := kindOf(it)
	c.queues[k] = slices.DeleteFunc(c.queues[k], is)
	c.suspects = slices.DeleteFunc(c.suspects, is)
	return it.again
}

// Idle reports whether nothing is on its way.
func (c *Courier) Idle() bool { return len(c.flight) == 0 }

// Empty reports whether there is nothing to send, and nothing on its way.
func (c *Courier) Empty() bool {
	return len(c.flight) == 0 && len(c.queues[urgent]) == 0 && len(c.queues[normal]) == 0 && len(c.suspects) == 0
}

// Left counts the messages that nobody has an answer for.
func (c *Courier) Left() (n int) {
	for _, list := range [...][]*Item{c.flight, c.queues[urgent], c.queues[normal], c.suspects} {
		for _, it := range list {
			if it.Answer == nil && !it.gone {
				n++
			}
		}
	}
	return n
}

// Counts says what was done, and the age of the oldest message.
func (c *Courier) Counts(now time.Duration) (n Counts, oldest time.Duration) {
	n = c.counts
	n.Away = len(c.flight)
	for _, list := range [...][]*Item{c.flight, c.queues[urgent], c.queues[normal], c.suspects} {
		for i, it := range list {
			if i == 0 || list[i].queued < it.queued {
				oldest = max(oldest, now-it.queued)
			}
		}
	}
	for _, list := range [...][]*Item{c.queues[urgent], c.queues[normal], c.suspects} {
		n.Queued += len(list)
		for _, it := range list {
			n.QueuedBytes += it.size
		}
	}
	return n, oldest
}

// End settles everything: nobody sends any more.
func (c *Courier) End(closed error) {
	for _, list := range [...][]*Item{c.flight, c.queues[urgent], c.queues[normal], c.suspects} {
		for _, it := range list {
			if it.id != "" || it.again {
				it.settle(fmt.Errorf("%w: %w", ErrUnknownOutcome, closed))
			} else {
				it.settle(closed)
			}
		}
	}
	c.flight, c.suspects, c.queues = nil, nil, [2][]*Item{}
}
