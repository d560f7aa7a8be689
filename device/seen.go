package device

import (
	"strconv"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// Source says where the client's knowledge of a half of the twin comes from.
type Source uint8

// The sources.
const (
	// SourceNone: the client knows nothing yet, or only what it reported itself.
	SourceNone Source = iota
	// SourceStored: Options.Store kept it from an earlier start. The hub may have
	// something else by now.
	SourceStored
	// SourceLive: the hub has answered since the start. While the line is down,
	// the hub may have something newer.
	SourceLive
)

// String names the source.
func (s Source) String() string {
	switch s {
	case SourceNone:
		return "none"
	case SourceStored:
		return "stored"
	case SourceLive:
		return "live"
	}
	return "source " + strconv.Itoa(int(s))
}

// A Half is one half of the twin as the client knows it. It is a value.
type Half struct {
	twin.Properties
	// Source says where it comes from.
	Source Source
}

// Desired returns the desired properties as the client knows them, without a
// round trip. With Options.Store they are there from the start on, before the
// line is up: the store has them as of a second before the power went, at most,
// or of the last time that it took something.
func (c *Client) Desired() Half {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.useTwinLocked()
	switch j := c.journal; {
	case c.desired.Known():
		return Half{c.desired.Properties(), SourceLive}
	case j != nil && j.seen.number > 0:
		return Half{j.seen.doc, SourceStored}
	}
	return Half{}
}

// Reported returns the reported properties as this device wants them, without a
// round trip: what the hub has, and what was reported and is on its way.
// Stats.Outstanding says whether there is such. Before the first GET of a
// device without a Store it holds only what was reported by then, and Source is
// SourceNone. The version is the hub's, known once Source is SourceLive.
func (c *Client) Reported() Half {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.useTwinLocked()
	h := Half{Properties: c.reported.Wanted()}
	switch {
	case c.reported.Known():
		h.Source = SourceLive
	case c.reported.Based():
		h.Source = SourceStored
	}
	return h
}

// seenEvery is the least time between two writes of the desired half.
const seenEvery = time.Second

// noteSeenLocked writes the desired half where it differs from what the store
// has.
func (c *Client) noteSeenLocked() {
	if c.seenChangedLocked() {
		j := c.journal
		doc := j.seen.to(c.desired.Properties())
		j.seenAt = time.Now()
		c.keepLocked(savedRecord{Seen: &doc}, nil)
	}
}

// seenDueLocked writes the desired half if that is due, and returns how long it
// is not.
func (c *Client) seenDueLocked() time.Duration {
	if !c.seenChangedLocked() {
		return never
	}
	if wait := seenEvery - time.Since(c.journal.seenAt); wait > 0 {
		return wait
	}
	c.noteSeenLocked()
	return never
}

func (c *Client) seenChangedLocked() bool {
	if c.journal == nil || !c.desired.Known() {
		return false
	}
	is, was := c.desired.Properties(), &c.journal.seen
	if was.number == 0 || is.Version() != was.doc.Version() || !is.Equal(was.doc) {
		return true
	}
	was.doc = is // so that the next look is short
	return false
}
