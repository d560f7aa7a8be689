package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// What a proxy may refuse. Both match transport.ErrUnavailable, for the hub was
// not heard: a client goes on trying, and transport.Fallback tries its other
// way.
var (
	// ErrLogin says that the proxy wants a login, or another than it was given.
	ErrLogin = fmt.Errorf("proxy: %w: the proxy did not let this device in; check user and password in the proxy's URL", errtext.Bare("transport", transport.ErrUnavailable))
	// ErrRefused says that the proxy does not, or cannot, lead to the hub.
	ErrRefused = fmt.Errorf("proxy: %w: the proxy opened no way to the hub; have it allow this host and port", errtext.Bare("transport", transport.ErrUnavailable))
)

// A DialFunc opens a stream to host:port. It fits transport.TLSOptions.DialContext,
// and may be used concurrently.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Options shape the way to the proxy; nil means all defaults.
type Options struct {
	// Dial opens the stream to the proxy; FromEnvironment also opens with it
	// what goes to the hub directly. Nil means TCP, without keep-alive probes.
	Dial DialFunc
	// Config holds what is special about TLS with an https:// proxy, such as
	// RootCAs. It is cloned; ServerName is filled in where it is unset, and at
	// least TLS 1.2 is asked for. Nil means Go's defaults.
	Config *tls.Config
	// Logger hears at warn which entries of NO_PROXY FromEnvironment skips. Nil
	// means silence.
	Logger *slog.Logger
}

// New makes a dial function that leads through a proxy:
//
//	http://[user:password@]host[:port]     HTTP CONNECT, port 80 if none is given
//	https://[user:password@]host[:port]    the same over TLS, port 443
//	socks5://[user:password@]host[:port]   SOCKS5, port 1080; socks5h:// is the same
//
// Without a scheme it is http. A login with an HTTP proxy is by Basic, which
// over http:// everybody on the way can read. Names are looked up by the proxy,
// with socks5:// too. A URL that is none of these matches ErrInvalid.
//
// The dial function honours ctx at every stage, has no limit of its own, and
// leaves no socket and no goroutine behind when it fails. A refusal matches
// ErrLogin or ErrRefused, other trouble with the proxy's answer
// transport.ErrUnavailable; all else wraps the error of net or crypto/tls. No
// error holds user or password.
func New(proxyURL string, opts *Options) (DialFunc, error) {
	s, err := parseURL(proxyURL)
	if err != nil {
		return nil, err
	}
	return s.dialer(opts.withDefaults()), nil
}

// withDefaults is a copy with the zeros filled in.
func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Dial == nil {
		out.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	if out.Config == nil {
		out.Config = &tls.Config{}
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	out.Config = out.Config.Clone()
	if out.Config.MinVersion < tls.VersionTLS12 {
		out.Config.MinVersion = tls.VersionTLS12
	}
	return out
}

// dialer is the dial function through the proxy.
func (s server) dialer(o Options) DialFunc {
	ask := s.connect
	if s.scheme == "socks5" {
		ask = s.socks
	}
	if s.scheme == "https" && o.Config.ServerName == "" {
		o.Config.ServerName = s.host
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if !isAddress(address) {
			return nil, fmt.Errorf("proxy: %w: %.*q is no host and port to ask a proxy for", bare(transport.ErrUnsupported), maxText, address)
		}
		raw, err := o.Dial(ctx, network, s.address)
		if err != nil {
			return nil, fmt.Errorf("proxy: connect to the proxy %s: %w", s, bare(err))
		}
		c, err := s.open(ctx, raw, o.Config, ask, address)
		if err != nil {
			_ = raw.Close() // which may be closed already
			return nil, fmt.Errorf("proxy: through the proxy %s: %w", s, bare(err))
		}
		return c, nil
	}
}

// bare takes the package's name off an error that is wrapped by another, and the
// name of package transport, whose sentinels are borrowed here.
func bare(err error) error { return errtext.Bare("transport", errtext.Bare("proxy", err)) }

// An exchange asks a proxy for the way to an address. What it returns begins
// with the tunnel's first byte.
type exchange func(c net.Conn, address string) (net.Conn, error)

// open makes a tunnel of a stream; when it fails, the caller closes the stream.
func (s server) open(ctx context.Context, raw net.Conn, config *tls.Config, ask exchange, address string) (net.Conn, error) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = raw.Close()
	})
	c, err := s.tunnel(ctx, raw, config, ask, address)
	if !stop() {
		<-ended
	}
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		if err == nil {
			return nil, end
		}
		return nil, fmt.Errorf("%w: %w", end, bare(err))
	}
	return c, err
}

func (s server) tunnel(ctx context.Context, raw net.Conn, config *tls.Config, ask exchange, address string) (net.Conn, error) {
	if s.scheme != "https" {
		return ask(raw, address)
	}
	under := &brisk{Conn: raw}
	c := tls.Client(under, config)
	if err := c.HandshakeContext(ctx); err != nil {
		// Not transport.ErrUntrusted, though it may be a wrong certificate: the
		// hub's is not meant, and another way to the hub may do.
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return ask(&overTLS{Conn: c, under: under}, address)
}

// farewell is what TLS with a proxy may take to say goodbye. It is said, for
// squid drops what it has not passed on yet where it is not; but crypto/tls
// would try for 5 s on a line that may be dead.
const farewell = 100 * time.Millisecond

// overTLS is a stream over TLS with a quick end.
type overTLS struct {
	*tls.Conn
	under *brisk
}

// Close says goodbye if the line takes it.
func (o *overTLS) Close() error {
	o.under.closing.Store(true)
	return o.Conn.Close()
}

// brisk is a stream whose writes are short once it is closing.
type brisk struct {
	net.Conn
	closing atomic.Bool
}

// SetWriteDeadline is called by crypto/tls for its goodbye, too.
func (b *brisk) SetWriteDeadline(t time.Time) error {
	if end := time.Now().Add(farewell); b.closing.Load() && t.After(end) {
		t = end
	}
	return b.Conn.SetWriteDeadline(t)
}
