package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/devicetwin/devicetwin-go/transport"
)

// socks asks by SOCKS5 (RFC 1928), with the name and not an address of it.
func (s server) socks(c net.Conn, address string) (net.Conn, error) {
	var login *proxy.Auth
	if s.login {
		login = &proxy.Auth{User: s.user, Password: s.password}
	}
	d, err := proxy.SOCKS5("tcp", s.address, login, there{c: c})
	if err != nil {
		return nil, err
	}
	// Without a context of its own it starts no goroutine; the caller ends it by
	// closing c.
	if _, err = d.(proxy.ContextDialer).DialContext(context.Background(), "tcp", address); err != nil {
		return nil, socksError(err)
	}
	return c, nil
}

// there is a way to the proxy that was gone already.
type there struct {
	proxy.Dialer // nil: only the method with a context is called
	c            net.Conn
}

// DialContext returns the stream that is open.
func (t there) DialContext(context.Context, string, string) (net.Conn, error) { return t.c, nil }

// socksError gives the library's errors, which are texts, a class. Should an
// update change them, the tests know.
func socksError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil && strings.HasPrefix(op.Op, "socks") {
		err = op.Err // its addresses are told by the caller
	}
	var cause net.Error
	text := err.Error()
	switch {
	case errors.As(err, &cause), errors.Is(err, net.ErrClosed):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the proxy hung up without an answer; is it one for SOCKS5? %w", transport.ErrUnavailable, err)
	case strings.Contains(text, "authentication"):
		return fmt.Errorf("%w: %w", ErrLogin, err)
	case strings.HasPrefix(text, "unknown error "): // its words before the proxy's reason
		return fmt.Errorf("%w: it says %q", ErrRefused, strings.TrimPrefix(text, "unknown error "))
	}
	return fmt.Errorf("%w: no SOCKS5 proxy answers so; check its host and port: %w", transport.ErrUnavailable, err)
}
