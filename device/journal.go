package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A Store keeps what a client must not forget when the power goes: a snapshot,
// and records since. store.Open gives one on flash; the client is its only
// user, from one goroutine, and does not close it.
type Store interface {
	// Load returns what was kept: the last snapshot, nil for none, and the
	// records appended since, in order. It does no I/O.
	Load() (snapshot []byte, records [][]byte)
	// Append keeps records, in order, and returns when they are safe.
	Append(ctx context.Context, records ...[]byte) error
	// Compact replaces all that is kept by a snapshot, or nothing at all.
	Compact(ctx context.Context, snapshot []byte) error
	// NeedsCompaction reports whether it is time for Compact.
	NeedsCompaction() bool
}

// ErrNotStored says that a report could not be kept on the store, or not in
// time: the client wants the hub to have it as before, but a power cut may
// lose it.
var ErrNotStored = errors.New("the report is wanted, but not safe from a power cut")

// A journal writes down what the machines must remember. Its queue is filled
// under the client's mutex, so the order of the records is that of the events;
// one goroutine writes, all that waits at once, so that callers share a sync.
type journal struct {
	store Store
	ready chan struct{} // capacity 1: there is something to write
	last  chan struct{} // closed when nothing more will come

	// Guarded by the client's mutex.
	queue   []entry
	rebase  bool   // the next write is a snapshot
	pace    pacer  // of attempts at a store that failed
	failure error  // of the last attempt
	before  uint64 // reports counted before this start
	covered uint64 // of all reports, how many the hub is known to have
	heard   map[string]catchup.Heard
}

type entry struct {
	record []byte     // nil: nothing to write, only to wait for what stands before it
	done   chan error // capacity 1; nil when nobody waits
	then   func()     // called once it is written, or the store failed; nil for nothing
}

// A savedRecord is one line of the journal: one of the fields, with those that
// say so beside it.
type savedRecord struct {
	Want    json.RawMessage `json:"w,omitempty"` // a report
	Gone    json.RawMessage `json:"g,omitempty"` // with it, or with Mend: what is deleted before, as null
	Covered uint64          `json:"c,omitempty"` // with it: reports that need no second naming
	Version int64           `json:"v,omitempty"` // with it, or with Mend: the hub's version of the reported half
	Mend    json.RawMessage `json:"m,omitempty"` // what a refusal made of what is wanted
	Heard   *savedHeard     `json:"h,omitempty"` // what a durable listener heard
}

type savedHeard struct {
	Path    string          `json:"p"`
	Version int64           `json:"v"`
	Value   json.RawMessage `json:"j,omitempty"`
}

// A savedState is the snapshot.
type savedState struct {
	Reports uint64            `json:"n"` // counted so far
	Based   bool              `json:"based"`
	Version int64             `json:"v,omitempty"` // the hub's of the reported half
	Wanted  json.RawMessage   `json:"wanted,omitempty"`
	Unsent  []json.RawMessage `json:"unsent,omitempty"` // in order; what a patch deletes before it merges stands before it
	Heard   []savedHeard      `json:"heard,omitempty"`
}

// openJournal restores the machines from a store. What cannot be read is told
// and passed over: a device that runs without its memory is better than none.
func (c *Client) openJournal(store Store) {
	j := &journal{store: store, ready: make(chan struct{}, 1), last: make(chan struct{}), heard: map[string]catchup.Heard{}}
	c.journal = j
	snapshot, records := store.Load()
	if err := c.restore(j, snapshot, records); err != nil {
		c.log.Error("the store holds what cannot be read; going on with the rest", "cause", err)
		j.rebase = true
	}
}

