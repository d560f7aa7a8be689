package amqp

import (
	"context"
	"fmt"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// port is AMQP's over TLS.
const port = 5671

// A Dialer opens connections over AMQP. The zero Dialer is ready: AMQP over TLS
// on port 5671. It implements transport.Dialer, and its connections implement
// transport.Renewer.
type Dialer struct {
	// Stream opens the byte streams; nil means transport.TLS(nil).
	Stream transport.StreamFunc
}

// Dial opens a stream, logs in, attaches the twin's links, and returns once the
// hub has accepted them.
//
// A token that the hub refuses matches transport.ErrUnauthorized, and holds a
// *transport.StatusError; links that it refuses are a *[ConditionError]. An
// identity that is not well formed, and a keep-alive that is not positive, match
// transport.ErrUnsupported. A stream that cannot be opened matches
// transport.ErrUnavailable, unless its own error matches a sentinel already.
// When ctx ends Dial, the error matches ctx.Err(), and transport.ErrStalled for
// a deadline or transport.ErrClosed for a cancellation. A hub that is silent for
// the keep-alive and 10 s more is given up whatever ctx allows.
func (d Dialer) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	if err := login.Identity.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrUnsupported, err)
	}
	if login.KeepAlive <= 0 {
		return nil, fmt.Errorf("%w: a keep-alive of %v", transport.ErrUnsupported, login.KeepAlive)
	}
	open := d.Stream
	if open == nil {
		open = transport.TLS(nil)
	}
	stream, err := open(ctx, login.Target("amqp", port))
	if err != nil {
		return nil, linefail.Stream(ctx, err)
	}
	c := newConn(stream, login)
	err = c.greet(ctx, login)
	if end := ctx.Err(); err == nil && end != nil {
		err = end
	}
	if err != nil {
		err = c.loginError(ctx, err)
		c.fail(err)
		c.wait()
		return nil, err
	}
	go c.pump()
	return c, nil
}

// greet goes from the protocol's header to the twin's links. Each step honours
// ctx.
func (c *conn) greet(ctx context.Context, login transport.Login) (err error) {
	// Half of the idle time-out is what go-amqp announces.
	c.amqp, err = amqp.NewConn(ctx, c.wire, &amqp.ConnOptions{
		HostName: login.Identity.Host, IdleTimeout: c.wire.silence, WriteTimeout: -1,
	})
	if err != nil {
		return err
	}
	if c.session, err = c.amqp.NewSession(ctx, nil); err != nil {
		return err
	}
	if !login.Token.IsZero() {
		if err := c.openCBS(ctx, login); err != nil {
			return err
		}
	}
	return c.attach(ctx, login)
}

// loginError says in the contract's words why a login failed.
func (c *conn) loginError(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil { // go-amqp has closed the stream then
		return linefail.Dial(end)
	}
	if cause := c.err(); cause != nil {
		return cause
	}
	return c.amqpError(err)
}
