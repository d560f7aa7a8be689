package device

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// What a caller of the client can meet besides the errors of packages twin,
// auth and transport.
var (
	// ErrNotStarted says that Connect or Run was not called yet, nor within 10 s
	// of a call that waits.
	ErrNotStarted = errors.New("device: the client was not started; call Connect or Run first")
	// ErrClosed says that the client was closed, or ended by wrong local
	// configuration; make a new one.
	ErrClosed = errors.New("device: the client is closed; make a new one")
	// ErrStillWanted says that the waiting for a report ended, not the
	// wanting: the report stays what this device wants the hub to have, and is
	// sent when the line allows it. The error matches the context's, too.
	ErrStillWanted = errors.New("device: the hub did not confirm the report yet; it stays wanted and will be sent")
)

// ErrListenerRuns is returned by Close where a listener, or OnState, still runs
// after 5 s. The client is closed all the same. The log names the listener's
// path.
var ErrListenerRuns = errors.New("device: closed, but a listener runs on; let it return when its context ends")

// A LeftError says that Shutdown closed the client before the hub had all that
// was reported and sent, and that no store holds the rest.
type LeftError struct {
	// Reports counts the reports that the hub is not known to have.
	Reports int
	// Messages counts the messages of SendLater that the hub is not known to have.
	Messages int
	// Err is why they did not reach it: the end of the context, or what failed.
	Err error
}

// Error says how many reports and messages are lost, and why.
func (e *LeftError) Error() string {
	if e.Messages > 0 {
		return fmt.Sprintf("device: %d reports and %d messages did not reach the hub: %v", e.Reports, e.Messages, errtext.Bare("device", e.Err))
	}
	return fmt.Sprintf("device: %d reports did not reach the hub: %v", e.Reports, errtext.Bare("device", e.Err))
}

// Unwrap returns Err.
func (e *LeftError) Unwrap() error { return e.Err }

// A PanicError is a panic of a listener or callback, contained.
type PanicError struct {
	// Value is what was panicked with.
	Value any
	// Stack is the goroutine's, as by runtime/debug.Stack.
	Stack []byte
}

// Error tells the value, not the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("device: listener panicked: %v", e.Value) }

// Unwrap gives the value, where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// errRenew ends a session whose token or certificate is to be replaced: no
// failure.
var errRenew = errors.New("device: the token or certificate is due for renewal")

// maxDisabled is how many logins in a row may be answered as by a hub that is
// unavailable, before the device is taken for disabled.
const maxDisabled = 4

// errMaybeDisabled says that waiting alone may not help.
var errMaybeDisabled = errors.New("device: the hub keeps answering that it is unavailable; check that the device is enabled")

// errNoCredential says that the credential itself failed: a file that is not
// there, a key in hardware that does not answer.
var errNoCredential = errors.New("device: the credential gave no token or certificate")

// errBadTwin says that a GET brought no usable twin.
var errBadTwin = errors.New("device: the hub answered with something that is not a whole twin")

// errUndecided says that the hub's answer to a report was lost, and no GET says
// what became of it.
var errUndecided = errors.New("device: the answer was lost, and no GET decides whether the hub has the report; get the twin")

// errNoAnswer says that a request timed out.
var errNoAnswer = fmt.Errorf("%w: a request was not answered in time", transport.ErrStalled)

// A pace is how fast a failure is tried again; the table stands in the
// package's documentation.
type pace uint8

const (
	paceNormal pace = iota // 1 s doubling to 2 min
	paceSlow               // 15 s doubling to 2 min
	paceClock              // every 5 s, no traffic
	paceEnd                // never before the first login: wrong local configuration
)

// paceOf decides on a failure to connect or to stay so.
func paceOf(err error) pace {
	switch {
	case errors.Is(err, transport.ErrUnauthorized):
		return paceSlow
	case errors.Is(err, errNoCredential) && errors.Is(err, auth.ErrInvalid):
		return paceSlow // a service, a file or hardware may do better later
	case errors.Is(err, auth.ErrInvalid):
		return paceEnd
	case errors.Is(err, auth.ErrClockImplausible):
		return paceClock
	case errors.Is(err, errMaybeDisabled), errors.Is(err, auth.ErrTokenExpired), errors.Is(err, transport.ErrQuota), untrusted(err),
		errors.Is(err, auth.ErrCertificateExpired), errors.Is(err, auth.ErrCertificateNotYetValid):
		return paceSlow
	}
	return paceNormal
}

// worthTelling reports whether a failure to connect ends a caller's Connect:
// what waiting alone will hardly mend. A dead line isn't.
func worthTelling(err error) bool {
	return paceOf(err) != paceNormal || errors.Is(err, errNoCredential)
}

// untrusted reports whether TLS did not believe the hub.
func untrusted(err error) bool {
	_, bad := errs.As[*tls.CertificateVerificationError](err)
	return bad || errors.Is(err, transport.ErrUntrusted)
}

// callTimeout is why a call without a deadline has ended.
type callTimeout time.Duration

// Error names the option.
func (t callTimeout) Error() string {
	return fmt.Sprintf("device: the hub's answer did not come within Options.CallTimeout, %v", time.Duration(t))
}

// contextError is what a call returns whose context ended: the context's
// error, and what kept the call waiting, if that is known.
func contextError(ctx context.Context, cause error) error {
	err := context.Cause(ctx)
	if !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), errtext.Bare("device", err))
	}
	if cause != nil {
		err = fmt.Errorf("%w; the last failure was: %w", err, cause)
	}
	return err
}
