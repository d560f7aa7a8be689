// Package linefail says in the words of package transport why a line failed,
// the same for every protocol.
package linefail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Line says why reading or writing failed.
func Line(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", transport.ErrStalled, errtext.Bare("transport", err))
	case certificateRefused(err):
		return fmt.Errorf("%w: %w", transport.ErrUnauthorized, errtext.Bare("transport", err))
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the other end closed it: %w", transport.ErrLost, errtext.Bare("transport", err))
	}
	return fmt.Errorf("%w: %w", transport.ErrLost, errtext.Bare("transport", err))
}

// Stream says why no stream was opened; ctx is what bounded the attempt.
func Stream(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		err = fmt.Errorf("transport: %w: %w", end, errtext.Bare("transport", err))
	}
	switch {
	case hasSentinel(err):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", transport.ErrClosed, errtext.Bare("transport", err))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", transport.ErrStalled, errtext.Bare("transport", err))
	case certificateRefused(err):
		return fmt.Errorf("%w: %w", transport.ErrUnauthorized, errtext.Bare("transport", err))
	}
	return fmt.Errorf("%w: %w", transport.ErrUnavailable, errtext.Bare("transport", err))
}

// Dial is a login that its context ended: with a deadline, the hub did not
// answer in the time it was given.
func Dial(end error) error {
	if errors.Is(end, context.DeadlineExceeded) {
		return fmt.Errorf("%w: login: %w", transport.ErrStalled, end)
	}
	return fmt.Errorf("%w: login: %w", transport.ErrClosed, end)
}

// Receive is a connection that the context of Receive ended.
func Receive(end error) error {
	return fmt.Errorf("%w: receive: %w", transport.ErrClosed, end)
}

// hasSentinel reports whether a stream's error speaks the contract's words
// already: a proxy that refuses its user, say.
func hasSentinel(err error) bool {
	for _, s := range []error{
		transport.ErrClosed, transport.ErrLost, transport.ErrStalled, transport.ErrProtocol,
		transport.ErrUnauthorized, transport.ErrUntrusted, transport.ErrUnavailable, transport.ErrThrottled, transport.ErrUnsupported,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// certificateRefused reports whether the hub ended TLS over the client's
// certificate: with TLS 1.3 that is known only at the first read. The type of
// such an alert is not exported by crypto/tls; its operation and text are.
func certificateRefused(err error) bool {
	op, ok := errs.As[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return false
	}
	text := op.Err.Error()
	return strings.Contains(text, "certificate") || strings.Contains(text, "access denied")
}
