package ws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// port is the one of https: what a firewall lets through.
	port = 443
	// path is where a hub, and a provisioning service, speaks WebSocket.
	path = "/$iothub/websocket"
	// noClientCert asks the hub's front not to ask for a client certificate.
	// It would ask by a second TLS handshake, which Go refuses unless there is
	// a certificate to show.
	noClientCert = "iothub-no-client-cert=true"

	// maxMessage bounds an inbound message: a hub's front cuts the stream where
	// it likes, yet no message has reason to hold more than the largest packet.
	maxMessage = hubproto.MaxPacket
	// maxHandshake bounds what the other end may send as its answer to the
	// handshake. A hub's is some 300 bytes.
	maxHandshake = 64 << 10
	// bufferSize is the library's own default, and the most that one outbound
	// message holds: messages then leave in one frame each.
	bufferSize = 4 << 10
	// readSize holds most messages; TLS below buffers a record anyway.
	readSize = 1 << 10
)

// Options shape the streams of Stream; nil means all defaults.
type Options struct {
	// Stream opens the stream below, encrypted and verified. It is asked for
	// the target's host at port 443, with "websocket" as the protocol. Nil
	// means transport.TLS(nil).
	Stream transport.StreamFunc
}

// Stream opens byte streams over WebSocket, to wss://<host>:443/$iothub/websocket.
// The target's protocol must be "mqtt" or "amqp", or the error matches
// transport.ErrUnsupported; its port is not used. A target without a client
// certificate also tells the hub not to ask for one. Opening honours ctx at
// every stage and leaves no socket behind when it fails; the StreamFunc may be
// used concurrently and for many targets.
//
// A hub that answers the handshake with anything but its consent is a
// *[HandshakeError]; one that answers what is not WebSocket, or not the
// protocol that was asked for, matches transport.ErrProtocol. An error of the
// stream below is wrapped.
//
// The stream obeys net.Conn, and more strictly in one thing: a read or write
// that a deadline or an error ended is the last, and later ones fail likewise.
// Pings are answered while somebody reads, and reading does not wait for that. An
// answer that cannot leave for 10 s ends the stream with the deadline's error.
// Where messages begin and end means nothing. One of more than 1 MB, or of text,
// breaks the protocol and matches
// transport.ErrProtocol. Close takes 100 ms at most; a second Close ends even
// that.
func Stream(opts *Options) transport.StreamFunc {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Stream == nil {
		o.Stream = transport.TLS(nil)
	}
	// A write buffer is used for moments: idle connections need not keep one each.
	var buffers sync.Pool
	return func(ctx context.Context, target transport.Target) (net.Conn, error) {
		protocol, err := subprotocol(target.Protocol)
		if err != nil {
			return nil, err
		}
		below := target
		below.Protocol, below.Port = "websocket", port
		raw, err := o.Stream(ctx, below)
		if err != nil {
			return nil, err
		}
		c, err := shake(ctx, raw, address(target), protocol, &buffers)
		if err != nil {
			abort(raw)
			return nil, fmt.Errorf("ws: WebSocket handshake with %s: %w", target.Host, errtext.Bare("transport", err))
		}
		return c, nil
	}
}

// subprotocol is the name that the hub knows a protocol by.
func subprotocol(protocol string) (string, error) {
	switch protocol {
	case "mqtt":
		return "mqtt", nil
	case "amqp":
		return "AMQPWSB10", nil
	}
	return "", fmt.Errorf("%w: no hub speaks %q over WebSocket, only mqtt and amqp", transport.ErrUnsupported, protocol)
}

// address is the URL of the handshake. Its scheme is the one without TLS, for
// TLS is there already; the port stays out of the Host header.
func address(target transport.Target) string {
	u := url.URL{Scheme: "ws", Host: target.Host, Path: path}
	if strings.Contains(u.Host, ":") { // an IPv6 address
		u.Host = "[" + u.Host + "]"
	}
	if target.Certificate == nil {
		u.RawQuery = noClientCert
	}
	return u.String()
}

// shake upgrades the stream; when it fails, the caller closes it.
func shake(ctx context.Context, raw net.Conn, address, protocol string, buffers websocket.BufferPool) (net.Conn, error) {
	l := newLine(raw)
	dialer := websocket.Dialer{
		NetDialContext: func(context.Context, string, string) (net.Conn, error) { return l, nil },
		Subprotocols:   []string{protocol},
		ReadBufferSize: readSize, WriteBufferSize: bufferSize, WriteBufferPool: buffers,
	}
	// The library would obey a deadline, but no cancellation: so it gets neither.
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		abort(raw)
	})
	c, answer, err := dialer.DialContext(context.WithoutCancel(ctx), address, http.Header{"User-Agent": {hubproto.Product}})
	if !stop() {
		<-ended
	}
	end := ctx.Err()
	if end != nil && err == nil {
		return nil, end
	}
	if err != nil {
		err = handshakeError(l, answer, err)
		if end != nil && !errors.Is(err, end) {
			err = fmt.Errorf("%w: %w", end, errtext.Bare("transport", err))
		}
		return nil, err
	}
	if err := checkAnswer(answer, protocol); err != nil {
		return nil, err
	}
	l.endHandshake()
	c.SetReadLimit(maxMessage)
	return newConn(c, l), nil
}

// checkAnswer wants what was asked for, and nothing else (RFC 6455, 4.1).
func checkAnswer(answer *http.Response, protocol string) error {
	if got := answer.Header.Get("Sec-Websocket-Protocol"); !strings.EqualFold(got, protocol) {
		return fmt.Errorf("%w: it speaks WebSocket, but answered the sub-protocol %s with %.40q", transport.ErrProtocol, protocol, got)
	}
	if got := answer.Header.Get("Sec-Websocket-Extensions"); got != "" {
		return fmt.Errorf("%w: it uses an extension that was not offered, %.40q", transport.ErrProtocol, got)
	}
	return nil
}
