package store

import (
	"context"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
)

// Append appends records, in order, with one write, and returns nil when they
// are durable: when fsync has returned, or as Options.SyncEvery says. A power
// cut before that may leave the first few of them. Append is BeginAppend and
// Wait, but does nothing when ctx has ended already.
func (s *logStore) Append(ctx context.Context, records ...[]byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: append: %w", err)
	}
	return s.BeginAppend(records...).Wait(ctx)
}

// Compact replaces all records begun before it by a snapshot of what they
// amount to, and returns nil when that is durable. It is atomic: after a power
// cut at any moment the store holds either the snapshot or what was there
// before. Records begun later follow the snapshot. It is BeginCompact and
// Wait, but does nothing when ctx has ended already.
func (s *logStore) Compact(ctx context.Context, snapshot []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: compact: %w", err)
	}
	return s.BeginCompact(snapshot).Wait(ctx)
}

// BeginAppend appends records without waiting: their place in the log, among
// all records and snapshots, is decided when BeginAppend returns, so it may be
// called under the lock that orders what the records mean. They are copied,
// and follow each other. Wait returns what became of them, with errors that
// match ErrFull, ErrBroken, errClosed, errUnclaimed, or the file system's.
//
// Where Wait fails none of them is in the log, but the first few, or all, may
// turn up after a power cut. Where the snapshot of a following Compact covers
// them, they need not be appended again.
func (s *logStore) BeginAppend(records ...[]byte) *pending {
	p := &pending{}
	p.refuse(s.begin(p, records))
	return p
}

// BeginCompact is Compact without waiting: the snapshot, which is copied,
// replaces all that was begun before BeginCompact was called, and is followed
// by what is begun after it returned. Wait's errors are those of BeginAppend;
// where they don't match ErrBroken, the log is as it was before.
func (s *logStore) BeginCompact(snapshot []byte) *pending {
	p := &pending{compact: true}
	p.refuse(s.begin(p, [][]byte{snapshot}))
	return p
}

// What follows is what tests do with a Store that Open returned.

func (s *Store) Append(ctx context.Context, records ...[]byte) error {
	return s.inner().Append(ctx, records...)
}

func (s *Store) Compact(ctx context.Context, snapshot []byte) error {
	return s.inner().Compact(ctx, snapshot)
}

func (s *Store) BeginAppend(records ...[]byte) *pending { return s.inner().BeginAppend(records...) }

func (s *Store) BeginCompact(snapshot []byte) *pending { return s.inner().BeginCompact(snapshot) }

func (s *Store) AppendFunc(done func(error), records ...[]byte) error {
	return s.inner().AppendFunc(done, records...)
}

func (s *Store) CompactFunc(done func(error), snapshot []byte) error {
	return s.inner().CompactFunc(done, snapshot)
}

func (s *Store) Load() (snapshot []byte, records [][]byte) { return s.inner().Load() }

func (s *Store) Claim(ctx context.Context, id auth.Identity) (func(context.Context) error, error) {
	return s.inner().Claim(ctx, id)
}

func (s *Store) NeedsCompaction() bool { return s.inner().NeedsCompaction() }

func wrapped(s *logStore, err error) (*Store, error) {
	if err != nil {
		return nil, err
	}
	return &Store{s}, nil
}
