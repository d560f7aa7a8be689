package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// A pending is an append or a compaction that has its place in the log, and
// isn't durable yet.
type pending struct {
	data    [][]byte     // our own copy of the records, or the snapshot, dropped when done
	do      func() error // what the writer does for it, or nil for an append
	compact bool
	size    int64 // what it counts in Store.queued
	then    func(error)
	done    chan struct{}
	err     error // set before done is closed
}

// AppendFunc is BeginAppend with a call in place of Wait: the store calls done
// once, with what Wait would return, and calls follow the order of the log. If
// AppendFunc returns an error, nothing was begun and done is not called.
//
// The store's goroutine calls done and holds no lock. done must return soon.
// It may call the store's methods, but those that wait for the disk: Append,
// Compact, Claim, a release, Load and Close.
func (s *logStore) AppendFunc(done func(error), records ...[]byte) error {
	return refused(s.begin(&pending{then: done}, records))
}

// CompactFunc is BeginCompact with a call in place of Wait, as AppendFunc is
// BeginAppend.
func (s *logStore) CompactFunc(done func(error), snapshot []byte) error {
	return refused(s.begin(&pending{then: done, compact: true}, [][]byte{snapshot}))
}

// Wait waits until the record or the snapshot is durable. ctx bounds the
// waiting alone: what was begun goes on, may or may not succeed, and may be
// waited for again. The error matches ctx.Err() then. Any number of goroutines
// may wait.
func (p *pending) Wait(ctx context.Context) error {
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

// refused wraps an error of begin.
func refused(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %w", errtext.Bare("store", err))
}

// refuse ends a pending that begin refused.
func (p *pending) refuse(err error) {
	if err != nil {
		p.finish(err)
	}
}

// finish ends a pending. It is called once, by the writer or by refuse.
func (p *pending) finish(err error) {
	p.data, p.err = nil, refused(err)
	close(p.done)
	if p.then != nil {
		p.then(p.err)
	}
}

// begin gives p its place in the queue, with a copy of its data.
func (s *logStore) begin(p *pending, data [][]byte) error {
	p.done = make(chan struct{})
	if s == nil {
		return errNoStore
	}
	p.size = max(framed(data), frameLen)
	if p.compact {
		p.do = func() error { return s.journal.compact(p.data[0]) }
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := p.compact || p.do == nil
	switch {
	case s.closing:
		return errClosed
	case writes && s.unread != nil:
		return s.unread
	case s.queued+p.size > 2*s.max: // flash that hangs must not fill the memory
		return fmt.Errorf("%w: %d bytes wait to be written", ErrFull, s.queued)
	}
	p.data = make([][]byte, len(data))
	for i, b := range data {
		p.data[i] = slices.Clone(b)
	}
	s.queue = append(s.queue, p)
	s.queued += p.size
	if p.compact {
		s.compacts++
	}
	if writes {
		s.found = nil // Load reads the file then
	}
	s.poke()
	return nil
}

// poke wakes the writer.
func (s *logStore) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the writer: it alone touches the journal. What is begun while it
// waits for one fsync shares the next.
func (s *logStore) run() {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	var retry time.Time // no attempt to mend the journal before it
	for {
		retry = s.keepSynced(retry)
		if s.step() {
			continue
		}
		if s.end() {
			return
		}
		alarm.Stop()
		if at, ok := s.journal.syncBy(s.every); ok {
			if s.journal.broken != nil {
				at = retry
			}
			alarm.Reset(time.Until(at))
		}
		select {
		case <-s.wake:
		case <-alarm.C:
		}
	}
}

// keepSynced does what Options.SyncEvery promises: it syncs what has been
// acknowledged for so long, and tries to mend a broken journal, at least twice
// in each SyncEvery. It returns the time of the next attempt at that. It is called
// between any two things that the writer does, so that a long queue puts off
// nothing.
func (s *logStore) keepSynced(retry time.Time) time.Time {
	at, ok := s.journal.syncBy(s.every)
	if ok && s.journal.broken != nil {
		at = retry
	}
	if !ok || time.Now().Before(at) {
		return retry
	}
	if s.told(s.journal.sync) != nil && s.told(s.journal.mend) != nil {
		// At random, so that the stores of a gateway don't retry all at once.
		retry = time.Now().Add(max(s.every/4+rand.N(s.every/4+1), time.Millisecond))
	}
	s.publish()
	return retry
}

// step does the next thing that was begun, or, of appends, all up to the next
// thing that is none, with one write. It returns false if there is nothing.
func (s *logStore) step() bool {
	batch := s.take()
	switch {
	case len(batch) == 0:
		return false
	case batch[0].do == nil:
		s.append(batch)
	default:
		s.finish(batch, s.told(batch[0].do))
	}
	return true
}

// take takes what step does from the queue.
func (s *logStore) take() []*pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.IndexFunc(s.queue, func(p *pending) bool { return p.do != nil })
	switch n {
	case -1:
		n = len(s.queue)
	case 0:
		n = 1
	}
	batch := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return batch
}

// end ends the writer if Close was called and nothing is left to do.
func (s *logStore) end() bool {
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
		s.closeErr = fmt.Errorf("store: close %s: %w", s.path, errtext.Bare("store", err))
	}
	close(s.done)
	return true
}

// append writes records as one, without those that don't fit.
func (s *logStore) append(batch []*pending) {
	for _, p := range batch {
		p.err = s.journal.add(p.data)
	}
	s.finish(batch, s.told(s.journal.write))
}

// finish ends Pendings in order, after the store shows what they did. err is
// of those that have no error of their own.
func (s *logStore) finish(batch []*pending, err error) {
	s.publish()
	s.mu.Lock()
	for _, p := range batch {
		s.queued -= p.size
		if p.compact {
			s.compacts--
		}
	}
	s.mu.Unlock()
	for _, p := range batch {
		if p.err == nil {
			p.err = err
		}
		p.finish(p.err)
	}
}

// publish shows the journal's figures to everyone.
func (s *logStore) publish() {
	j := s.journal
	v := view{size: j.end, needs: j.needsCompaction(), stats: j.stats}
	v.stats.Unsynced, v.stats.UnsyncedSince = j.waiting, j.since
	s.mu.Lock()
	s.state = v
	s.mu.Unlock()
}

// told does I/O, and logs where that breaks or mends the store: a failed fsync
// that SyncEvery put off has no caller to tell.
func (s *logStore) told(do func() error) error {
	was := s.journal.broken
	err := do()
	switch is := s.journal.broken; {
	case was == nil && is != nil:
		s.log.Error("the store is broken", "err", is, "unsynced", s.journal.waiting)
	case was != nil && is == nil:
		s.log.Info("the store is mended")
	}
	return err
}
