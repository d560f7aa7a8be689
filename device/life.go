package device

import (
	"context"
	"errors"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
)

// This file is the end of a client: Stop begins it, Close waits for it, and
// Shutdown drains before.

// The bounds of Close.
const (
	callbackWait = 5 * time.Second // for listeners and OnState
	flushWait    = 5 * time.Second // for the store
)

// runLocked starts the goroutine that owns all others.
func (c *Client) runLocked() {
	if !c.running {
		c.running = true
		go c.main()
	}
}

// main owns every goroutine of the client and ends last.
func (c *Client) main() {
	defer close(c.done)
	if c.opts.OnState != nil {
		c.calls.Go(c.tell)
	}
	c.mu.Lock()
	started := c.started
	c.mu.Unlock()
	if started {
		dispatched := make(chan struct{})
		go func() {
			defer close(dispatched)
			c.dispatch()
		}()
		err := c.supervise()
		c.end()
		<-dispatched // no listener starts any more
		c.failAll()
		c.enter(State{Phase: Closed, Err: err})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.calls.Wait()
	}()
	quiet := c.awaitCallbacks(over)
	c.releaseStore()
	c.owned.Wait()
	if !quiet {
		close(c.ended)
	}
	<-over
}

// awaitCallbacks waits until no listener and no OnState runs, for callbackWait
// at most. It reports whether that came true, and logs what runs on.
func (c *Client) awaitCallbacks(over <-chan struct{}) bool {
	timer := time.NewTimer(callbackWait)
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-timer.C:
	}
	select {
	case <-over:
		return true
	default:
	}
	paths := c.callbacks()
	c.log.Error("closed, but a callback runs on; let it end with its context", "listeners", paths, "OnState", len(paths) == 0)
	return false
}

// callbacks returns the paths of the listeners that run. If there is no such listener,
// it is OnState that runs.
func (c *Client) callbacks() (paths []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calling {
		paths = append(paths, call.path)
	}
	return paths
}

// Stop begins to close the client and returns at once, so that a listener may
// call it. Calls in progress end with ErrClosed. Close waits for the end.
func (c *Client) Stop() {
	now := c.opts.Now()
	c.with(func() {
		c.end()
		if !c.started && c.state.Phase != Closed {
			c.enterLocked(State{Phase: Closed, Since: now})
			c.runLocked()
		}
	})
}

// Close ends the client and waits for all its goroutines. It does not wait for
// the hub: Shutdown does. It waits up to 5 s for the Store to have all that was
// reported. Without a Store, reports that the hub has not confirmed are lost
// with the process.
//
// If a listener or OnState still runs after 5 s, Close logs its path and returns
// ErrListenerRuns. The client is closed all the same, and its store is free.
// That is also what a callback gets that calls Close itself: let it call Stop.
//
// Close is idempotent. Otherwise it returns nil, or the wrong local
// configuration that had ended the client.
func (c *Client) Close() error {
	c.Stop()
	select {
	case <-c.done:
	case <-c.ended:
		select {
		case <-c.done:
		default:
			return ErrListenerRuns
		}
	}
	return c.State().Err
}

// Shutdown waits until the hub has all that was reported (Stats.Outstanding is
// false) and all messages, and then closes the client like Close. It stops waiting when ctx ends,
// or Options.CallTimeout where ctx has no deadline, or when the line is down and
// one attempt to connect fails.
//
// It returns nil where the hub has everything, or where Options.Store holds the
// rest, which the next client on the store will report. Otherwise the error is a
// *LeftError that says how many reports and messages are lost. The error may also be one of
// Close.
func (c *Client) Shutdown(ctx context.Context) error {
	short, cancel := c.bound(ctx)
	defer cancel()
	comeBack := c.leave(ctx)
	cause := c.drain(short)
	c.Stop()
	comeBack()
	err := c.Close()
	var left, messages int
	var stored bool
	c.with(func() {
		messages = c.lostMessages
		if c.telemetry != nil {
			messages += c.telemetry.leftLocked()
		}
		left = c.reported.Left()
		stored = c.journal != nil && c.journal.kept
		if stored {
			left = c.reported.Guards() // which no store holds
		}
	})
	if left+messages > 0 {
		if cause == nil {
			cause = ErrClosed
		}
		err = errors.Join(&LeftError{Reports: left, Messages: messages, Err: cause}, err)
	}
	return err
}

// drain waits until the hub has all that was reported, and otherwise returns
// why not.
func (c *Client) drain(ctx context.Context) error {
	before := -1 // attempts before the one that decides, or < 0 for none
	for {
		var settled, changed chan struct{}
		var s State
		var err error
		over := false
		c.with(func() {
			s, changed = c.state, c.changed
			if c.settled == nil {
				c.settled = make(chan struct{})
			}
			settled = c.settled
			switch {
			case !c.reported.Outstanding() && c.nothingToSendLocked():
				over = true
			case c.usable() != nil:
				over, err = true, c.usable()
			case s.Phase == Online:
				before = -1
			case before < 0 && s.Phase == Waiting:
				before = c.attempts
				poke(c.renew) // it waits for its next attempt, and makes it now
			case before < 0:
				before = c.attempts - 1 // the one in progress
			case s.Phase == Waiting && c.attempts > before:
				over, err = true, s.Err
			}
		})
		if over {
			return err
		}
		select {
		case <-settled:
		case <-changed:
		case <-ctx.Done():
			return contextError(ctx, s.Err)
		}
	}
}

// failAll ends every call that waits.
func (c *Client) failAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ticket, ch := range c.reports {
		ch <- catchup.Settlement{Ticket: ticket, Err: ErrClosed}
	}
	clear(c.reports)
	for _, g := range c.gets {
		g.answer <- getAnswer{err: ErrClosed}
	}
	c.gets = nil
	if c.telemetry != nil {
		c.lostMessages = c.telemetry.leftLocked()
		c.telemetry.endLocked(ErrClosed)
	}
}
