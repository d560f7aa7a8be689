package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A ConnackError is a login that the hub refused, with MQTT's own code. It
// matches transport.ErrUnauthorized (codes 2, 4 and 5), ErrUnavailable (3) or
// ErrProtocol (all others).
type ConnackError struct {
	// Code is CONNACK's return code, 1 to 5 by MQTT 3.1.1.
	Code byte
}

// Error tells the code and what to do about it.
func (e *ConnackError) Error() string {
	return fmt.Sprintf("hub refused the login (CONNACK %d): %s", e.Code, e.advice())
}

func (e *ConnackError) advice() string {
	switch e.Code {
	case 1:
		return "it does not speak MQTT 3.1.1; check that host and port are an IoT Hub's"
	case 2:
		return "it does not take the client id; check the device id and the module id"
	case 3:
		return "it cannot serve now; try again later"
	case 4:
		return "user name or password are malformed; check the hub's host name and the token"
	case 5:
		return "not authorised; check the key, token or certificate, that the device exists and is not disabled, and the clock"
	}
	return "MQTT 3.1.1 has no such code; check that host and port are an IoT Hub's"
}

// Is matches the sentinel of the code.
func (e *ConnackError) Is(target error) bool {
	switch e.Code {
	case 2, 4, 5:
		return target == transport.ErrUnauthorized
	case 3:
		return target == transport.ErrUnavailable
	}
	return target == transport.ErrProtocol
}

// lineError says in the contract's words why reading or writing failed.
func lineError(err error) error {
	switch {
	case errors.Is(err, mqttwire.ErrMalformed), errors.Is(err, mqttwire.ErrTooLarge):
		return fmt.Errorf("%w: %w", transport.ErrProtocol, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", transport.ErrStalled, err)
	case certificateRefused(err):
		return fmt.Errorf("%w: %w", transport.ErrUnauthorized, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the other end closed it: %w", transport.ErrLost, err)
	}
	return fmt.Errorf("%w: %w", transport.ErrLost, err)
}

// streamError says in the contract's words why no stream was opened.
func streamError(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		err = fmt.Errorf("%w: %w", end, err)
	}
	switch {
	case hasSentinel(err):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", transport.ErrClosed, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", transport.ErrStalled, err)
	case certificateRefused(err):
		return fmt.Errorf("%w: %w", transport.ErrUnauthorized, err)
	}
	return fmt.Errorf("%w: %w", transport.ErrUnavailable, err)
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
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	text := op.Err.Error()
	return strings.Contains(text, "certificate") || strings.Contains(text, "access denied")
}

// dialEnded is a login that its context ended: with a deadline, the hub did not
// answer in the time it was given.
func dialEnded(end error) error {
	if errors.Is(end, context.DeadlineExceeded) {
		return fmt.Errorf("%w: login: %w", transport.ErrStalled, end)
	}
	return fmt.Errorf("%w: login: %w", transport.ErrClosed, end)
}

// receiveEnded is a connection that the context of Receive ended.
func receiveEnded(end error) error {
	return fmt.Errorf("%w: receive: %w", transport.ErrClosed, end)
}
