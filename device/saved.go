package device

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// This file is what a store holds, and how it is read again.

// A savedRecord is one line of the journal: one of the fields, with those that
// say so beside it.
type savedRecord struct {
	Want    json.RawMessage `json:"w,omitempty"` // a report
	Gone    json.RawMessage `json:"g,omitempty"` // with it, or with Mend: what is deleted before, as null
	Covered uint64          `json:"c,omitempty"` // with it: reports that need no second naming
	Version int64           `json:"v,omitempty"` // with it, or with Mend: the hub's version of the reported half
	Mend    json.RawMessage `json:"m,omitempty"` // what a refusal made of what is wanted
	Heard   *savedHeard     `json:"h,omitempty"` // what a durable listener heard
	Forget  string          `json:"f,omitempty"` // the name of a durable listener
	Seen    *savedDoc       `json:"d,omitempty"` // the desired half
}

// A savedState is the snapshot.
type savedState struct {
	Reports uint64            `json:"n"` // counted so far
	Based   bool              `json:"based"`
	Version int64             `json:"v,omitempty"` // the hub's of the reported half
	Wanted  json.RawMessage   `json:"wanted,omitempty"`
	Unsent  []json.RawMessage `json:"unsent,omitempty"` // in order. What a patch deletes before it merges comes before it
	Seen    *savedDoc         `json:"desired,omitempty"`
	Heard   []savedHeard      `json:"heard,omitempty"` // in the order of age
}

// A savedHeard is what a durable listener heard: an object with the value at
// "v", or an empty one where nothing was desired.
type savedHeard struct {
	Name string `json:"n"`
	Path string `json:"p"`
	savedDoc
}

// A savedDoc is a document, or the difference to the one before.
type savedDoc struct {
	Number  int64           `json:"i"` // counts on, so that a missing one shows
	Version int64           `json:"v,omitempty"`
	Whole   json.RawMessage `json:"j,omitempty"`
	Diff    json.RawMessage `json:"d,omitempty"`
	Same    bool            `json:"s,omitempty"` // in a snapshot: Diff is to its desired half
}

// A keptDoc is a document as the store has it. Number is 0 where it has none.
type keptDoc struct {
	number int64
	doc    twin.Properties
}

// to moves to another document, and returns what is written of it.
func (k *keptDoc) to(doc twin.Properties) savedDoc {
	s := k.differing(doc)
	if k.number == 0 {
		s.Diff, s.Whole = nil, doc.WithVersion(0).JSON()
	}
	*k = keptDoc{s.Number, doc}
	return s
}

// differing is the difference to the next document, or the whole where that is
// shorter.
func (k *keptDoc) differing(doc twin.Properties) savedDoc {
	s := savedDoc{Number: k.number + 1, Version: doc.Version(), Diff: twin.Diff(k.doc, doc).JSON()}
	if len(s.Diff) > 2+doc.Size() {
		s.Diff, s.Whole = nil, doc.WithVersion(0).JSON()
	}
	return s
}

// whole is what a snapshot holds.
func (k *keptDoc) whole() savedDoc {
	return savedDoc{Number: k.number, Version: k.doc.Version(), Whole: k.doc.WithVersion(0).JSON()}
}

// from takes what was written. A difference to something that is not there
// leaves nothing: what a write that failed left out is not known.
func (k *keptDoc) from(s savedDoc) error {
	base, text := twin.Properties{}, s.Whole
	if s.Diff != nil {
		if base, text = k.doc, s.Diff; s.Number != k.number+1 || k.number == 0 && !s.Same {
			*k = keptDoc{}
			return nil
		}
	}
	*k = keptDoc{}
	p, _, err := twin.ParseNotification(tree.Key{}, text) // as lenient as with the hub's own
	if err != nil {
		return err
	}
	*k = keptDoc{s.Number, twin.Apply(base, p).WithVersion(s.Version)}
	return nil
}

