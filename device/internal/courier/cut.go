package courier

import (
	"time"
)

// A message with which the connection ends again and again is a suspect. It
// travels alone, so that others flow, and is given up only when that is sure:
// over MQTT a hub has no other word for a message that it refuses.
const (
	// atOnce is how soon after the last byte of a message the other end hangs up
	// because of it.
	atOnce = 2 * time.Second
	// maxCuts makes a suspect, and poisonCuts poison.
	maxCuts    = 3
	poisonCuts = 6
	// suspectBase and suspectMax are the pauses before a suspect travels again.
	suspectBase = time.Minute
	suspectMax  = time.Hour
	// loneTime is how long a suspect has the way for itself: to be judged, and
	// before it for what is on its way to arrive.
	loneTime = 10 * time.Second
)

// Cut takes back what was on its way when the connection ended. hungUp says that
// the other end did it, and alone that nothing but messages was under way. It
// returns the messages that are given up.
func (c *Courier) Cut(now time.Duration, hungUp, alone bool) (poison []*Item) {
	c.hold = -1
	if len(c.flight) == 0 {
		return nil
	}
	flight := c.flight
	c.flight = nil
	c.window.size = 1
	last := flight[len(flight)-1]
	quick := now-last.sent <= atOnce && last.left
	soon := hungUp && quick
	c.troubled = c.troubled || quick
	if soon && len(flight) > 1 {
		c.window.halve(now)
		c.putOff = max(c.putOff, now+c.window.pause())
	}
	for _, it := range flight {
		it.id, it.again = "", true
		if len(flight) > 1 || !soon || !alone {
			c.requeue(it)
			continue
		}
		switch it.cuts++; {
		case it.gone:
		case it.cuts >= poisonCuts:
			c.counts.Poisonous++
			it.settle(ErrPoison)
			poison = append(poison, it)
		case it.cuts >= maxCuts:
			it.due = now + min(suspectBase<<(it.cuts-maxCuts), suspectMax)
			c.suspects = append(c.suspects, it)
		default:
			c.requeue(it)
		}
	}
	return poison
}

// suspect takes the suspect whose time has come, once nothing else is on its way.
// Nothing new is sent meanwhile, for a while.
func (c *Courier) suspect(now time.Duration) *Item {
	for i, it := range c.suspects {
		if now < it.due {
			continue
		}
		switch {
		case len(c.flight) == 0:
			c.hold = -1
			c.suspects = append(c.suspects[:i:i], c.suspects[i+1:]...)
			c.leave(it, now)
			return it
		case c.hold < 0:
			c.hold = now
		case now-c.hold >= loneTime: // what is on its way does not arrive
			c.hold = -1
			it.due = now + suspectBase
		}
		return nil
	}
	c.hold = -1
	return nil
}

// lone reports whether a suspect has the way for itself.
func (c *Courier) lone(now time.Duration) bool {
	return len(c.flight) == 1 && c.flight[0].cuts >= maxCuts && now-c.flight[0].sent < loneTime
}

// maxSilence is how long the hub may leave a message without an answer on a line
// that is up. Only a new connection can repeat it.
const maxSilence = 20 * time.Minute

// Silent reports whether the hub has left a message without an answer for too
// long.
func (c *Courier) Silent(now time.Duration) bool {
	return len(c.flight) > 0 && now-c.flight[0].sent >= maxSilence
}

// never is a time that does not come.
const never = time.Duration(1<<63 - 1)

// Due is when Next or Silent has something to say that it does not say now.
func (c *Courier) Due(now time.Duration, wall time.Time) time.Duration {
	due := never
	later := func(at time.Duration) {
		if at > now {
			due = min(due, at)
		}
	}
	if len(c.flight) > 0 {
		// Rounded, so that it does not change with each message.
		later((c.flight[0].sent + maxSilence).Truncate(time.Minute) + time.Minute)
		if c.flight[0].cuts >= maxCuts {
			later(c.flight[0].sent + loneTime)
		}
	}
	if c.hold >= 0 {
		later(c.hold + loneTime)
	}
	for _, it := range c.suspects {
		later(max(it.due, c.putOff))
	}
	if len(c.queues[urgent])+len(c.queues[normal]) > 0 {
		later(max(c.putOff, c.budget.due(now, wall, c.limits)))
	}
	return due
}
