package amqp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A ConditionError is why the hub ended a link, a session or the connection, or
// refused to begin it. It matches one sentinel of package transport: by the
// hub's six-digit code where that is more precise, else by the condition.
type ConditionError struct {
	// Condition is AMQP's or the hub's symbol, of at most 256 bytes, such as
	// "amqp:unauthorized-access".
	Condition string
	// Code is the hub's finer error code, such as 401003. 0 when not given.
	Code int
	// Message is the hub's text, of at most 256 bytes. Empty when not given.
	Message string
	// TrackingID is what Microsoft's support asks for, of at most 256 bytes. Empty
	// when not given.
	TrackingID string
}

// conditionError reads the hub's word, whose description may be JSON.
func conditionError(e *amqp.Error) *ConditionError {
	s := transport.NewStatusError(0, errorBody(e.Description))
	return &ConditionError{Condition: cut(string(e.Condition)), Code: s.Code, Message: cut(s.Message), TrackingID: cut(s.TrackingID)}
}

// Error returns condition, code, text and tracking id.
func (e *ConditionError) Error() string {
	s := "amqp: hub ended it: " + escape(e.Condition)
	if e.Code != 0 {
		s += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	if e.TrackingID != "" {
		s += fmt.Sprintf(" [tracking id %q]", e.TrackingID)
	}
	if e.sentinel() == transport.ErrUnauthorized {
		s += "; check the key, token or certificate, that the device exists and is not disabled, and the clock"
	}
	return s
}

// Is matches the sentinel.
func (e *ConditionError) Is(target error) bool { return target == e.sentinel() }

func (e *ConditionError) sentinel() error {
	switch status := e.Code / 1000; {
	case status == 429:
		return transport.ErrThrottled
	case status >= 500 && status <= 599:
		return transport.ErrUnavailable
	}
	switch e.Condition {
	case "amqp:unauthorized-access", "amqp:not-found", "amqp:resource-deleted":
		return transport.ErrUnauthorized // not-found is a device that is not there
	case "amqp:resource-limit-exceeded", "com.microsoft:quota-exceeded":
		return transport.ErrQuota
	case "com.microsoft:device-container-throttled":
		return transport.ErrThrottled
	case "amqp:internal-error", "amqp:resource-locked", "amqp:link:detach-forced",
		"com.microsoft:timeout", "com.microsoft:iot-hub-suspended", "com.microsoft:iot-hub-not-found-error":
		return transport.ErrUnavailable
	case "amqp:not-implemented":
		return transport.ErrUnsupported
	case "amqp:link:message-size-exceeded", "com.microsoft:argument-error", "com.microsoft:argument-out-of-range":
		return transport.ErrRejected
	case "amqp:not-allowed", "amqp:decode-error", "amqp:invalid-field", "amqp:illegal-state", "amqp:frame-size-too-small",
		"amqp:connection:framing-error", "amqp:session:window-violation", "amqp:session:errant-link",
		"amqp:session:handle-in-use", "amqp:session:unattached-handle", "amqp:link:transfer-limit-exceeded":
		return transport.ErrProtocol
	}
	// The hub's own reasons: a newer connection, maintenance, what nobody knows.
	return transport.ErrLost
}

// errorBody is a description, be it the hub's JSON or plain text, in the form of
// the hub's error bodies: so plain text is bounded as they are.
func errorBody(text string) []byte {
	if strings.HasPrefix(text, "{") {
		return []byte(text)
	}
	b, _ := json.Marshal(map[string]string{"message": text}) // never fails for a text
	return b
}

// tooManyTokens is IotHubMaxCbsTokenExceeded: the connection takes no more.
const tooManyTokens = 403005

// tokenRefused is a put-token that was not answered with success.
func tokenRefused(status int, text string) error {
	e := transport.NewStatusError(status, errorBody(text))
	e.Message, e.TrackingID = cut(e.Message), cut(e.TrackingID)
	switch {
	case e.Code == tooManyTokens: // no fault of the token's
		return &tokenError{e, transport.ErrUnavailable}
	case errors.Is(e, transport.ErrThrottled), errors.Is(e, transport.ErrUnavailable), errors.Is(e, transport.ErrQuota):
		return fmt.Errorf("transport: hub did not take the token: %w", errtext.Bare("transport", e))
	}
	return &tokenError{e, transport.ErrUnauthorized}
}

// tokenError is a token that the hub refuses: whatever its status says of
// requests, a login has one meaning.
type tokenError struct {
	status *transport.StatusError
	means  error
}

func (e *tokenError) Error() string {
	return fmt.Sprintf("amqp: hub refused the token (%v): %v", errtext.Bare("transport", e.status), errtext.Bare("transport", e.means))
}

func (e *tokenError) Is(target error) bool { return target == e.means }

func (e *tokenError) As(target any) bool {
	t, ok := target.(**transport.StatusError)
	if ok {
		*t = e.status
	}
	return ok
}

// A word is what the hub says of telemetry that it does not take, as a Response has
// it. The zero word says that it has the message.
type word struct {
	status int
	body   []byte
}

// Statuses of a word.
const (
	statusRejected    = 400
	statusRefused     = 401
	statusQuota       = 403
	statusNotFound    = 404
	statusTooLarge    = 413
	statusThrottled   = 429
	statusUnavailable = 503
)

// codeQuota is IotHubQuotaExceeded.
const codeQuota = 403002

// forGood reports whether the same message will never be taken.
func (w word) forGood() bool { return w.status == statusRejected || w.status == statusTooLarge }

// word returns the condition in the form of a Response. A code that has the status
// of a word is more precise than the condition.
func (e *ConditionError) word() word {
	code := e.Code
	if e.Condition == "com.microsoft:quota-exceeded" && code == 0 {
		code = codeQuota
	}
	text := e.Message
	if text == "" {
		text = e.Condition
	}
	b, _ := json.Marshal(struct { // never fails for these
		ErrorCode  int    `json:"errorCode,omitempty"`
		Message    string `json:"message,omitempty"`
		TrackingID string `json:"trackingId,omitempty"`
	}{code, text, e.TrackingID})
	return word{e.status(code), b}
}

func (e *ConditionError) status(code int) int {
	switch status := code / 1000; {
	case code == codeQuota:
		return statusQuota
	case status == statusRejected, status == statusRefused, status == statusNotFound, status == statusTooLarge,
		status == statusThrottled, status >= 500 && status <= 599:
		return status
	}
	switch e.Condition {
	case "amqp:link:message-size-exceeded":
		return statusTooLarge
	case "amqp:not-allowed", "amqp:decode-error", "amqp:invalid-field", "amqp:not-implemented":
		return statusRejected
	case "amqp:resource-limit-exceeded":
		return statusThrottled
	case "amqp:not-found", "amqp:resource-deleted":
		return statusNotFound
	}
	switch e.sentinel() {
	case transport.ErrRejected:
		return statusRejected
	case transport.ErrUnauthorized:
		return statusRefused
	case transport.ErrThrottled:
		return statusThrottled
	}
	return statusUnavailable
}

// linkWord returns in the form of a Response why a link has ended, or was not
// attached.
func linkWord(err error) word {
	var said *amqp.Error
	if errors.As(err, &said) {
		return conditionError(said).word()
	}
	return word{statusUnavailable, errorBody(escape(err.Error()))}
}
