package courier

import (
	"fmt"
	"slices"
	"time"
)

// Offer takes a message, unless there is no room for it. It returns how many
// were dropped instead, itself included.
func (c *Courier) Offer(it *Item, now time.Duration) (dropped int, err error) {
	c.seq++
	it.seq, it.size, it.queued = c.seq, it.Message.Size(), now
	kind := kindOf(it)
	if it.Answer == nil {
		need := it.size + perItem
		if need > c.limits.Bytes {
			return 0, fmt.Errorf("%w: the message takes %d bytes of %d", ErrFull, need, c.limits.Bytes)
		}
		if c.limits.WhenFull == Refuse && c.bytes+need > c.limits.Bytes {
			return 0, ErrFull
		}
		if c.bytes+need > c.limits.Bytes && c.bytes+need-c.droppable(kind) > c.limits.Bytes {
			c.counts.Full++
			return 1, nil // nothing goes for what has no room anyway
		}
		for c.bytes+need > c.limits.Bytes {
			dropped++
			if !c.dropOne(kind) {
				c.counts.Full++
				return dropped, nil // the new one is the one that goes
			}
		}
		c.bytes += need
	}
	c.queues[kind] = append(c.queues[kind], it)
	return dropped, nil
}

// droppable is how many bytes may go for a message of that kind.
func (c *Courier) droppable(kind int) (n int) {
	for k, q := range c.queues {
		if k < kind || k == kind && c.limits.WhenFull == DropNewest {
			continue
		}
		for _, it := range q {
			if it.Answer == nil {
				n += it.size + perItem
			}
		}
	}
	return n
}

// dropOne makes room for a message of that kind, or returns false where that is
// the one to go.
func (c *Courier) dropOne(kind int) bool {
	for _, k := range [...]int{normal, urgent} {
		if k < kind {
			return false // normal goes before urgent
		}
		if k == kind && c.limits.WhenFull == DropNewest {
			return false
		}
		q := c.queues[k]
		for i := range q {
			if c.limits.WhenFull == DropNewest {
				i = len(q) - 1 - i
			}
			if it := q[i]; it.Answer == nil {
				c.queues[k] = slices.Delete(q, i, i+1)
				c.bytes -= it.size + perItem
				c.counts.Full++
				return true
			}
		}
	}
	return false
}
