package device

import (
	"context"
	"errors"

	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A claim is one attempt to claim the store.
type claim struct {
	over chan struct{} // closed when it is decided
	err  error         // set before
}

// made reports whether the claim was granted. A nil claim never is.
func (a *claim) made() bool {
	if a == nil {
		return false
	}
	select {
	case <-a.over:
		return a.err == nil
	default:
		return false
	}
}

// wait waits for the outcome. An ended context does not end the attempt.
func (a *claim) wait(ctx context.Context) error {
	select {
	case <-a.over:
		return a.err
	default:
	}
	select {
	case <-a.over:
		return a.err
	case <-ctx.Done():
		return contextError(ctx, nil)
	}
}

// claimLocked returns the claim of the store, and begins one where there is
// none. One that failed is forgotten, so that the next caller tries again.
func (c *Client) claimLocked() *claim {
	if c.claim != nil {
		return c.claim
	}
	a := &claim{over: make(chan struct{})}
	c.claim = a
	if c.opts.Store == nil {
		close(a.over)
		return a
	}
	c.owned.Go(func() { c.take(a, c.opts.Store.ForClient(own.Key{})) })
	return a
}

// take claims the store and restores what it holds.
func (c *Client) take(a *claim, store keep.Store) {
	release, err := store.Claim(c.life, c.id)
	var snapshot []byte
	var records [][]byte
	if err == nil {
		snapshot, records = store.Load()
	}
	noStore := errors.Is(err, errors.ErrUnsupported)
	if noStore {
		c.log.Warn("Options.Store is nil inside; going on without a store", "cause", err)
		err = nil
	}
	closed := false
	c.with(func() {
		switch closed = c.life.Err() != nil; {
		case closed:
			err = ErrClosed
		case err != nil:
			c.claim, c.wanted = nil, false
		case !noStore:
			c.journal = newJournal(store, release)
			c.restoreLocked(snapshot, records)
		}
		a.err = err
		close(a.over)
		c.beginLocked()
	})
	if err != nil && !closed {
		c.log.Warn("the store cannot be claimed", "cause", err) // nobody may wait any more
	}
	if closed && release != nil {
		// Nothing was written, so there is nothing to wait for.
		if err := release(c.life); err != nil {
			c.log.Debug("the store was given back unused", "cause", err)
		}
	}
}
