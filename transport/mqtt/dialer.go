package mqtt

import (
	"context"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A Dialer opens connections over MQTT. The zero Dialer is ready: MQTT over
// TLS on port 8883. It implements transport.Dialer, and its connections
// implement transport.Resumer.
type Dialer struct {
	// Stream opens the byte streams; nil means transport.TLS(nil).
	Stream transport.StreamFunc
}

// Dial opens a stream, logs in, and returns once the hub has accepted.
//
// Ids with '#', '+' or '/' cannot be used over MQTT, for they mean something
// else in its topics: the error matches transport.ErrUnsupported and
// auth.ErrInvalid, as for every identity that is not well formed. A keep-alive
// over the hub's limit of 1177 s matches transport.ErrUnsupported.
//
// A hub that refuses is a *[ConnackError]; one that refuses the client
// certificate matches transport.ErrUnauthorized. A stream that cannot be
// opened matches transport.ErrUnavailable, unless its own error matches a
// sentinel already. When ctx ends Dial, the error matches ctx.Err(), and
// transport.ErrStalled for a deadline or transport.ErrClosed for a
// cancellation. A hub that is silent for the keep-alive and 10 s more is given
// up whatever ctx allows.
func (d Dialer) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	hello, err := connectPacket(login)
	if err != nil {
		return nil, err
	}
	open := d.Stream
	if open == nil {
		open = transport.TLS(nil)
	}
	stream, err := open(ctx, login.Target("mqtt", hubproto.PortMQTT))
	if err != nil {
		return nil, linefail.Stream(ctx, err)
	}
	c := newConn(stream, login.KeepAlive)
	if err := c.login(ctx, hello); err != nil {
		return nil, err
	}
	c.events = eventsTopic(login.Identity)
	if login.Tidy && c.resumed {
		c.leftovers = leftovers(login.Identity)
	}
	go c.keep()
	return c, nil
}
