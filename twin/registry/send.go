package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	portHTTPS       = 443
	idleConnections = 16
	idleFor         = 90 * time.Second
)

// sender returns the HTTP client, over Options.Transport or one of its own. It
// sends to the hub only, sends each attempt once, and follows no redirect.
func (o Options) sender(host string) *http.Client {
	next := o.Transport
	if next == nil {
		next = &http.Transport{
			DialTLSContext:      dialer(o.Stream, host, o.Now),
			MaxIdleConns:        idleConnections,
			MaxIdleConnsPerHost: idleConnections,
			IdleConnTimeout:     idleFor,
		}
	}
	return &http.Client{
		Transport:     fence{next: next, host: host},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A fence refuses requests to other hosts. It is between the client of package
// net/http, which follows redirects, and the transport.
type fence struct {
	next http.RoundTripper
	host string
}

// errElsewhere reports that a user's RoundTripper followed a redirect.
var errElsewhere = errors.New("Options.Transport followed a redirect, and the token may have gone along; use one that follows none")

// RoundTrip sends a request to the hub, and removes the target of a redirect.
func (f fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if !f.holds(r) {
		return nil, fmt.Errorf("%w: a request to another host than %s", transport.ErrProtocol, f.host)
	}
	resp, err := f.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.Request != nil && resp.Request.Response != nil { // which client redirects fill in
		_ = resp.Body.Close() // it is not needed
		return nil, fmt.Errorf("%w: %w", transport.ErrProtocol, errElsewhere)
	}
	if isRedirect(resp.StatusCode) {
		// Otherwise the client would request the body again, or fail because of a
		// malformed Location.
		resp.Header = resp.Header.Clone()
		resp.Header.Del("Location")
	}
	return resp, nil
}

// CloseIdleConnections closes the idle connections of the transport.
func (f fence) CloseIdleConnections() {
	if c, ok := f.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (f fence) holds(r *http.Request) bool {
	return r.URL.Scheme == "https" && strings.EqualFold(r.URL.Host, f.host)
}

func isRedirect(status int) bool { return status >= 300 && status <= 399 }

// errSentOnce ends an attempt in place of its silent repetition.
var errSentOnce = errors.New("the connection ended before the answer came")

// newRequest returns the HTTP request of one attempt. A GET gets an empty body that
// cannot be read twice. Otherwise package net/http would send it again by itself,
// uncounted, if a connection that was kept open ends.
func (c *Client) newRequest(ctx context.Context, r request, token string) (*http.Request, error) {
	address := "https://" + c.host + r.path + "?api-version=" + hubproto.APIVersion
	if r.query != "" {
		address += "&" + r.query
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if r.method == http.MethodGet {
		req.Body = io.NopCloser(strings.NewReader(""))
		req.GetBody = func() (io.ReadCloser, error) { return nil, errSentOnce }
	}
	req.Header.Set("Authorization", token)
	req.Header.Set("User-Agent", c.opts.Product)
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if r.match != "" {
		req.Header.Set("If-Match", r.match)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	return req, nil
}

// dialer opens connections for net/http. If it fails, nothing was sent.
func dialer(stream transport.StreamFunc, host string, now func() time.Time) func(context.Context, string, string) (net.Conn, error) {
	target := transport.Target{Protocol: "https", Host: host, Port: portHTTPS, Now: now}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := stream(ctx, target)
		if err != nil && !errors.Is(err, transport.ErrUntrusted) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", transport.ErrUnavailable, err)
		}
		return conn, err
	}
}