func (c *Client) restore(j *journal, snapshot []byte, records [][]byte) error {
	var state savedState
	var unread error
	if snapshot != nil {
		if err := json.Unmarshal(snapshot, &state); err != nil {
			state = savedState{} // what was reported since may stand by itself
			unread = fmt.Errorf("snapshot: %w", err)
		}
	}
	since := make([]savedRecord, len(records))
	for i, b := range records {
		if err := json.Unmarshal(b, &since[i]); err != nil {
			since[i] = savedRecord{}
			unread = errors.Join(unread, fmt.Errorf("record %d: %w", i, err))
		}
		j.covered = max(j.covered, since[i].Covered)
	}
	machine, err := state.machine(j.covered)
	if err != nil {
		machine = catchup.Snapshot{} // likewise
	}
	err = errors.Join(unread, err)
	c.reported.Restore(machine)
	j.before = state.Reports
	for _, h := range state.Heard {
		err = errors.Join(err, j.recall(h))
	}
	for _, r := range since {
		err = errors.Join(err, c.redo(j, r))
	}
	return err
}

// machine is the snapshot in the machine's words.
func (s savedState) machine(covered uint64) (m catchup.Snapshot, err error) {
	m.Version = s.Version
	if m.Based = s.Based; m.Based {
		p, err := twin.ParsePatch(s.Wanted)
		if err != nil {
			return m, fmt.Errorf("snapshot: %w", err)
		}
		m.Wanted = twin.Apply(twin.Properties{}, p)
	}
	if m.Based && covered > 0 && covered >= s.Reports {
		return m, nil
	}
	for _, b := range s.Unsent {
		p, err := readDeletion(b)
		if err != nil {
			return m, fmt.Errorf("snapshot: %w", err)
		}
		m.Unsent = append(m.Unsent, p)
	}
	return m, nil
}

// redo takes one record from before the restart.
func (c *Client) redo(j *journal, r savedRecord) error {
	switch {
	case r.Heard != nil:
		return j.recall(*r.Heard)
	case r.Want != nil:
		j.before++
		return c.redoPatch(r, r.Want, j.before <= j.covered)
	case r.Mend != nil:
		return c.redoPatch(r, r.Mend, true)
	}
	return nil
}

// redoPatch takes a patch that was kept, after what it deleted before it merged.
func (c *Client) redoPatch(r savedRecord, text json.RawMessage, covered bool) error {
	p, err := twin.ParsePatch(text)
	if err != nil {
		return err
	}
	if r.Gone != nil {
		first, err := readDeletion(r.Gone)
		if err != nil {
			return err
		}
		c.reported.Redo(first, covered, r.Version)
	}
	c.reported.Redo(p, covered, r.Version)
	return nil
}

// readDeletion reads a patch that was kept, or null, which deletes all there is.
func readDeletion(b []byte) (twin.Patch, error) {
	if string(b) == "null" {
		return twin.Replace("", struct{}{}), nil
	}
	return twin.ParsePatch(b)
}

func (j *journal) recall(h savedHeard) error {
	heard := catchup.Heard{Version: h.Version}
	if h.Value != nil {
		p, err := twin.ParsePatch([]byte(`{"v":` + string(h.Value) + `}`))
		if err != nil {
			return fmt.Errorf("what %q heard: %w", h.Path, err)
		}
		heard.Value = p.At("v")
	}
	j.heard[h.Path] = heard
	return nil
}

// add queues a record. The caller holds the mutex.
func (j *journal) add(r savedRecord, done chan error) {
	b, err := json.Marshal(r)
	if err != nil { // plain data: it cannot
		if done != nil {
			done <- err
		}
		return
	}
	j.queue = append(j.queue, entry{record: b, done: done})
	poke(j.ready)
}

// noteReport queues a report that the machine has taken; the caller holds the
// mutex. Nil when there is no store.
func (c *Client) noteReport(p twin.Patch, wait bool) (done chan error) {
	j := c.journal
	if j == nil {
		return nil
	}
	c.noteMended() // what the machine did before this report stands before it
	if wait {
		done = make(chan error, 1)
	}
	if n := c.reported.Covered(); n > 0 {
		j.covered = max(j.covered, j.before+n)
	}
	// The report itself is never covered yet.
	covered := min(j.covered, j.before+c.reported.Taken()-1)
	j.add(savedRecord{Want: p.JSON(), Gone: p.Replaced().JSON(), Covered: covered, Version: c.reported.Version()}, done)
	return done
}

