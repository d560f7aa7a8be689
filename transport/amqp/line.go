package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// farewell is what saying goodbye may take.
const farewell = time.Second

// A line is one AMQP connection, of one device or of several. It owns the
// goroutines of all that goes on it.
type line struct {
	wire    *wire
	amqp    *amqp.Conn
	session *amqp.Session // of the tokens, and of a device that has the line alone
	tokens  *tokens       // nil where none are put

	owned sync.WaitGroup // goroutines that end with the line, if not before

	mu       sync.Mutex // guards the rest; nothing waits while it is held
	cause    error      // why the line is dead
	sessions int        // that are, begin or end
	ending   int        // of these, whose END the hub has not answered
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
	l := &line{wire: newWire(stream, login.KeepAlive+grace)}
	l.wire.failed = l.fail
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
		HostName: login.Identity.Host, IdleTimeout: l.wire.silence, WriteTimeout: -1,
	})
	if err != nil {
		return err
	}
	l.sessions = 1
	if l.session, err = l.amqp.NewSession(ctx, nil); err != nil || !withTokens {
		return err
	}
	return l.openTokens(ctx)
}

// giveUp ends a line that did not come to be, and says why in the contract's
// words.
func (l *line) giveUp(ctx context.Context, err error) error {
	err = l.loginError(ctx, err)
	l.fail(err)
	l.wait()
	return err
}

// loginError says in the contract's words why a login failed.
func (l *line) loginError(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil { // go-amqp may have closed the stream then
		return linefail.Dial(end)
	}
	if cause := l.err(); cause != nil {
		return cause
	}
	return l.amqpError(err)
}

// amqpError says in the contract's words why go-amqp gave up.
func (l *line) amqpError(err error) error {
	var said *amqp.Error
	if errors.As(err, &said) {
		return conditionError(said)
	}
	if cause := l.err(); cause != nil { // go-amqp does not wrap it
		return cause
	}
	if isOver(err) {
		return fmt.Errorf("%w: %w", transport.ErrLost, err)
	}
	for _, sentinel := range []error{transport.ErrUnauthorized, transport.ErrThrottled, transport.ErrUnavailable, transport.ErrQuota, transport.ErrProtocol} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", transport.ErrProtocol, err)
}

// isOver reports whether an error of go-amqp's is the end of a link, or of what
// it is on.
func isOver(err error) bool {
	var conn *amqp.ConnError
	var session *amqp.SessionError
	var link *amqp.LinkError
	return errors.As(err, &conn) || errors.As(err, &session) || errors.As(err, &link)
}

// maxEnding is how many sessions may wait for the hub's word on their end before
// nobody else is let on the line: it may never say it.
const maxEnding = 16

// takeSession makes room for another session, if there is any: go-amqp ends a
// connection that has none.
func (l *line) takeSession() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.roomy() {
		return false
	}
	l.sessions++
	return true
}

// roomy reports whether there is room for another session. l.mu is held.
func (l *line) roomy() bool {
	return l.sessions <= int(l.wire.guard.channelMax.Load()) && l.ending < maxEnding
}

// isGood reports whether the line lives, and has room.
func (l *line) isGood() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause == nil && l.roomy()
}

// passSession gives that room back.
func (l *line) passSession() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions--
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
	l.count(1)
	c.closeParts()
	l.count(-1)
	l.passSession()
}

func (l *line) count(ending int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending += ending
}

// close says goodbye if the line takes that within a second, ends the stream,
// and waits for every goroutine.
func (l *line) close() {
	late := make(chan struct{})
	timer := time.AfterFunc(farewell, func() {
		defer close(late)
		l.wire.abort() // TLS's own goodbye would wait for 5 s
	})
	l.wire.part(time.Now().Add(farewell))
	_ = l.amqp.Close() // sends CLOSE, or fails: nobody waits for its answer
	if !timer.Stop() {
		<-late
	}
	l.fail(transport.ErrClosed)
	l.wait()
}

// wait waits for the line's goroutines, the stream having ended.
func (l *line) wait() {
	if l.amqp == nil {
		return
	}
	_ = l.amqp.Close()
	l.owned.Wait()
	if l.tokens != nil {
		l.tokens.close()
	}
	if l.session != nil {
		_ = l.session.Close(context.Background())
	}
}

// fail ends the line: the first cause stands.
func (l *line) fail(cause error) {
	l.mu.Lock()
	if l.cause == nil {
		l.cause = cause
	}
	l.mu.Unlock()
	l.wire.abort()
}

// err says why the line is dead, or nil.
func (l *line) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}
