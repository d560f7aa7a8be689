package amqpwire

import (
	"errors"
	"fmt"
)

var (
	// ErrProtocol says that the peer broke AMQP 1.0 in a way that ends the
	// connection.
	ErrProtocol = errors.New("peer broke AMQP 1.0")
	// ErrIdle says that the client was silent for longer than it may be.
	ErrIdle = errors.New("client was silent for longer than the idle time-out")
	// ErrLogin says that a SASL login was refused.
	ErrLogin = errors.New("SASL login was refused")
	// ErrMessage says that bytes are no AMQP message, or one over the limits.
	ErrMessage = errors.New("malformed AMQP message")
	// ErrGone says that a link cannot send: it is not attached, or no longer.
	ErrGone = errors.New("AMQP link is not attached")
	// ErrTooLarge says that a message is larger than its receiver takes.
	ErrTooLarge = errors.New("AMQP message too large")
	// ErrFull says that too much waits for the client's credit already.
	ErrFull = errors.New("AMQP link gives no credit, and enough waits for it")
)

// Conditions that the engine itself gives (AMQP 1.0 part 2, section 2.8).
const (
	condDecode      = "amqp:decode-error"
	condFraming     = "amqp:connection:framing-error"
	condNotAllowed  = "amqp:not-allowed"
	condInvalid     = "amqp:invalid-field"
	condNoCode      = "amqp:not-implemented"
	condResources   = "amqp:resource-limit-exceeded"
	condWindow      = "amqp:session:window-violation"
	condHandleInUse = "amqp:session:handle-in-use"
	condUnattached  = "amqp:session:unattached-handle"
	condNoCredit    = "amqp:link:transfer-limit-exceeded"
	condSize        = "amqp:link:message-size-exceeded"
	condFrameSize   = "amqp:frame-size-too-small"
)

// An Error is why a link, a session or a connection ended, or a message was
// rejected, as it goes over the wire. Its info map is neither read nor written.
type Error struct {
	Condition   string // a symbol, such as "amqp:not-found"; never empty
	Description string // for people or, from an IoT hub, JSON; may be empty
}

// Error is the condition and the description.
func (e *Error) Error() string {
	if e.Description == "" {
		return e.Condition
	}
	return e.Condition + ": " + e.Description
}

// brief is the error without its description.
func (e *Error) brief() *Error {
	if e == nil {
		return nil
	}
	return &Error{Condition: e.Condition}
}

// errorf makes an Error of the engine's own.
func errorf(condition, format string, args ...any) *Error {
	return &Error{Condition: condition, Description: fmt.Sprintf(format, args...)}
}

const descError = 0x1d

// appendError appends an error, or null for none.
func appendError(b []byte, e *Error) []byte {
	if e == nil {
		return append(b, codeNull)
	}
	b, at := openDescribed(b, descError)
	b = appendSymbol(b, e.Condition)
	b = appendText(b, e.Description)
	b = append(b, codeNull) // info
	return closeList(b, at, 3)
}

// takeError takes a field that is an error.
func takeError(f *fields, name string) *Error {
	v, _, present := f.next(name)
	if !present {
		return nil
	}
	list, ok := v.list()
	if !ok || v.descriptor != descError {
		f.fail(name, "is no error")
		return nil
	}
	e := &Error{Condition: must(&list, "condition", value.text)}
	e.Description = or(&list, "description", value.text, "")
	if list.wrong != "" {
		f.fail(name, "whose "+list.wrong)
		return nil
	}
	return e
}

// A State is how a message ended.
type State byte

// The states, by their descriptors on the wire.
const (
	Accepted State = 0x24
	Rejected State = 0x25
	Released State = 0x26
	Modified State = 0x27 // given back changed; what changed is not read
)

// An Outcome is how a message ended, and of a rejected one why.
type Outcome struct {
	State State
	Error *Error // of Rejected; nil says nothing
}

// appendOutcome appends a delivery state.
func appendOutcome(b []byte, o Outcome) []byte {
	b = append(b, codeDescribed, codeSmallUlong, byte(o.State))
	if o.State != Rejected {
		return append(b, codeList0)
	}
	b, at := openList(b)
	return closeList(appendError(b, o.Error), at, 1)
}

// takeOutcome takes a field that is a delivery state; ok is false for one that
// settles nothing, and for none.
func takeOutcome(f *fields, name string) (o Outcome, ok bool) {
	v, _, present := f.next(name)
	if !present {
		return Outcome{}, false
	}
	list, isList := v.list()
	if !isList || !v.described {
		f.fail(name, "is no delivery state")
		return Outcome{}, false
	}
	switch v.descriptor {
	case uint64(Accepted), uint64(Released), uint64(Modified):
		return Outcome{State: State(v.descriptor)}, true
	case uint64(Rejected):
		o := Outcome{State: Rejected, Error: takeError(&list, "error")}
		if list.wrong != "" {
			f.fail(name, "whose "+list.wrong)
			return Outcome{}, false
		}
		return o, true
	}
	return Outcome{}, false // received, or one of transactions
}