// noteMended queues what refusals did; the caller holds the mutex.
func (c *Client) noteMended() {
	for _, p := range c.reported.Mended() {
		if c.journal != nil {
			c.journal.add(savedRecord{Mend: p.JSON(), Gone: p.Replaced().JSON(), Version: c.reported.Version()}, nil)
		}
	}
}

// noteHeard remembers what a durable listener heard, once it has returned; the
// caller holds the mutex.
func (c *Client) noteHeard(ch twin.Change) {
	if j := c.journal; j != nil {
		j.heard[ch.Path] = catchup.Heard{Version: ch.Version, Value: ch.Value}
		j.add(savedRecord{Heard: &savedHeard{ch.Path, ch.Version, ch.Value.JSON()}}, nil)
	}
}

// storeRetry fires when a store that failed is to be tried again, though no
// report comes; never while it is well.
func (c *Client) storeRetry() <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.journal.failure == nil {
		return nil
	}
	return time.After(c.journal.pace.notBefore - c.opts.Elapsed())
}

// flushTime bounds the last write of a client that closes.
const flushTime = 10 * time.Second

// write is the journal's goroutine. It outlives the listeners, one of which
// may wait for it.
func (c *Client) write(ctx context.Context) {
	for {
		select {
		case <-c.journal.ready:
			c.flush(ctx, false)
		case <-c.storeRetry():
			c.flush(ctx, false)
		case <-c.journal.last:
			c.flush(ctx, true)
			return
		}
	}
}

// flush writes all that waits, with one sync.
func (c *Client) flush(ctx context.Context, last bool) {
	j := c.journal
	c.mu.Lock()
	queue := j.queue
	j.queue = nil
	now := c.opts.Elapsed()
	tooSoon := !last && j.failure != nil && now < j.pace.notBefore
	var snapshot []byte
	if !tooSoon && (j.rebase || j.store.NeedsCompaction()) {
		snapshot = c.snapshot()
		j.rebase = false // another GET may ask for one while this is written
	}
	c.mu.Unlock()
	if len(queue) == 0 && snapshot == nil {
		return
	}
	err := j.failure
	switch {
	case tooSoon:
		// Each attempt writes all there is: a full disk is not asked again at
		// every report.
	case snapshot != nil:
		err = j.store.Compact(ctx, snapshot) // it holds what the queue says
	default:
		var records [][]byte
		for _, e := range queue {
			if e.record != nil {
				records = append(records, e.record)
			}
		}
		if len(records) > 0 {
			err = j.store.Append(ctx, records...)
		}
	}
	if !tooSoon {
		c.noteWritten(err)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	for _, e := range queue {
		if e.done != nil {
			e.done <- err
		}
		if e.then != nil {
			e.then()
		}
	}
}

// noteWritten takes the result of an attempt at the store.
func (c *Client) noteWritten(err error) {
	j := c.journal
	c.mu.Lock()
	defer c.mu.Unlock()
	j.rebase, j.failure = j.rebase || err != nil, err // what is missing, the next snapshot brings
	if err == nil {
		j.pace.backoff.reset()
		return
	}
	j.pace.fail(c.opts.Elapsed(), 0)
	c.log.Error("the store failed", "cause", err)
}

// snapshot is what outlives the process; the caller holds the mutex.
func (c *Client) snapshot() []byte {
	j := c.journal
	c.reported.Mended() // the snapshot holds them
	m := c.reported.Snapshot()
	s := savedState{Reports: j.before + c.reported.Taken(), Based: m.Based, Version: m.Version}
	if m.Based {
		s.Wanted = m.Wanted.JSON()
	}
	for _, p := range m.Unsent {
		if gone := p.Replaced(); gone.Exists() {
			s.Unsent = append(s.Unsent, gone.JSON())
		}
		s.Unsent = append(s.Unsent, p.JSON())
	}
	for path, h := range j.heard {
		s.Heard = append(s.Heard, savedHeard{path, h.Version, h.Value.JSON()})
	}
	b, err := json.Marshal(s)
	if err != nil { // plain data: it cannot
		c.log.Error("no snapshot", "cause", err)
	}
	return b
}
