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

	mu    sync.Mutex // guards cause; nothing waits while it is held
	cause error      // why the line is dead
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
	l.wire.failed = func(err error) { l.fail(linefail.Line(err)) }
	if err := l.greet(ctx, login, withTokens); err != nil {
		return nil, l.giveUp(ctx, err)
	}
	return l, nil
}

func (l *line) greet(ctx context.Context, login transport.Login, withTokens bool) (err error) {
	// Half of the idle time-out is what go-amqp announces.
	l.amqp, err = amqp.NewConn(ctx, l.wire, &amqp.ConnOptions{
		HostName: login.Identity.Host, IdleTimeout: l.wire.silence, WriteTimeout: -1,
	})
	if err != nil {
		return err
	}
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
	if ended := l.wire.ended(); ended != nil { // go-amqp does not wrap it
		return ended
	}
	var conn *amqp.ConnError
	var session *amqp.SessionError
	var link *amqp.LinkError
	if errors.As(err, &conn) || errors.As(err, &session) || errors.As(err, &link) {
		return fmt.Errorf("%w: %w", transport.ErrLost, err)
	}
	for _, sentinel := range []error{transport.ErrUnauthorized, transport.ErrThrottled, transport.ErrUnavailable, transport.ErrQuota, transport.ErrProtocol} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", transport.ErrProtocol, err)
}

// newSession begins another session. go-amqp takes an answer that it no longer
// waits for as the end of the connection, so it waits as long as the hub takes,
// whatever ctx says: an answer that comes late is a session that ends at once.
func (l *line) newSession(ctx context.Context) (*amqp.Session, error) {
	type answer struct {
		session *amqp.Session
		err     error
	}
	answers := make(chan answer)
	l.owned.Go(func() {
		s, err := l.amqp.NewSession(context.Background(), nil)
		select {
		case answers <- answer{s, err}:
		case <-ctx.Done():
			if s != nil {
				_ = s.Close(context.Background()) // it ends with the line, if not before
			}
		}
	})
	select {
	case a := <-answers:
		return a.session, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// endSession ends a session and its links, and returns once the hub has agreed,
// or after the farewell: then the line waits for it.
func (l *line) endSession(s *amqp.Session, links ...closer) {
	ended := make(chan struct{})
	l.owned.Go(func() {
		defer close(ended)
		// What these return is that the session has ended; they wait for
		// go-amqp's goroutines.
		_ = s.Close(context.Background())
		closeAll(links)
	})
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// A closer is one of go-amqp's links.
type closer interface {
	Close(ctx context.Context) error
}

func closeAll(links []closer) {
	for _, link := range links {
		_ = link.Close(context.Background())
	}
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
		closeAll(l.tokens.links())
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
