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
	return transport.Frame{Kind: transport.Telemetry, ID: fmt.Sprint("lane-", l.id)}, true
}

func (l *TestLane) due(time.Duration) time.Duration { return never }

func (l *TestLane) took(f transport.Frame) bool {
	if f.Kind == transport.Ready && f.Feature == 200 {
		l.full = false
		return true
	}
	return f.Kind == transport.Accepted && strings.HasPrefix(f.ID, "lane-")
}

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
