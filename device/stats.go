package device

import (
	"fmt"
	"time"
)

// Stats count what a client did since New. It is a value.
type Stats struct {
	Connects   int64 // logins that the hub accepted
	Gets       int64 // GETs sent
	PatchesIn  int64 // desired changes received
	PatchesOut int64 // reported patches sent
	Reports    int64 // reports taken from callers; beside PatchesOut, how many rode together
	Retried    int64 // reported patches that the hub asked to send again
	BytesIn    int64 // of bodies: twins, changes, error texts
	BytesOut   int64 // of bodies: reported patches

	// Telemetry counts the messages of Send and SendLater.
	Telemetry LaneStats

	// Outstanding says that the hub is not known to have all that was reported.
	Outstanding bool
	// DesiredVersion and ReportedVersion are the ones known last; 0 before the
	// first GET.
	DesiredVersion, ReportedVersion int64
	// Unsynced counts the bytes that Options.Store has acknowledged and that are
	// not durable yet, and UnsyncedSince is when the oldest of them were written.
	// Both are zero where the store makes all durable before it acknowledges, and
	// where it does not say. See store.Options.SyncEvery.
	Unsynced      int64
	UnsyncedSince time.Time
}

// LaneStats count one kind of work on a connection. It is a value.
type LaneStats struct {
	Queued      int           // wait to be sent
	QueuedBytes int           // their sizes
	InFlight    int           // sent, and without an answer
	Sent        int64         // the hub has them
	Retried     int64         // sent again, after their connection had ended or the hub put them off
	DroppedFull int64         // the queue was full
	Refused     int64         // by the hub, for good
	Poisonous   int64         // given up: see ErrPoison
	OldestAge   time.Duration // of what is queued or in flight, since Send or SendLater
}

// String is the most telling of the counts on one line, for a log.
func (s Stats) String() string {
	text := fmt.Sprintf("%d connects, %d GETs, %d changes in, %d reports in %d patches out, %d retried, desired v%d, reported v%d",
		s.Connects, s.Gets, s.PatchesIn, s.Reports, s.PatchesOut, s.Retried, s.DesiredVersion, s.ReportedVersion)
	if t := s.Telemetry; t != (LaneStats{}) {
		text += fmt.Sprintf(", %d messages sent, %d waiting, %d dropped", t.Sent, t.Queued+t.InFlight, t.DroppedFull+t.Refused+t.Poisonous)
	}
	if s.Outstanding {
		text += ", reports outstanding"
	}
	if s.Unsynced > 0 {
		text += fmt.Sprintf(", %d bytes not on flash", s.Unsynced)
	}
	return text
}

// Stats says what the client did so far. It may be called at any time.
func (c *Client) Stats() Stats {
	bytes, since := c.unsynced()
	now := c.opts.Elapsed()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	if c.telemetry != nil {
		s.Telemetry = c.telemetry.countsLocked(now)
	}
	s.Unsynced, s.UnsyncedSince = bytes, since
	s.Reports = int64(c.reported.Taken())
	s.Outstanding = c.reported.Outstanding()
	s.DesiredVersion = c.desired.Properties().Version()
	s.ReportedVersion = c.reported.Confirmed().Version()
	return s
}

// count changes the counters.
func (c *Client) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// demands reports whether the patch in flight has a precondition.
func (c *Client) demands() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reported.Demand() != 0
}
