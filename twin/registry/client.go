package registry

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Defaults of Options.
const (
	// DefaultTimeout bounds one attempt of a request.
	DefaultTimeout = time.Minute
	// DefaultMaxAttempts is how often a request is sent at most.
	DefaultMaxAttempts = 5
	// DefaultTokenLifetime is how long a token that New signs lives.
	DefaultTokenLifetime = time.Hour
)

const (
	maxTokenLife = 366 * 24 * time.Hour
	minTokenLife = time.Minute
)

// Options shape a Client; nil means all defaults.
type Options struct {
	// Stream opens the line to the hub; nil means transport.TLS(nil): TLS with
	// the system's roots. Roots of your own stand in transport.TLSOptions; a
	// hubtest.Hub's Stream leads to that hub, in memory.
	Stream transport.StreamFunc
	// HTTPClient sends the requests in place of the library's own client, for
	// proxies, tracing, or another TLS set-up. Its Timeout ought to be 0: every
	// request has a context. It is copied, and its CheckRedirect is not asked: no
	// redirect is followed, for a token goes to the hub and nowhere else. A
	// Transport that follows redirects, or sends again, by itself is yours to
	// avoid. With HTTPClient, Stream must be nil.
	HTTPClient *http.Client
	// Logger hears of each request at debug level, and of what is tried again
	// at warn. Nil means silence. No token or key is ever logged.
	Logger *slog.Logger
	// Now is the wall clock, for tokens; nil means time.Now.
	Now func() time.Time
	// Timeout bounds one attempt of a request, its answer included; 0 means
	// DefaultTimeout. A method's own time-outs come on top.
	Timeout time.Duration
	// MaxAttempts is how often a request is sent at most, where it is safe to
	// send it again; 0 means DefaultMaxAttempts, 1 never again.
	MaxAttempts int
	// TokenLifetime is how long a token that New signs lives, from a minute to
	// 366 days; 0 means DefaultTokenLifetime.
	TokenLifetime time.Duration
	// Product is the User-Agent; empty means the library's own.
	Product string
}

// A Client speaks with one hub as a back end. It may be used concurrently.
type Client struct {
	host   string
	opts   Options
	http   *http.Client
	tokens *tokens
	log    *slog.Logger
}

// New makes a client that signs its tokens with the key of a shared access
// policy, whose connection string the hub's portal and tools hand out:
//
//	HostName=myhub.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=…
//
// It does no I/O. The options are copied. An error matches auth.ErrInvalid,
// names the part of the string and what to do, and never holds a key.
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

// NewWithTokens makes a client that takes bearer tokens from a source. Host is
// the hub's full name. It does no I/O; an error matches auth.ErrInvalid.
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
	c.tokens = newTokens(c.opts.Now, borne(source))
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

// fill checks the options and completes them.
func (o *Options) fill() error {
	switch {
	case o.Stream != nil && o.HTTPClient != nil:
		return fmt.Errorf("%w: Options.Stream and Options.HTTPClient stand together; leave one", auth.ErrInvalid)
	case o.Timeout < 0:
		return fmt.Errorf("%w: Options.Timeout is %v; it is not negative", auth.ErrInvalid, o.Timeout)
	case o.MaxAttempts < 0:
		return fmt.Errorf("%w: Options.MaxAttempts is %d; it is not negative", auth.ErrInvalid, o.MaxAttempts)
	case o.TokenLifetime != 0 && (o.TokenLifetime < minTokenLife || o.TokenLifetime > maxTokenLife):
		return fmt.Errorf("%w: Options.TokenLifetime is %v; it is from %v to %v", auth.ErrInvalid, o.TokenLifetime, minTokenLife, maxTokenLife)
	}
	if o.Stream == nil {
		o.Stream = transport.TLS(nil)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = DefaultMaxAttempts
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = DefaultTokenLifetime
	}
	if o.Product == "" {
		o.Product = hubproto.Product
	}
	return nil
}

// Close ends the client's idle connections; those of an HTTPClient of your own
// are left to you. Requests under way end with their contexts.
func (c *Client) Close() error {
	if c.opts.HTTPClient == nil {
		c.http.CloseIdleConnections()
	}
	return nil
}
