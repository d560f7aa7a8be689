package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A journal writes down what the machines must remember. All its fields but
// store and release are guarded by the client's mutex, under which the store is
// given what to write: so the order of the records is that of the events.
//
// A store that fails costs nothing but safety. Whatever is missing then, the
// next snapshot brings, at the pace of attempts.
type journal struct {
	store   keep.Store
	release func(context.Context) error
	epoch   time.Time // of pace

	writes     []*write      // begun and not done, in order
	compacting bool          // one of them is a snapshot
	rebase     bool          // the next write is a snapshot
	pace       pacer         // of attempts at a store that failed
	failure    error         // of the last attempt
	retry      *time.Timer   // of the next attempt, or nil while the store is well
	last       bool          // the client closes: one more attempt, whatever the pace
	quiet      chan struct{} // closed when nothing more is being written, or nil if nobody waits
	logging    bool          // a failure is being logged
	failed     bool          // and that attempt failed
	released   bool
	kept       bool // at the release all was durable

	before  uint64  // reports counted before this start
	covered uint64  // of all reports, how many the hub is known to have
	seen    keptDoc // the desired half as the store has it
	seenAt  time.Time
}

// A write is what the store was given at once.
type write struct {
	compact bool
	then    []func(error) // called when it is done, under no lock
}

// errReleased is the failure of a write after Close gave the store back.
var errReleased = fmt.Errorf("device: the store was given back: %w", errtext.Bare("device", ErrClosed))

func newJournal(store keep.Store, release func(context.Context) error) *journal {
	return &journal{store: store, release: release, epoch: time.Now()}
}

// keepLocked writes a record, or a snapshot that holds it. then may be nil.
func (c *Client) keepLocked(r savedRecord, then func(error)) {
	j := c.journal
	switch {
	case j.released:
		c.answerLocked(errReleased, then)
	case j.failure != nil && !j.dueLocked():
		// Each attempt writes all there is: a full disk is not asked again at
		// every report.
		j.rebase = true
		c.answerLocked(j.failure, then)
	case !j.compacting && (j.rebase || j.store.NeedsCompaction()):
		c.compactLocked(then)
	default:
		b, err := json.Marshal(r)
		if err != nil { // plain data: it cannot
			c.answerLocked(err, then)
			return
		}
		c.writeLocked(&write{}, then, func(done func(error)) error { return j.store.AppendFunc(done, b) })
	}
}

// dueLocked reports whether a store that failed may be tried again.
func (j *journal) dueLocked() bool {
	return j.last || time.Since(j.epoch) >= j.pace.notBefore
}

// mendLocked writes a snapshot where one is due.
func (c *Client) mendLocked() {
	if j := c.journal; j != nil && !j.released && j.rebase && !j.compacting && (j.failure == nil || j.dueLocked()) {
		c.compactLocked(nil)
	}
}

func (c *Client) compactLocked(then func(error)) {
	j := c.journal
	b := c.snapshotLocked()
	j.rebase = false // another GET may ask for one while this is written
	c.writeLocked(&write{compact: true}, then, func(done func(error)) error { return j.store.CompactFunc(done, b) })
}

// writeLocked gives the store something to write.
func (c *Client) writeLocked(w *write, then func(error), begin func(done func(error)) error) {
	j := c.journal
	if then != nil {
		w.then = append(w.then, then)
	}
	j.writes = append(j.writes, w)
	j.compacting = j.compacting || w.compact
	if err := begin(func(err error) { c.with(func() { c.writtenLocked(w, err) }) }); err != nil {
		j.writes = j.writes[:len(j.writes)-1]
		c.doneLocked(w, err)
	}
}

// writtenLocked takes the store's word on a write.
func (c *Client) writtenLocked(w *write, err error) {
	j := c.journal
	i := slices.Index(j.writes, w)
	if i < 0 {
		return // answered at the release
	}
	j.writes = slices.Delete(j.writes, i, i+1)
	c.doneLocked(w, err)
	if j.last && err != nil {
		j.rebase = false // the last attempt
		j.failed = true
	}
	c.mendLocked()
	if j.quiet != nil && len(j.writes) == 0 {
		close(j.quiet)
		j.quiet = nil
	}
}

// doneLocked takes the result of a write.
func (c *Client) doneLocked(w *write, err error) {
	j := c.journal
	if w.compact {
		j.compacting = false
	}
	switch {
	case err != nil:
		c.failedLocked(err)
	case w.compact || !j.rebase:
		j.failure = nil
		j.pace.backoff.reset()
	}
	for _, then := range w.then {
		c.answerLocked(err, then)
	}
}

