package registry

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A Client accesses one hub as a back end. It is safe for concurrent use.
type Client struct {
	host   string
	opts   Options
	http   *http.Client
	tokens *tokens
	log    *slog.Logger
}

// New returns a Client that signs its tokens with the key of a shared access
// policy. The hub's portal and tools show the policy's connection string:
//
//	HostName=myhub.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=…
//
// New does no I/O and copies the options. Errors match auth.ErrInvalid, name the
// part of the string or the option, and never contain a key.
func New(connectionString string, opts *Options) (*Client, error) {
	access, err := parseConnectionString(connectionString)
	if err != nil {
		return nil, err
	}
	c, err := newClient(access.host, opts)
	if err != nil {
		return nil, err
	}
	c.tokens = newTokens(c.opts.Now, signed(access, c.opts.TokenLifetime))
	return c, nil
}

// NewWithTokens returns a Client that gets bearer tokens from a TokenSource. Host
// is the hub's full name. NewWithTokens does no I/O and copies the options. Errors
// match auth.ErrInvalid.
func NewWithTokens(host string, source TokenSource, opts *Options) (*Client, error) {
	if err := checkHost(host); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if source == nil {
		return nil, fmt.Errorf("registry: %w: no TokenSource; twin/registry/entra makes one", auth.ErrInvalid)
	}
	c, err := newClient(host, opts)
	if err != nil {
		return nil, err
	}
	c.tokens = newTokens(c.opts.Now, fetched(source))
	return c, nil
}

func newClient(host string, opts *Options) (*Client, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return &Client{host: host, opts: o, log: o.Logger, http: o.sender(host)}, nil
}

// Close closes idle connections, but not those of Options.Transport. Requests in
// flight continue until they are answered or their contexts end.
func (c *Client) Close() error {
	if c.opts.Transport == nil {
		c.http.CloseIdleConnections()
	}
	return nil
}
