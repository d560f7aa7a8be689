package device

import (
	"context"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
)

// A listenerCall is one call of a listener. Its fields are guarded by the mutex of the
// client that makes it.
type listenerCall struct {
	client     *Client
	id         catchup.ListenerID
	path       string
	concurrent bool
	durable    string        // its name, or empty also once that is forgotten
	removed    bool          // the listener was, while it runs
	answered   bool          // its error only names the code of an acknowledgement
	since      time.Time     // when it began, or came back from a call of a client
	away       int           // calls of a client in progress
	back       chan struct{} // closed when its turn is back, or nil while it doesn't wait for it
	over       bool
	reported   bool // as slow
}

// callKey is where a listener's context has its call.
type callKey struct{}

// leave gives away the turn of the listener whose context this is, for as long
// as it waits in a call of a client, which the caller ends with the func that
// leave returns. That waits for the turn to come back.
func (c *Client) leave(ctx context.Context) (comeBack func()) {
	call, _ := ctx.Value(callKey{}).(*listenerCall)
	if call == nil {
		return func() {}
	}
	call.client.with(func() {
		call.away++
		call.client.passTurnLocked(call)
	})
	return call.comeBack
}

// comeBack takes the turn back, and waits for it.
func (call *listenerCall) comeBack() {
	c := call.client
	var back chan struct{}
	c.with(func() {
		call.since, call.reported = time.Now(), false
		call.away--
		switch {
		case call.over || call.concurrent || c.holder == call:
		case c.holder == nil:
			c.holder = call
		case call.back != nil: // another goroutine of the listener waits for it
			back = call.back
		default:
			back = make(chan struct{})
			call.back = back
			c.returning = append(c.returning, call)
		}
	})
	if back == nil {
		return
	}
	select {
	case <-back:
	case <-c.life.Done(): // nobody's turn comes any more
	}
}

// passTurnLocked gives the turn of a call away, if it has it: to those that want
// theirs back, then to the next listener.
func (c *Client) passTurnLocked(from *listenerCall) {
	if c.holder != from {
		return
	}
	c.holder = nil
	if len(c.returning) > 0 {
		c.holder = c.returning[0]
		c.returning = slices.Delete(c.returning, 0, 1)
		c.holder.takeBackLocked()
	}
	poke(c.turn)
}

func (call *listenerCall) takeBackLocked() {
	call.since = time.Now()
	close(call.back)
	call.back = nil
}

// endLocked ends a call whose listener has returned.
func (call *listenerCall) endLocked() {
	c := call.client
	call.over = true
	c.calling = slices.DeleteFunc(c.calling, func(other *listenerCall) bool { return other == call })
	if call.back != nil { // a goroutine that the listener left behind
		c.returning = slices.DeleteFunc(c.returning, func(other *listenerCall) bool { return other == call })
		call.takeBackLocked()
	}
	c.passTurnLocked(call)
	poke(c.turn)
}

// mayCallLocked reports whether a listener may be called now.
func (c *Client) mayCallLocked(id catchup.ListenerID) bool {
	l := c.listeners[id]
	if l == nil || !l.concurrent && c.holder != nil {
		return false
	}
	return !slices.ContainsFunc(c.calling, func(call *listenerCall) bool { return call.id == id })
}

// slowListener is how long a listener may run before it is reported.
const slowListener = 30 * time.Second

// slowLocked returns the paths of listeners that run longer than that, each
// once, and how long there are no more.
func (c *Client) slowLocked() (paths []string, wait time.Duration) {
	wait = never
	for _, call := range c.calling {
		if call.away > 0 || call.back != nil || call.reported {
			continue
		}
		left := slowListener - time.Since(call.since)
		if left > 0 {
			wait = min(wait, left)
			continue
		}
		call.reported = true
		paths = append(paths, call.path)
	}
	return paths, wait
}
