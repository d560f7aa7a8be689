package amqp

import (
	"context"
	"fmt"

	"github.com/devicetwin/devicetwin-go/transport"
)

// port is AMQP's over TLS.
const port = 5671

// A Dialer opens connections over AMQP. The zero Dialer is ready: AMQP over TLS
// on port 5671. It implements transport.Dialer, and its connections implement
// transport.Renewer.
type Dialer struct {
	// Stream opens the byte streams. If nil, it is transport.TLS(nil).
	Stream transport.StreamFunc
}

// Dial opens a stream, logs in, and returns once the hub has accepted that. Without
// a token it attaches the twin's links for it.
//
// A token that the hub refuses matches transport.ErrUnauthorized, and holds a
// *transport.StatusError. A link that it refuses is a *[ConditionError]. An
// identity that is not well formed, and a keep-alive that is not positive, match
// transport.ErrUnsupported. A stream that cannot be opened matches
// transport.ErrUnavailable, unless its own error matches a sentinel already.
// When ctx ends Dial, the error matches ctx.Err(), and transport.ErrStalled for
// a deadline or transport.ErrClosed for a cancellation. A hub that is silent for
// the keep-alive and 10 s more is given up whatever ctx allows.
func (d Dialer) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	if err := check(login); err != nil {
		return nil, err
	}
	l, err := openLine(ctx, d.Stream, login, !login.Token.IsZero())
	if err != nil {
		return nil, err
	}
	c := newConn(l, login)
	c.session, c.alone, c.leave = l.session, true, leaveAlone
	err = l.within(ctx, func() error { return c.enter(ctx, login) })
	if err != nil {
		c.end()
		err = l.giveUp(ctx, err)
		c.closeParts()
		return nil, err
	}
	if c.link() != nil {
		c.served.Go(c.pump)
	}
	return c, nil
}

// check refuses a login that no line could serve.
func check(login transport.Login) error {
	if err := login.Identity.Validate(); err != nil {
		return fmt.Errorf("%w: %w", transport.ErrUnsupported, err)
	}
	if login.KeepAlive <= 0 {
		return fmt.Errorf("%w: a keep-alive of %v", transport.ErrUnsupported, login.KeepAlive)
	}
	return nil
}

// leaveAlone ends the line of a device that has it alone.
func leaveAlone(c *conn) {
	c.line.close()
	c.closeParts()
}

// enter has the hub judge the device: by its token, or by the certificate, which it
// does where a link is attached. A hub that has no twin has judged the certificate
// then, too.
func (c *conn) enter(ctx context.Context, login transport.Login) (err error) {
	if !login.Token.IsZero() {
		err = c.line.tokens.give(ctx, c.audience, login.Token)
	} else if err = c.attachTwin(ctx); err != nil && hasNoTwin(err) {
		err = nil
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}
