package amqp

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// conn is one session with a hub: a device's part of a line. It has no goroutine
// but serveTwin, from the first frame of the twin's on, and carry, from the first
// telemetry on. go-amqp reads and writes.
type conn struct {
	line     *line
	session  *amqp.Session
	audience string

	leave   func(c *conn)    // ends this part of the line, and with the last part the line
	renewed func(auth.Token) // is called with a token that the hub has taken
	alone   bool             // no other device uses the line

	fate   *fate.Fate
	life   context.Context // ends with it
	end    context.CancelFunc
	frames chan transport.Frame
	wake   chan struct{}  // capacity 1: something was said
	served sync.WaitGroup // the goroutines that attach the twin's links and take its messages
	closed chan struct{}  // closed when Close is done

	// Guarded by line.mu.
	opened map[string]bool   // IDs of Open and Close DesiredChanges without an answer
	said   []transport.Frame // that come from no hub: Accepted and Ready
	queue  queue

	twin   twinLinks
	events events
}

func newConn(l *line, login transport.Login) *conn {
	id := login.Identity
	c := &conn{
		line:     l,
		audience: audience(id),
		fate:     fate.New(),
		frames:   make(chan transport.Frame),
		wake:     make(chan struct{}, 1),
		closed:   make(chan struct{}),
		opened:   map[string]bool{},
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.events.life, c.events.stop = context.WithCancel(c.life)
	c.events.work = make(chan struct{}, 1)
	c.events.address, c.events.properties = path(id)+"/messages/events", properties(login)
	c.twin.address = path(id) + "/twin"
	return c
}

// Send implements transport.Conn. A frame that AMQP cannot say matches
// transport.ErrUnsupported and leaves the connection as it was.
func (c *conn) Send(ctx context.Context, f transport.Frame) error {
	if err := c.err(); err != nil {
		return err
	}
	if f.Kind == transport.Telemetry {
		return c.sendEvent(ctx, f)
	}
	m, err := message(f)
	if err != nil {
		return err
	}
	if end := ctx.Err(); end != nil {
		return fmt.Errorf("transport: send: %w", end)
	}
	if m == nil {
		return c.openTwin(f)
	}
	if err := c.fate.TakeTurn(ctx); err != nil { // go-amqp's own mutex behind it is never contended
		return err
	}
	defer c.fate.PassTurn()
	now, err := c.admit(f, m)
	if err != nil || !now {
		return err
	}
	return c.send(ctx, m)
}

// admit decides whether a message may leave now, and queues it otherwise. It
// fails if the link never takes it, or the queue not now.
func (c *conn) admit(f transport.Frame, m *amqp.Message) (now bool, err error) {
	size := len(f.Body) + notBody
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.queue.link != nil && !c.queue.link.Takes(size) {
		return false, fmt.Errorf("%w: a message of %d bytes; the hub's limit on this link is %d", transport.ErrTooLarge, size, c.queue.link.Limit())
	}
	feature := f.Kind == transport.Open || f.Kind == transport.Close
	if feature && len(c.opened) >= maxOpened {
		c.queue.busy = true
		return false, fmt.Errorf("%w: %d features wait for the hub's answer", transport.ErrBusy, len(c.opened))
	}
	if err := c.wantTwinLocked(); err != nil {
		return false, err
	}
	now = !c.queue.draining && c.queue.link.Claim(c.line.guard.Parts(size))
	if !now {
		if !c.queue.add(m, size) {
			return false, fmt.Errorf("%w: %d messages wait for the hub's credit", transport.ErrBusy, len(c.queue.waiting))
		}
		if len(m.Data) > 0 {
			m.Data[0] = bytes.Clone(f.Body)
		}
		if !c.queue.draining {
			c.queue.draining = c.line.startLocked(c.drain)
		}
	}
	if feature { // before it is sent, for the answer may be first
		c.opened[f.ID] = true
	}
	return now, nil
}

// notBody is more than a message holds beside its body.
const notBody = 512

// send sends a message for which there is room, and waits until it is written.
// When ctx ends the message is on its way all the same.
func (c *conn) send(ctx context.Context, m *amqp.Message) error {
	err := c.twin.out.Send(waiting{c.life}, m, nil)
	c.line.release(c.queue.link)
	if err == nil {
		err = c.line.wire.flush(ctx.Done())
	}
	if err != nil {
		c.fail(c.line.amqpError(err))
		return c.err()
	}
	return nil
}

const (
	// maxSaid bounds the answers that nobody has received yet, and the Open of
	// TwinResponses without one.
	maxSaid = 16
	// maxOpened bounds the features that the hub has not answered.
	maxOpened = 64
)

// sayLocked gives Receive a frame that comes from no hub.
func (c *conn) sayLocked(f transport.Frame) {
	c.said = append(c.said, f)
	poke(c.wake)
}

// poke puts a token into a channel of capacity 1.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// next takes the oldest such frame.
func (c *conn) next() (f transport.Frame, ok bool) {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if len(c.said) == 0 {
		return f, false
	}
	f = c.said[0]
	if c.said = c.said[1:]; len(c.said) == 0 {
		c.said = nil
	}
	c.readyLocked()
	return f, true
}

// answered reports whether an answer is one to an Open or Close, once.
func (c *conn) answered(id string) bool {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	open := c.opened[id]
	delete(c.opened, id)
	c.readyLocked()
	return open
}

// Receive implements transport.Conn. When ctx ends it, the error matches
// ctx.Err() and transport.ErrClosed.
func (c *conn) Receive(ctx context.Context) (transport.Frame, error) {
	for {
		if err := c.err(); err != nil {
			return transport.Frame{}, err
		}
		link, ended := c.link(), (chan struct{})(nil)
		if link != nil {
			ended = link.Ended
		}
		if end := ctx.Err(); end != nil {
			c.fail(linefail.Receive(end))
			return transport.Frame{}, c.err()
		}
		if f, ok := c.next(); ok {
			return f, nil
		}
		select {
		case f := <-c.frames: // the twin's are few, and go first
			return f, nil
		default:
		}
		if f, ok := c.nextEvent(); ok {
			return f, nil
		}
		select {
		case f := <-c.frames:
			return f, nil
		case <-c.wake:
		case <-ended: // go-amqp reports it to Send only
			c.fail(detached(link.Error))
		case <-c.line.dead:
			c.fail(c.line.err())
		case <-ctx.Done():
		case <-c.fate.Closing():
		case <-c.fate.Dead():
		}
	}
}

// pump takes the twin's messages until the connection ends, and notices that.
func (c *conn) pump() {
	in := c.twin.in
	for {
		m, err := in.Receive(c.life, nil)
		if err == nil { // a message of the twin's is taken when it is read
			err = in.AcceptMessage(c.life, m)
		}
		if err != nil {
			c.fail(c.line.amqpError(err))
			return
		}
		f, ok := parse(m)
		if !ok {
			continue
		}
		if f.Kind == transport.Response && c.answered(f.ID) && f.Status < 300 {
			f = transport.Frame{Kind: transport.Accepted, ID: f.ID}
		}
		select {
		case c.frames <- f:
		case <-c.fate.Closing():
			return
		case <-c.fate.Dead():
			return
		}
	}
}

// Close says goodbye if the line takes that within a second, and ends this
// device's part of it: with it the line, unless others are there. It waits for
// every goroutine, and returns nil. On a line that is shared, what a hub that
// does not answer keeps alive ends with the line.
func (c *conn) Close() error {
	if c.fate.Close() {
		c.events.stop()
		c.leave(c)
		c.fail(transport.ErrClosed)
		c.served.Wait()
		close(c.closed)
	}
	<-c.closed
	return nil
}

// closeParts ends the session and the links of this device, as far as they were
// opened, and waits for go-amqp's goroutines. The errors only report that end.
func (c *conn) closeParts() {
	ctx := context.Background()
	c.events.stop()
	c.line.mu.Lock()
	goroutines := []chan struct{}{c.events.carried, c.twin.tried}
	c.line.mu.Unlock()
	for _, ended := range goroutines {
		if ended != nil {
			<-ended
		}
	}
	c.line.mu.Lock()
	out, in := c.twin.out, c.twin.in
	c.line.mu.Unlock()
	if c.session != nil {
		_ = c.session.Close(ctx)
	}
	if out != nil {
		_ = out.Close(ctx)
	}
	if in != nil {
		_ = in.Close(ctx)
	}
	if c.events.sender != nil {
		_ = c.events.sender.Close(ctx)
	}
}

// fail ends the session, and the line if no other device uses it. It keeps the
// first cause.
func (c *conn) fail(cause error) {
	if died := c.line.err(); died != nil {
		cause = died
	}
	if !c.fate.End(cause) {
		return
	}
	c.end()
	if c.alone {
		c.line.fail(cause)
	}
}

// err returns why the session is dead, or nil. It may be the first to notice that
// the line is.
func (c *conn) err() error {
	if died := c.line.err(); died != nil {
		c.fail(died)
	}
	return c.fate.Err()
}
