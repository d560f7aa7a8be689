package registry

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// The pauses between attempts: uniform in [d/2, d], d doubling.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	// longestWish is the longest Retry-After that a client waits for. The caller
	// gets the error of a longer one.
	longestWish = 5 * time.Minute
)

// unperformed reports whether the hub certainly did not perform the request: it
// throttled it, or no connection was opened.
func unperformed(err error) bool {
	var status *transport.StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusTooManyRequests
	}
	return errors.Is(err, transport.ErrUnavailable)
}

// passing reports whether another attempt may succeed.
func passing(err error) bool {
	var status *transport.StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	return errors.Is(err, transport.ErrUnavailable) || errors.Is(err, transport.ErrLost) || errors.Is(err, transport.ErrStalled)
}

// pause returns whether a request is sent again after an error, and after what time.
func (c *Client) pause(ctx context.Context, s safety, attempt int, err error) (time.Duration, bool) {
	if ctx.Err() != nil || attempt >= c.opts.MaxAttempts || !passing(err) || s == onceOnly && !unperformed(err) {
		return 0, false
	}
	d := min(firstPause<<min(attempt-1, 10), lastPause)
	d = d/2 + rand.N(d/2+1)
	var status *transport.StatusError
	if errors.As(err, &status) {
		d = max(d, status.RetryAfter)
	}
	if end, ok := ctx.Deadline(); d > longestWish || ok && time.Until(end) < d {
		return 0, false // the hub's error says more than a context's end
	}
	return d, true
}

// sleep waits, or fails with the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