// restoreLocked restores the machines from a store. What cannot be read is
// logged and passed over: a device that runs without its memory is better than
// none.
func (c *Client) restoreLocked(snapshot []byte, records [][]byte) {
	j := c.journal
	var unread unreadParts
	var state savedState
	if snapshot != nil {
		if err := json.Unmarshal(snapshot, &state); err != nil {
			state = savedState{} // what was reported since may be kept by itself
			unread.note("snapshot", err)
		}
	}
	since := make([]savedRecord, len(records))
	for i, b := range records {
		if err := json.Unmarshal(b, &since[i]); err != nil {
			since[i] = savedRecord{}
			unread.note("record", err)
		}
		j.covered = max(j.covered, since[i].Covered)
	}
	machine, err := state.machine(j.covered)
	if err != nil {
		machine = catchup.Snapshot{} // likewise
		unread.note("snapshot", err)
	}
	c.reported.Restore(machine)
	j.before = state.Reports
	if state.Seen != nil {
		unread.note("the desired half", j.seen.from(*state.Seen))
	}
	for _, h := range state.Heard {
		unread.note("what a listener heard", c.memories.recall(h, j.seen))
	}
	for _, r := range since {
		unread.note("record", c.redo(j, r))
	}
	for _, name := range c.memories.forget {
		c.forgetLocked(name)
	}
	c.memories.forget = nil
	for id := range c.listeners {
		c.recallLocked(id)
	}
	if unread.count > 0 {
		j.rebase = true // the next write is a snapshot
		c.noteLocked(func() {
			c.log.Error("the store holds what cannot be read; going on with the rest", "parts", unread.count, "cause", unread.first)
		})
	}
}

// unreadParts are the parts of a store that cannot be read.
type unreadParts struct {
	count int
	first error
}

// note counts a part, unless err is nil.
func (u *unreadParts) note(what string, err error) {
	if err == nil {
		return
	}
	if u.count++; u.first == nil {
		u.first = fmt.Errorf("%s: %w", what, err)
	}
}

// machine is the snapshot in the machine's words.
func (s savedState) machine(covered uint64) (m catchup.Snapshot, err error) {
	m.Version = s.Version
	if m.Based = s.Based; m.Based {
		p, err := twin.ParsePatch(s.Wanted)
		if err != nil {
			return m, err
		}
		m.Wanted = twin.Apply(twin.Properties{}, p)
	}
	if m.Based && covered > 0 && covered >= s.Reports {
		return m, nil
	}
	for _, b := range s.Unsent {
		p, err := readDeletion(b)
		if err != nil {
			return m, err
		}
		m.Unsent = append(m.Unsent, p)
	}
	return m, nil
}

// redo takes one record from before the restart.
func (c *Client) redo(j *journal, r savedRecord) error {
	switch {
	case r.Heard != nil:
		return c.memories.recall(*r.Heard, keptDoc{})
	case r.Forget != "":
		delete(c.memories.byName, r.Forget)
	case r.Seen != nil:
		return j.seen.from(*r.Seen)
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

// snapshotLocked is what outlives the process.
func (c *Client) snapshotLocked() []byte {
	j := c.journal
	c.reported.Mended() // the snapshot holds them
	m := c.reported.Snapshot()
	s := savedState{Reports: j.before + c.reported.Taken(), Based: m.Based, Version: m.Version}
	if m.Based {
		s.Wanted = m.Wanted.JSON()
	}
	for _, p := range m.Unsent {
		if gone := twin.ReplacedOf(tree.Key{}, p); gone.Exists() {
			s.Unsent = append(s.Unsent, gone.JSON())
		}
		s.Unsent = append(s.Unsent, p.JSON())
	}
	if c.desired.Known() {
		j.seen.to(c.desired.Properties())
		j.seenAt = time.Now()
	}
	if j.seen.number > 0 {
		seen := j.seen.whole()
		s.Seen = &seen
	}
	s.Heard = c.memories.saved(j.seen)
	b, err := json.Marshal(s)
	if err != nil { // plain data: it cannot
		c.noteLocked(func() { c.log.Error("no snapshot", "cause", err) })
	}
	return b
}
