package device

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// WaitingGets counts the GetTwin calls that wait for a request.
func (c *Client) WaitingGets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.gets)
}

// A TestLane sends telemetry as fast as there is room, in every session.
type TestLane struct {
	n    atomic.Int64
	full bool
	id   int
}

// Sent counts the frames that had room.
func (l *TestLane) Sent() int64 { return l.n.Load() }

func (l *TestLane) next(time.Duration) (transport.Frame, bool) {
	if l.full {
		return transport.Frame{}, false
	}
	l.id++
	l.n.Add(1)
	return transport.Frame{Kind: "lane", ID: fmt.Sprint("lane-", l.id)}, true
}

func (l *TestLane) due(time.Duration) time.Duration { return never }

func (l *TestLane) took(f transport.Frame, _ time.Duration) bool {
	if f.Kind == transport.Ready && f.Feature == "lane" {
		l.full = false
		return true
	}
	return f.Kind == transport.Accepted && strings.HasPrefix(f.ID, "lane-")
}

func (l *TestLane) sent(time.Duration)         {}
func (l *TestLane) failed(error)               {}
func (l *TestLane) idle() bool                 { return true }
func (l *TestLane) expire(time.Duration) error { return nil }
func (l *TestLane) ended(error, bool)          {}

func (l *TestLane) noRoom() {
	l.full = true
	l.n.Add(-1)
}

// AddTestLane gives every session of a client that has not started one more lane.
func (c *Client) AddTestLane() *TestLane {
	l := &TestLane{}
	c.moreLanes = func() []lane {
		l.full = false // a new connection has room
		return []lane{l}
	}
	return l
}

// Kept counts what a client keeps in memory beside the two halves of the twin.
type Kept struct {
	Gets, GoneGets int // GetTwin calls that wait, and those of them whose caller has gone
	Reports        int // reports whose callers wait
	Calls, Returns int // of listeners
	States         int
	IdleNames      int  // of durable listeners that are not registered
	Writes         int  // begun and not done
	Claimed        bool // the store, and what it held is known
	StoreFailed    bool // or at the end it has not taken everything
	Wishes         int
	Memories       int
}

// Kept returns the counts.
func (c *Client) Kept() Kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := Kept{Gets: len(c.gets), Reports: len(c.reports), Calls: len(c.calling), Returns: len(c.returning), States: len(c.states)}
	for _, g := range c.gets {
		if g.gone {
			k.GoneGets++
		}
	}
	for name := range c.memories.byName {
		if _, ok := c.memories.live[name]; !ok {
			k.IdleNames++
		}
	}
	k.Memories = len(c.memories.byName)
	k.Wishes = c.reported.Left()
	if j := c.journal; j != nil {
		k.Claimed, k.Writes = true, len(j.writes)
		k.StoreFailed = j.failure != nil || j.rebase || j.released && !j.kept
	}
	return k
}

// The defaults of Options, which users read in its comments.
const (
	DefaultKeepAlive      = defaultKeepAlive
	DefaultRequestTimeout = defaultRequestTimeout
	DefaultCallTimeout    = defaultCallTimeout
	DefaultResync         = defaultResync
)

// IsDTMI is how ModelID is checked.
func IsDTMI(s string) bool { return isDTMI(s) }
