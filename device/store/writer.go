package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Pending is an append or a compaction that has its place in the log, and
// isn't durable yet.
type Pending struct {
	data    [][]byte // our own copy of the records, or the snapshot; dropped when done
	compact bool
	done    chan struct{}
	err     error // set before done is closed
}

// BeginAppend appends records without waiting: their place in the log, among
// all records and snapshots, is decided when BeginAppend returns, so it may be
// called under the lock that orders what the records mean. They are copied,
// and follow each other. Wait tells what became of them, with errors that
// match ErrFull, ErrBroken, ErrClosed, or the file system's.
//
// Where Wait fails none of them is in the log, but the first few, or all, may
// turn up after a power cut. Where the snapshot of a following Compact covers
// them, they need not be appended again.
func (s *Store) BeginAppend(records ...[]byte) *Pending { return s.begin(records, false) }

// BeginCompact is Compact without waiting: the snapshot, which is copied,
// replaces all that was begun before BeginCompact was called, and is followed
// by what is begun after it returned. Wait's errors are those of BeginAppend;
// where they don't match ErrBroken, the log is as it was before.
func (s *Store) BeginCompact(snapshot []byte) *Pending { return s.begin([][]byte{snapshot}, true) }

// Wait waits until the record or the snapshot is durable. ctx bounds the
// waiting alone: what was begun goes on, may or may not succeed, and may be
// waited for again. The error matches ctx.Err() then. Any number of goroutines
// may wait.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		err := context.Cause(ctx)
		if !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return fmt.Errorf("store: not known to be durable yet: %w", err)
	}
}

// finish ends a Pending; the writer, or whoever refuses it, calls it once.
func (p *Pending) finish(err error) {
	if err != nil {
		err = fmt.Errorf("store: %w", err)
	}
	p.data, p.err = nil, err
	close(p.done)
}

// begin gives data its place in the queue.
func (s *Store) begin(data [][]byte, compact bool) *Pending {
	p := &Pending{compact: compact, done: make(chan struct{})}
	size := framed(data)
	s.mu.Lock()
	var err error
	switch {
	case s.closing:
		err = ErrClosed
	case s.queued+size > 2*s.max: // flash that hangs must not fill the memory
		err = fmt.Errorf("%w: %d bytes wait to be written", ErrFull, s.queued)
	default:
		p.data = make([][]byte, len(data))
		for i, b := range data {
			p.data[i] = slices.Clone(b)
		}
		s.queue = append(s.queue, p)
		s.queued += size
		if compact {
			s.compacts++
		}
	}
	s.mu.Unlock()
	if err != nil {
		p.finish(err)
		return p
	}
	s.poke()
	return p
}

// poke wakes the writer.
func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the writer: it alone touches the journal. What is begun while it
// waits for one fsync shares the next.
func (s *Store) run() {
	var due <-chan time.Time // of the fsync that SyncEvery puts off
	for {
		select {
		case <-s.wake:
		case <-due:
			s.told(s.journal.sync)
			s.publish()
		}
		s.serve(s.take()) // what comes after it has woken us again
		if s.end() {
			return
		}
		switch unsynced := s.journal.synced != s.journal.end && s.journal.broken == nil; {
		case !unsynced:
			due = nil
		case due == nil:
			due = time.After(s.every)
		}
	}
}

// take takes the queue.
func (s *Store) take() []*Pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.queue
	s.queue = nil
	return batch
}

// end ends the writer if Close was called and nothing is left to do.
func (s *Store) end() bool {
	s.mu.Lock()
	over := s.closing && len(s.queue) == 0
	s.mu.Unlock()
	if !over {
		return false
	}
	err := s.journal.close()
	s.publish()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		s.closeErr = fmt.Errorf("close store %s: %w", s.path, err)
	}
	close(s.done)
	return true
}

// serve does what was begun, in order: runs of appends as one write each, and
// compactions between them.
func (s *Store) serve(batch []*Pending) {
	for len(batch) > 0 {
		n := slices.IndexFunc(batch, func(p *Pending) bool { return p.compact })
		if n < 0 {
			n = len(batch)
		}
		if n == 0 {
			p := batch[0]
			n = 1
			s.finish(batch[:n], s.told(func() error { return s.journal.compact(p.data[0]) }))
		} else {
			s.append(batch[:n])
		}
		batch = batch[n:]
	}
}

// append writes records as one.
func (s *Store) append(batch []*Pending) {
	fits := batch[:0:0]
	for _, p := range batch {
		if err := s.journal.add(p.data); err != nil {
			s.finish([]*Pending{p}, err)
			continue
		}
		fits = append(fits, p)
	}
	s.finish(fits, s.told(func() error {
		err := s.journal.write()
		if err == nil && s.every == 0 {
			err = s.journal.sync()
		}
		return err
	}))
}

// finish ends Pendings, after the store shows what they did.
func (s *Store) finish(batch []*Pending, err error) {
	s.publish()
	s.mu.Lock()
	for _, p := range batch {
		s.queued -= framed(p.data)
		if p.compact {
			s.compacts--
		}
	}
	s.mu.Unlock()
	for _, p := range batch {
		p.finish(err)
	}
}

// publish shows the journal's figures to everyone.
func (s *Store) publish() {
	j := s.journal
	v := view{size: j.end, needs: j.needsCompaction(), stats: j.stats}
	s.mu.Lock()
	s.state = v
	s.mu.Unlock()
}

// told does I/O, and logs where that breaks or mends the store: a failed fsync
// that SyncEvery put off has no caller to tell.
func (s *Store) told(do func() error) error {
	was := s.journal.broken
	err := do()
	switch is := s.journal.broken; {
	case was == nil && is != nil:
		s.log.Error("the store is broken until Compact succeeds", "err", is)
	case was != nil && is == nil:
		s.log.Info("the store is mended")
	}
	return err
}
