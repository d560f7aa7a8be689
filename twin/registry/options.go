package registry

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Defaults and limits of Options.
const (
	defaultTimeout     = time.Minute
	minTimeout         = time.Millisecond // less is a forgotten unit
	defaultMaxAttempts = 5
	defaultTokenLife   = time.Hour
	minTokenLife       = time.Minute
	maxTokenLife       = 366 * 24 * time.Hour
	maxProduct         = 256 // bytes
)

// Options are the options of a Client. Nil means all defaults.
type Options struct {
	// Stream opens connections to the hub. If nil, it is transport.TLS(nil),
	// which trusts the system's roots. The Stream of a hubtest.Hub connects to
	// that hub in memory.
	Stream transport.StreamFunc
	// Transport sends the requests in place of a transport over Stream, which must
	// be nil then. It must not follow redirects or repeat requests by itself.
	Transport http.RoundTripper
	// Logger receives each request at debug level, and each request that is sent
	// again at warn level. If nil, nothing is logged. Tokens and keys never are.
	Logger *slog.Logger
	// Now is the wall clock for tokens. If nil, it is time.Now.
	Now func() time.Time
	// Timeout limits one attempt of a request, reading the answer included. At
	// least 1 ms; if 0, it is one minute. Call adds the time-outs of the method.
	Timeout time.Duration
	// MaxAttempts limits how often a request is sent, if it is safe to send it
	// again. If 0, it is 5.
	MaxAttempts int
	// TokenLifetime is how long a token signed by New is valid: 1 minute to 366
	// days. If 0, it is one hour. NewWithTokens ignores it.
	TokenLifetime time.Duration
	// Product is the User-Agent: at most 256 characters of printable ASCII. If
	// empty, it is the library's own.
	Product string
}

// fill checks the options and sets the defaults.
func (o *Options) fill() error {
	switch {
	case o.Stream != nil && o.Transport != nil:
		return fmt.Errorf("%w: Options.Stream and Options.Transport are both set; leave one nil", auth.ErrInvalid)
	case o.Timeout != 0 && o.Timeout < minTimeout:
		return fmt.Errorf("%w: Options.Timeout is %v; use at least %v", auth.ErrInvalid, o.Timeout, minTimeout)
	case o.MaxAttempts < 0:
		return fmt.Errorf("%w: Options.MaxAttempts is %d; use 1 or more", auth.ErrInvalid, o.MaxAttempts)
	case o.TokenLifetime != 0 && (o.TokenLifetime < minTokenLife || o.TokenLifetime > maxTokenLife):
		return fmt.Errorf("%w: Options.TokenLifetime is %v; use %v to %v", auth.ErrInvalid, o.TokenLifetime, minTokenLife, maxTokenLife)
	case !isPrintable(o.Product) || len(o.Product) > maxProduct:
		return fmt.Errorf("%w: Options.Product is %.300q; use at most %d characters of printable ASCII", auth.ErrInvalid, o.Product, maxProduct)
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
		o.Timeout = defaultTimeout
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = defaultMaxAttempts
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = defaultTokenLife
	}
	if o.Product == "" {
		o.Product = hubproto.Product
	}
	return nil
}

// isPrintable reports whether text can be the value of a header: printable ASCII.
func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}
