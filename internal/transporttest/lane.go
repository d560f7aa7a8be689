package transporttest

import (
	"context"
	"fmt"
	"sync"

	"github.com/devicetwin/devicetwin-go/transport"
)

// LaneFeature is the feature that the Ready frames of a Lane name.
const LaneFeature transport.Feature = "lane"

// LaneKind is the kind of a Lane's frames.
const LaneKind transport.Kind = "lane"

// A Lane is a Dialer whose connections also take LaneKind frames, as far as a
// window goes: a feature of the tests' own, which has room and answers only when
// the test says so. It shows that work without credit or answer holds up nothing
// else. All its connections share the window. It may be used by many goroutines.
type Lane struct {
	dialer transport.Dialer
	window int

	mu      sync.Mutex // guards the rest. Nothing waits while it is held
	conn    *laneConn  // the newest
	waiting []string   // IDs of the frames without an answer
	busy    bool       // a Send had no room
	sent    int
}

// NewLane returns a Lane over the connections of d, with room for that many
// frames without an answer.
func NewLane(d transport.Dialer, window int) *Lane { return &Lane{dialer: d, window: window} }

// Sent counts the LaneKind frames that had room.
func (l *Lane) Sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// Answer accepts the n oldest frames without an answer, on the newest connection,
// and reports room there if a Send had none.
func (l *Lane) Answer(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range min(n, len(l.waiting)) {
		l.conn.push(transport.Frame{Kind: transport.Accepted, ID: l.waiting[0]})
		l.waiting = l.waiting[1:]
	}
	if l.busy && len(l.waiting) < l.window {
		l.busy = false
		l.conn.push(transport.Frame{Kind: transport.Ready, Feature: LaneFeature})
	}
}

// Dial implements transport.Dialer. A new connection begins with an empty window.
func (l *Lane) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	inner, err := l.dialer.Dial(ctx, login)
	if err != nil {
		return nil, err
	}
	c := &laneConn{Conn: inner, lane: l, in: make(chan transport.Frame), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	c.end = end
	l.mu.Lock()
	l.conn, l.waiting, l.busy = c, nil, false
	l.mu.Unlock()
	go c.pump(life)
	if r, ok := inner.(transport.Renewer); ok {
		return renewable{c, r}, nil
	}
	return c, nil
}

// renewable is a connection that takes another token.
type renewable struct {
	*laneConn
	transport.Renewer
}

// A laneConn is a connection with the lane in it.
type laneConn struct {
	transport.Conn
	lane  *Lane
	in    chan transport.Frame // of the connection below
	wake  chan struct{}        // capacity 1: the lane has frames
	end   context.CancelFunc   // ends the pump, and the connection below
	ended chan struct{}        // closed when the pump has ended

	mu     sync.Mutex        // guards frames. Nothing waits while it is held
	frames []transport.Frame // of the lane: at most one Accepted a place, and Ready
}

// push queues a frame of the lane.
func (c *laneConn) push(f transport.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = append(c.frames, f)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// next takes a frame of the lane.
func (c *laneConn) next() (f transport.Frame, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) == 0 {
		return f, false
	}
	f, c.frames = c.frames[0], c.frames[1:]
	return f, true
}

// pump reads the connection below.
func (c *laneConn) pump(life context.Context) {
	defer close(c.ended)
	for {
		f, err := c.Conn.Receive(life)
		if err != nil {
			return
		}
		select {
		case c.in <- f:
		case <-life.Done():
		}
	}
}

// Send implements transport.Conn.
func (c *laneConn) Send(ctx context.Context, f transport.Frame) error {
	if f.Kind != LaneKind {
		return c.Conn.Send(ctx, f)
	}
	l := c.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= l.window {
		l.busy = true
		return fmt.Errorf("%w: %d frames wait for an answer", transport.ErrBusy, len(l.waiting))
	}
	l.waiting = append(l.waiting, f.ID)
	l.sent++
	return nil
}

// Receive implements transport.Conn.
func (c *laneConn) Receive(ctx context.Context) (transport.Frame, error) {
	for {
		if f, ok := c.next(); ok {
			return f, nil
		}
		select {
		case f := <-c.in:
			return f, nil
		case <-c.wake:
		case <-c.ended:
			return c.Conn.Receive(ctx) // says why
		case <-ctx.Done():
			c.end()
			<-c.ended
		}
	}
}

// Resumed implements transport.Resumer.
func (c *laneConn) Resumed() bool {
	r, ok := c.Conn.(transport.Resumer)
	return ok && r.Resumed()
}

// Close implements transport.Conn.
func (c *laneConn) Close() error {
	err := c.Conn.Close()
	c.end()
	<-c.ended
	return err
}
