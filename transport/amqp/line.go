package amqp

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// farewell is what saying goodbye may take.
const farewell = time.Second

// A line is one AMQP connection, of one device or of several. It owns the
// goroutines of all that goes on it.
type line struct {
	wire    *wire
	silence time.Duration // of the hub, after which the line is dead
	amqp    *amqp.Conn
	session *amqp.Session // of the tokens, and of a device that has the line alone
	tokens  *tokens       // nil where none are put

	bulk chan struct{} // holds a token while somebody writes telemetry

	dead  chan struct{}  // closed when the line is dead
	owned sync.WaitGroup // goroutines that end with the line, if not before

	mu       sync.Mutex // guards the rest, and parts of wire, tokens and conn
	guard    *amqpwire.Guard
	cause    error     // why the line is dead
	last     time.Time // the line parts: no write goes on beyond this
	standing standing
}

func newLine(stream net.Conn, silence time.Duration) *line {
	l := &line{silence: silence, bulk: make(chan struct{}, 1), dead: make(chan struct{}), guard: amqpwire.NewGuard(time.Now())}
	l.wire = &wire{
		Conn: stream, line: l, buf: make([]byte, readSize),
		work: make(chan struct{}, 1), progress: make(chan struct{}),
	}
	return l
}

// openLine goes from the stream to the first session, each step of it within
// ctx. withTokens opens the links for tokens too. What fails leaves nothing
// behind.
func openLine(ctx context.Context, open transport.StreamFunc, login transport.Login, withTokens bool) (*line, error) {
	if open == nil {
		open = transport.TLS(nil)
	}
	stream, err := open(ctx, login.Target("amqp", port))
	if err != nil {
		return nil, linefail.Stream(ctx, err)
	}
	l := newLine(stream, login.KeepAlive+grace)
	l.owned.Go(l.wire.write)
	err = l.within(ctx, func() error { return l.greet(ctx, login, withTokens) })
	if err != nil {
		return nil, l.giveUp(ctx, err)
	}
	return l, nil
}

// within does a step that the end of ctx ends with the line: go-amqp does not
// always hear of it.
func (l *line) within(ctx context.Context, step func() error) error {
	stop := context.AfterFunc(ctx, func() { l.fail(linefail.Dial(ctx.Err())) })
	err := step()
	if !stop() {
		return ctx.Err()
	}
	return err
}

func (l *line) greet(ctx context.Context, login transport.Login, withTokens bool) (err error) {
	// Half of the idle time-out is what go-amqp announces.
	l.amqp, err = amqp.NewConn(ctx, l.wire, &amqp.ConnOptions{
		HostName: login.Identity.Host, IdleTimeout: l.silence, WriteTimeout: -1,
	})
	if err != nil {
		return err
	}
	l.standing.sessions = 1
	if l.session, err = l.amqp.NewSession(ctx, nil); err != nil || !withTokens {
		return err
	}
	return l.openTokens(ctx)
}

// giveUp ends a line that did not come to be, and returns why in the contract's
// words.
func (l *line) giveUp(ctx context.Context, err error) error {
	err = l.loginError(ctx, err)
	l.fail(err)
	l.wait()
	return err
}

// sender returns the account of a link on which we send.
func (l *line) sender(s *amqp.Sender) *amqpwire.GuardedLink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guard.Sender(s.LinkName())
}

// release ends a link's claim on the hub's window.
func (l *line) release(link *amqpwire.GuardedLink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	link.Release()
}

// startLocked runs f in a goroutine of the line's, if the line lives. Nobody waits
// for the line's goroutines before it is dead.
func (l *line) startLocked(f func()) bool {
	if l.cause != nil {
		return false
	}
	l.owned.Go(f)
	return true
}

// endSession ends a session and its links, and returns once the hub has agreed,
// or after the farewell: then the line waits for it.
func (l *line) endSession(c *conn) {
	ended := make(chan struct{})
	l.owned.Go(func() {
		defer close(ended)
		l.seeOff(c)
	})
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// seeOff ends a session and its links, as long as the hub takes to agree.
func (l *line) seeOff(c *conn) {
	late := time.AfterFunc(farewell, func() { l.owe(1) })
	c.closeParts()
	if !late.Stop() {
		l.owe(-1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing.sessions--
}

// close says goodbye if the line takes that within a second, ends the stream,
// and waits for every goroutine.
func (l *line) close() {
	late := make(chan struct{})
	timer := time.AfterFunc(farewell, func() {
		defer close(late)
		l.fail(transport.ErrClosed) // TLS's own goodbye would wait for 5 s
	})
	l.wire.part(time.Now().Add(farewell))
	_ = l.amqp.Close() // sends CLOSE, or fails: nobody waits for its answer
	if l.wire.flush(nil) == nil {
		_ = l.wire.Conn.Close()
	}
	if !timer.Stop() {
		<-late
	}
	l.fail(transport.ErrClosed)
	l.wait()
}

// wait waits for the line's goroutines, the stream having ended.
func (l *line) wait() {
	if l.amqp != nil {
		_ = l.amqp.Close()
	}
	l.owned.Wait()
	if l.tokens != nil {
		l.tokens.close()
	}
	if l.session != nil {
		_ = l.session.Close(context.Background())
	}
}

// fail ends the line. It keeps the first cause.
func (l *line) fail(cause error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
		close(l.dead)
	}
	l.mu.Unlock()
	l.wire.abort()
}

// err returns why the line is dead, or nil.
func (l *line) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}
