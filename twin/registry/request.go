package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// The largest answers that are read. A twin's halves have 32 KB each by the
// hub's own count, which counts no quotes and no metadata: the metadata of many
// small properties are tens of times as large. A page is up to 1000 twins.
const (
	maxAnswer = 8 << 20
	maxPage   = 256 << 20
)

// safety is when a request may be sent again.
type safety uint8

const (
	onceOnly    safety = iota // only if it was certainly not performed
	conditional               // it has an ETag: performing it twice is impossible
	read                      // it changes nothing
)

// request is one request to the hub.
type request struct {
	method, path string // the path is percent-encoded
	query        string // beside api-version, such as "top=3"
	match        string // the ETag of If-Match, or empty
	header       map[string]string
	body         []byte
	safety       safety
	extra        time.Duration // beside the time-out of an attempt
	limit        int64         // of the answer in bytes; maxAnswer if 0
	also         int           // a status that is an answer beside 2xx, if not 0
}

// answer is what a hub answered with 2xx, or request.also.
type answer struct {
	status int
	header http.Header
	body   []byte
	lost   bool // the answer to an earlier attempt was lost
}

// matching makes a write depend on an ETag.
func (r *request) matching(etag ETag) error {
	if etag == "" {
		return fmt.Errorf("%w: no ETag; give the one that was read, or AnyETag", auth.ErrInvalid)
	}
	if strings.ContainsFunc(string(etag), func(c rune) bool { return c < '!' || c > '~' || c == '"' }) {
		return fmt.Errorf("%w: the ETag has a character that no ETag has", auth.ErrInvalid)
	}
	r.match, r.safety = `"`+string(etag)+`"`, conditional
	if etag == AnyETag {
		r.safety = onceOnly
	}
	return nil
}

// split checks an id and returns its parts.
func split(id string) (device, module string, err error) {
	device, module, isModule := strings.Cut(id, "/")
	if isModule && module == "" {
		return "", "", fmt.Errorf("%w: the id %q ends in a slash", auth.ErrInvalid, id)
	}
	err = auth.Identity{Host: "any", DeviceID: device, ModuleID: module}.Validate()
	return device, module, err
}

// pathOf returns the path of an id below "twins" or "devices".
func pathOf(root, id string) (string, error) {
	device, module, err := split(id)
	if err != nil {
		return "", err
	}
	path := "/" + root + "/" + url.PathEscape(device)
	if module != "" {
		path += "/modules/" + url.PathEscape(module)
	}
	return path, nil
}

// do sends a request until it succeeds or must not be sent again.
func (c *Client) do(ctx context.Context, r request) (answer, error) {
	lost := false // an attempt may have been performed
	for attempt := 1; ; attempt++ {
		a, err := c.attempt(ctx, r)
		if err == nil {
			a.lost = lost
			return a, nil
		}
		if lost {
			err = afterLost(r.method, err)
		}
		pause, again := c.pause(ctx, r.safety, attempt, err)
		if !again {
			return a, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		lost = lost || !unperformed(err)
		c.log.Warn("request is sent again", "method", r.method, "path", r.path, "attempt", attempt, "pause", pause, "err", err)
		if err := sleep(ctx, pause); err != nil {
			return a, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
	}
}

// afterLost returns the error of an attempt after one whose answer was lost, since
// that one may have caused it. A deletion that finds nothing is a failed
// precondition, not an unknown id: the id was there when its ETag was read.
func afterLost(method string, err error) error {
	switch {
	case errors.Is(err, transport.ErrNotFound) && method == http.MethodDelete:
		return fmt.Errorf("%w (%w): nothing is there now: %v", transport.ErrPrecondition, errAnswerLost, err)
	case errors.Is(err, transport.ErrPrecondition), errors.Is(err, transport.ErrNotFound):
		return fmt.Errorf("%w (%w)", err, errAnswerLost)
	}
	return err
}

// attempt sends a request once.
func (c *Client) attempt(ctx context.Context, r request) (answer, error) {
	limited, cancel := context.WithTimeout(ctx, c.opts.Timeout+r.extra)
	defer cancel()
	header, err := c.tokens.get(limited)
	if err != nil {
		return answer{}, lineError(ctx, limited, err, nil)
	}
	req, err := c.newRequest(limited, r, header)
	if err != nil {
		return answer{}, err
	}
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, lineError(ctx, limited, err, transport.ErrLost)
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is not needed
	limit := r.limit
	if limit == 0 {
		limit = maxAnswer
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	c.log.Debug("request", "method", r.method, "path", r.path, "status", resp.StatusCode, "bytes", len(body), "took", time.Since(began))
	switch {
	case err != nil:
		return answer{}, lineError(ctx, limited, err, transport.ErrLost)
	case int64(len(body)) > limit:
		return answer{}, fmt.Errorf("%w: an answer of over %d bytes", transport.ErrProtocol, limit)
	case r.also != 0 && resp.StatusCode == r.also:
	case isRedirect(resp.StatusCode):
		return answer{}, fmt.Errorf("%w: the answer is a redirect, which is not followed; check the hub's host name and the proxies before it: %w",
			transport.ErrProtocol, statusError(resp.StatusCode, resp.Header, body, c.opts.Now()))
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		if resp.StatusCode == http.StatusUnauthorized {
			c.tokens.refused(header)
		}
		return answer{}, statusError(resp.StatusCode, resp.Header, body, c.opts.Now())
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// lineError returns the error of an attempt without an answer: the caller's context
// ended, the attempt's own, or the connection.
func lineError(ctx, limited context.Context, err, otherwise error) error {
	var untrusted *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %v", ctx.Err(), err)
	case limited.Err() != nil:
		return fmt.Errorf("%w: %v", transport.ErrStalled, err)
	case errors.Is(err, transport.ErrUntrusted), errors.Is(err, transport.ErrUnavailable), errors.Is(err, transport.ErrProtocol), otherwise == nil:
		return err
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: %w", transport.ErrUntrusted, err)
	}
	return fmt.Errorf("%w: %w", otherwise, err)
}
