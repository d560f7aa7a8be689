package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// A claim is one user's, from Claim to release.
type claim struct{ holder auth.Identity }

// Claim gives the store to one user, until that calls release or the store is
// closed. Before, a second Claim fails with ErrInUse. A Claim for another
// device or module than the store's fails with ErrForeign. The host may
// change. Nothing is written then. A store that was opened with the zero
// Identity takes its ids from the first Claim, and has them on flash when that
// returns. The Claim of a nil *Store fails with errNoStore.
//
// Load returns what all users before have kept. ctx bounds the waiting for the
// disk. A Claim that fails leaves the store free.
//
// release waits until all that was begun is durable, ends the claim, and
// returns nil, or why something is not durable. ctx bounds its waiting, and the
// claim ends in any case. Later calls of release do nothing.
func (s *logStore) Claim(ctx context.Context, id auth.Identity) (release func(ctx context.Context) error, err error) {
	c := &claim{holder: id}
	if err := s.hold(ctx, c); err != nil {
		return nil, fmt.Errorf("store: claim: %w", errtext.Bare("store", err))
	}
	return func(ctx context.Context) error { return s.release(ctx, c) }, nil
}

// hold takes the store for a claim, with what Load returns at hand.
func (s *logStore) hold(ctx context.Context, c *claim) error {
	if s == nil {
		return errNoStore
	}
	if err := errors.Join(ctx.Err(), checkID(c.holder)); err != nil {
		return err
	}
	s.mu.Lock()
	err := s.claimableLocked(c.holder)
	ready := s.found != nil && s.owner.DeviceID != ""
	if err == nil {
		s.claim = c
	}
	s.mu.Unlock()
	if err != nil || ready {
		return err
	}
	p := &pending{do: func() error { return s.prepare(c) }}
	p.refuse(s.begin(p, nil))
	if err = p.Wait(ctx); err != nil {
		s.drop(c)
	}
	return err
}

// claimableLocked returns why the store cannot be claimed. The caller holds mu.
func (s *logStore) claimableLocked(id auth.Identity) error {
	if s.closing {
		return errClosed
	}
	var held, foreign error
	if s.claim != nil {
		held = fmt.Errorf("%w: device %q has it", ErrInUse, s.claim.holder.DeviceID)
	}
	if s.owner.DeviceID != "" {
		foreign = checkOwner(s.owner, id)
	}
	return errors.Join(held, foreign)
}

// prepare is the writer's part of a Claim: ids for a file that has none, and
// what the file holds.
func (s *logStore) prepare(c *claim) error {
	s.mu.Lock()
	dropped := s.claim != c
	s.mu.Unlock()
	if dropped {
		return context.Canceled // its caller has gone, so nothing is written for it
	}
	err := s.journal.claim(c.holder)
	owner := s.journal.id
	var found contents
	if err == nil {
		found, err = s.journal.contents()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = owner
	if err == nil {
		s.unread = nil
		if s.claim == c { // its ctx has not ended
			s.found = &found
		}
	}
	return err
}

// drop ends a claim, and reports whether it was held.
func (s *logStore) drop(c *claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claim != c {
		return false
	}
	s.claim = nil
	return true
}

// release ends a claim once all that was begun is durable, or ctx has ended.
func (s *logStore) release(ctx context.Context, c *claim) error {
	s.mu.Lock()
	held := s.claim == c
	s.mu.Unlock()
	if !held {
		return nil
	}
	p := &pending{do: s.journal.flush}
	p.refuse(s.begin(p, nil))
	err := p.Wait(ctx)
	s.drop(c)
	return err
}

// Load returns what the store holds: the last snapshot, nil for none or an
// empty one, and the records appended to it since, in order. The caller owns
// them. They are parts of one buffer as large as the file, so what is to be
// kept for long is better copied.
//
// After Open, and after Claim, the first Load does no I/O. The store keeps no
// copy of what it returned, so a later one reads the file, after all that was
// begun. If that fails, Load logs why and returns nil, and the store takes
// nothing, with the same error, until a Load or Claim succeeds: a snapshot
// must not replace what nobody has seen. Load returns nil after Close.
func (s *logStore) Load() (snapshot []byte, records [][]byte) {
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	found := s.found
	s.found = nil
	s.mu.Unlock()
	if found == nil {
		found = s.readBack()
	}
	if len(found.snapshot) == 0 {
		found.snapshot = nil
	}
	return found.snapshot, found.records
}

// readBack reads the contents in the writer.
func (s *logStore) readBack() *contents {
	var found contents
	p := &pending{do: func() (err error) {
		found, err = s.journal.contents()
		return err
	}}
	p.refuse(s.begin(p, nil))
	<-p.done
	if errors.Is(p.err, errClosed) {
		return &found
	}
	err := errors.Unwrap(p.err)
	if err != nil {
		err = fmt.Errorf("nothing is taken until Load or Claim succeeds: %w", err)
		s.log.Error("the store cannot be read", "err", err)
	}
	s.mu.Lock()
	s.unread = err
	s.mu.Unlock()
	return &found
}
