package amqp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// conn is one session with a hub: a device's part of a line. Its goroutine is
// pump; reading and writing are go-amqp's.
type conn struct {
	line     *line
	session  *amqp.Session
	audience string
	out      *amqp.Sender   // twin
	in       *amqp.Receiver // twin

	leave   func(c *conn)    // ends this part of the line, and with the last part the line
	renewed func(auth.Token) // is told of a token that the hub has taken
	alone   bool             // nobody else uses the line

	fate   *fate.Fate
	life   context.Context // ends with it
	end    context.CancelFunc
	frames chan transport.Frame
	wake   chan struct{} // capacity 1: something was accepted
	pumped chan struct{} // closed when the pump has ended
	closed chan struct{} // closed when Close is done

	mu       sync.Mutex      // guards the rest; nothing waits while it is held
	opened   map[string]bool // IDs of Open and Close DesiredChanges without an answer
	accepted []string        // IDs of Open and Close TwinResponses
}

func newConn(l *line, id auth.Identity) *conn {
	c := &conn{
		line:     l,
		audience: audience(id),
		fate:     fate.New(),
		frames:   make(chan transport.Frame),
		wake:     make(chan struct{}, 1),
		pumped:   make(chan struct{}),
		closed:   make(chan struct{}),
		opened:   map[string]bool{},
	}
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Send implements transport.Conn. A frame that AMQP cannot say matches
// transport.ErrUnsupported and leaves the connection as it was.
func (c *conn) Send(ctx context.Context, f transport.Frame) error {
	if err := c.err(); err != nil {
		return err
	}
	m, err := message(f)
	if err != nil {
		return err
	}
	if end := ctx.Err(); end != nil {
		return fmt.Errorf("send: %w", end)
	}
	if m == nil {
		c.accept(f.ID)
		return nil
	}
	if err := c.fate.TakeTurn(ctx); err != nil { // go-amqp's own mutex behind it is never contended
		return err
	}
	defer c.fate.PassTurn()
	if f.Kind != transport.Request { // before it is sent, for the answer may be first
		c.expect(f.ID)
	}
	defer c.watch(ctx)()
	// The end of the session ends the wait for credit, too.
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	if err := c.out.Send(waiting{either}, m, nil); err != nil {
		return c.sendFailed(ctx, f, err)
	}
	return nil
}

// sendLimit is how long a hub may take to let a message leave: it gives credit
// for many, long before.
const sendLimit = 30 * time.Second

// watch ends a Send that waits in vain: go-amqp does not hear of a context's end
// while it waits for the window of the session. The session is of no use then, and
// a line on which the hub does not even agree to its end is dead.
func (c *conn) watch(ctx context.Context) (done func()) {
	stalled := func() error {
		if end := ctx.Err(); end != nil {
			return fmt.Errorf("%w: send: %w", transport.ErrStalled, end)
		}
		return fmt.Errorf("%w: it let no message leave for %v", transport.ErrStalled, sendLimit)
	}
	var ended atomic.Bool
	var timer *time.Timer
	timer = time.AfterFunc(sendLimit, func() {
		if ended.Swap(true) {
			c.line.fail(stalled())
			return
		}
		c.fail(stalled())
		if !c.alone {
			c.sayEnd()
			timer.Reset(farewell)
		}
	})
	hurried := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(hurried)
		timer.Reset(farewell)
	})
	return func() {
		if !unhook() {
			<-hurried // or it would set the timer anew
		}
		timer.Stop()
	}
}

// sayEnd begins to end the session, and does not wait.
func (c *conn) sayEnd() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.session.Close(over)
}

// notBody is more than a frame holds beside the body of a message.
const notBody = 4 << 10

// sendFailed says why a message did not leave. It ends the connection unless
// ctx ended the wait for credit: then nothing of it has left.
func (c *conn) sendFailed(ctx context.Context, f transport.Frame, err error) error {
	end := ctx.Err()
	oneFrame := len(f.Body)+notBody <= int(c.line.wire.guard.maxFrame.Load())
	if end != nil && c.err() == nil && oneFrame {
		c.answered(f.ID)
		return fmt.Errorf("send: %w", end)
	}
	cause := c.line.amqpError(err)
	if end != nil { // go-amqp tells of it in words of the hub's
		cause = fmt.Errorf("%w: within a message: %w", transport.ErrClosed, end)
	}
	c.fail(cause)
	return c.err()
}

// accept answers an Open for which there is nothing to do.
func (c *conn) accept(id string) {
	c.mu.Lock()
	c.accepted = append(c.accepted, id)
	c.mu.Unlock()
	c.poke()
}

func (c *conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// nextAccepted takes the oldest such answer.
func (c *conn) nextAccepted() (f transport.Frame, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.accepted) == 0 {
		return f, false
	}
	f = transport.Frame{Kind: transport.Accepted, ID: c.accepted[0]}
	c.accepted = c.accepted[1:]
	return f, true
}

// expect notes that an answer is one to an Open.
func (c *conn) expect(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[id] = true
}

// answered reports whether an answer is one to an Open, once.
func (c *conn) answered(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := c.opened[id]
	delete(c.opened, id)
	return open
}

// Receive implements transport.Conn. When ctx ends it, the error matches
// ctx.Err() and transport.ErrClosed.
func (c *conn) Receive(ctx context.Context) (transport.Frame, error) {
	for {
		if err := c.err(); err != nil {
			return transport.Frame{}, err
		}
		if end := ctx.Err(); end != nil {
			c.fail(linefail.Receive(end))
			return transport.Frame{}, c.err()
		}
		if f, ok := c.nextAccepted(); ok {
			return f, nil
		}
		select {
		case f := <-c.frames:
			return f, nil
		case <-c.wake:
		case <-ctx.Done():
		case <-c.fate.Closing():
		case <-c.fate.Dead():
		}
	}
}

// pump takes the hub's messages until the connection ends, and notices that.
func (c *conn) pump() {
	defer close(c.pumped)
	for {
		m, err := c.in.Receive(c.life, nil)
		if err != nil {
			c.fail(c.line.amqpError(err))
			return
		}
		if err := c.in.AcceptMessage(c.life, m); err != nil { // nothing to do for one that is settled
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
		c.leave(c)
		c.fail(transport.ErrClosed)
		<-c.pumped
		close(c.closed)
	}
	<-c.closed
	return nil
}

// closeParts ends the session and the links of this device, those that there are,
// and waits for go-amqp's goroutines. What it hears is that they have ended.
func (c *conn) closeParts() {
	ctx := context.Background()
	if c.session != nil {
		_ = c.session.Close(ctx)
	}
	if c.out != nil {
		_ = c.out.Close(ctx)
	}
	if c.in != nil {
		_ = c.in.Close(ctx)
	}
}

// fail ends the session, and a line that is nobody else's: the first cause
// stands.
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

// err says why the session is dead, or nil.
func (c *conn) err() error { return c.fate.Err() }