// failedLocked takes a failure of the store. Those of writes that were begun
// together count as one.
func (c *Client) failedLocked(err error) {
	j := c.journal
	again := j.failure == nil || j.dueLocked()
	j.rebase, j.failure = true, err
	if !again {
		return
	}
	j.pace.fail(time.Since(j.epoch), 0)
	if !j.logging {
		// Not on the store's own goroutine, which a log could hold up.
		j.logging = true
		c.owned.Go(func() {
			c.log.Error("the store failed", "cause", err)
			c.with(func() { j.logging = false })
		})
	}
	if j.retry == nil && !j.last {
		c.owned.Add(1)
		j.retry = time.AfterFunc(j.pace.notBefore-time.Since(j.epoch), func() {
			defer c.owned.Done()
			c.with(func() {
				j.retry = nil
				c.mendLocked()
			})
		})
	}
}

// answerLocked reports the result of a write once the lock is free.
func (c *Client) answerLocked(err error, then func(error)) {
	if then == nil {
		return
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNotStored, errtext.Bare("device", err))
	}
	c.noteLocked(func() { then(err) })
}

// barrierLocked calls then once all that was given to the store is written, or
// has failed.
func (c *Client) barrierLocked(then func()) {
	if j := c.journal; j != nil && len(j.writes) > 0 {
		w := j.writes[len(j.writes)-1]
		w.then = append(w.then, func(error) { then() })
		return
	}
	c.noteLocked(then)
}

// noteReport writes a report that the machine has taken; then is called when it
// is durable. The caller holds the mutex, and there is a store.
func (c *Client) noteReport(p twin.Patch, then func(error)) {
	j := c.journal
	c.noteMended() // what the machine did before this report comes first
	if n := c.reported.Covered(); n > 0 {
		j.covered = max(j.covered, j.before+n)
	}
	// The report itself is never covered yet.
	covered := min(j.covered, j.before+c.reported.Taken()-1)
	c.keepLocked(savedRecord{Want: p.JSON(), Gone: twin.ReplacedOf(tree.Key{}, p).JSON(), Covered: covered, Version: c.reported.Version()}, then)
}

// noteCoveredLocked writes at the end how many reports the hub has, which no
// later report will say: the next start does not name the last ones again.
func (c *Client) noteCoveredLocked() {
	j := c.journal
	if n := c.reported.Covered(); n > 0 && j.before+n > j.covered {
		j.covered = j.before + n
		c.keepLocked(savedRecord{Covered: j.covered, Version: c.reported.Version()}, nil)
	}
}

// noteMended writes what refusals did. The caller holds the mutex.
func (c *Client) noteMended() {
	for _, p := range c.reported.Mended() {
		if c.journal != nil {
			c.keepLocked(savedRecord{Mend: p.JSON(), Gone: twin.ReplacedOf(tree.Key{}, p).JSON(), Version: c.reported.Version()}, nil)
		}
	}
}

// noteRebased writes the whole state where a GET has rebuilt it. The caller
// holds the mutex.
func (c *Client) noteRebased() {
	if c.reported.Rebased() && c.journal != nil {
		c.journal.rebase = true // from now on there is a base to build on
		c.mendLocked()
	}
}

// releaseStore gives the store back once it has all, or flushWait has passed.
func (c *Client) releaseStore() {
	var j *journal
	c.with(func() {
		if j = c.journal; j == nil {
			return
		}
		j.last = true
		c.noteCoveredLocked()
		c.noteSeenLocked()
		c.mendLocked()
		if j.retry != nil && j.retry.Stop() {
			c.owned.Done()
		}
		j.retry = nil
	})
	if j == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), flushWait)
	defer cancel()
	// What is being written may be followed by a snapshot that is due.
	var quiet chan struct{}
	c.with(func() {
		if len(j.writes) > 0 {
			quiet = make(chan struct{})
			j.quiet = quiet
		}
	})
	if quiet != nil {
		select {
		case <-quiet:
		case <-ctx.Done():
		}
	}
	c.with(func() { j.released = true }) // nothing is begun any more
	err := j.release(ctx)
	c.with(func() {
		err = errors.Join(err, j.failure)
		if len(j.writes) > 0 && err == nil {
			err = errReleased
		}
		j.kept = err == nil && !j.rebase && !j.failed
		for _, w := range j.writes {
			for _, then := range w.then {
				c.answerLocked(errReleased, then)
			}
		}
		j.writes = nil
	})
	if err != nil {
		c.log.Error("closed, but the store has not taken everything", "cause", err)
	}
}
