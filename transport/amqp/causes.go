package amqp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// loginError returns in the contract's words why a login failed.
func (l *line) loginError(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil { // go-amqp may have closed the stream then
		return linefail.Dial(end)
	}
	if cause := l.err(); cause != nil {
		return cause
	}
	return l.amqpError(err)
}

// amqpError returns in the contract's words why go-amqp gave up.
func (l *line) amqpError(err error) error {
	var said *amqp.Error
	if errors.As(err, &said) {
		return conditionError(said)
	}
	if cause := l.err(); cause != nil { // go-amqp does not wrap it
		return cause
	}
	if isOver(err) {
		return fmt.Errorf("%w: %w", transport.ErrLost, quotedError{err})
	}
	for _, sentinel := range []error{transport.ErrUnauthorized, transport.ErrThrottled, transport.ErrUnavailable, transport.ErrQuota, transport.ErrProtocol} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", transport.ErrProtocol, quotedError{err})
}

// detached returns in the contract's words why the hub ended a link.
func detached(said *amqpwire.Error) error {
	if said == nil {
		return fmt.Errorf("%w: the hub detached the link and gave no reason", transport.ErrLost)
	}
	return conditionError(remote(said))
}

// remote is what the hub said, as go-amqp has it. Nil stays nil.
func remote(said *amqpwire.Error) *amqp.Error {
	if said == nil {
		return nil
	}
	return &amqp.Error{Condition: amqp.ErrCond(said.Condition), Description: said.Description}
}

// isOver reports whether an error of go-amqp's is the end of a link, or of what
// it is on.
func isOver(err error) bool {
	var conn *amqp.ConnError
	var session *amqp.SessionError
	var link *amqp.LinkError
	return errors.As(err, &conn) || errors.As(err, &session) || errors.As(err, &link)
}

// maxText bounds what a hub's text may add to an error and so to a log.
const maxText = 256

// quotedError is an error of go-amqp's, which may hold a hub's text.
type quotedError struct{ error }

// Error is the error's text, cut, with what does not print escaped.
func (e quotedError) Error() string { return escape(e.error.Error()) }

func (e quotedError) Unwrap() error { return e.error }

// escape cuts a text and escapes what does not print, such as line breaks.
func escape(text string) string {
	quoted := strconv.Quote(cut(text))
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// cut cuts a text between two characters.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}
