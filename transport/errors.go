package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/errs"
)

// What can go wrong between a device and its hub, as errors.Is tells it. Each
// is matched through any wrapping; which of them are retried, and how fast, is
// the table in the documentation of package device.
var (
	// ErrClosed says that this side closed the connection.
	ErrClosed = errors.New("transport: connection closed by this device")
	// ErrLost says that the connection ended without a reason: the line, the
	// hub, or another client with the same identity, which the hub lets win.
	// Over MQTT they cannot be told apart.
	ErrLost = errors.New("transport: connection lost")
	// ErrStalled says that the hub showed no sign of life in time, or did not
	// take what was written.
	ErrStalled = errors.New("transport: hub does not answer; the line may be dead")
	// ErrProtocol says that the peer broke the protocol: is it a hub?
	ErrProtocol = errors.New("transport: peer broke the protocol; check that host and port are an IoT Hub's")
	// ErrUnauthorized says that the hub refused the identity: wrong or expired
	// key, token or certificate, disabled or unknown device, or a wrong clock.
	ErrUnauthorized = errors.New("transport: hub refused the identity; check device id, key or certificate, whether the device exists and is enabled, and the clock")
	// ErrUntrusted says that the certificate at the other end is not to be
	// believed: another CA than expected, another name, or a wrong clock.
	// Nothing was said to it.
	ErrUntrusted = errors.New("transport: the hub's certificate is not trusted; check the roots, the host name and the clock")
	// ErrUnavailable says that the hub cannot serve now (CONNACK 3, 5xx), or
	// that no line to it could be opened.
	ErrUnavailable = errors.New("transport: hub is unavailable")
	// ErrDisabled says that the hub answers a login as one that is unavailable
	// answers, which hubs do to a device that is disabled, too (CONNACK 3).
	ErrDisabled = errors.New("transport: the hub is unavailable, or the device is disabled")
	// ErrThrottled says that the hub asks for fewer requests (429).
	ErrThrottled = errors.New("transport: hub throttles; send less")
	// ErrQuota says that the day's message quota is used up (403002).
	ErrQuota = errors.New("transport: hub's daily quota is used up; it starts anew at midnight UTC")
	// ErrNotFound says that the hub does not know the twin: a 404, unless its
	// code speaks of another thing, such as a device that is offline (404103).
	ErrNotFound = errors.New("transport: hub does not know the twin")
	// ErrPrecondition says that a section's version was not the expected (412).
	ErrPrecondition = errors.New("transport: version precondition failed; get the twin again")
	// ErrRejected says that the hub refuses a request for good (400, 413, or
	// 403 with code 403100): the same request will never pass.
	ErrRejected = errors.New("transport: hub rejected the request for good")
	// ErrUnsupported says that this transport cannot speak what was asked.
	ErrUnsupported = errors.New("transport: not possible over this transport")
	// ErrBusy reports that a feature has no room for the frame now: its window or
	// its queue is full. Nothing of the frame was sent. A frame of kind Ready
	// follows when there is room.
	ErrBusy = errors.New("transport: no room for the frame; send it again after ready")
	// ErrMessage reports a message that no hub would take. The error names what.
	ErrMessage = errors.New("transport: not a message that a hub takes")
	// ErrTooLarge reports that a frame is larger than the transport carries. The
	// error names the limit.
	ErrTooLarge = errors.New("transport: frame too large for this transport; split it")
)

// A StatusError is the hub's own word on a request.
type StatusError struct {
	// Status is HTTP-like: 400, 429, 503, …
	Status int
	// Code is the hub's finer error code, such as 400004; 0 when not given.
	Code int
	// Message is the hub's text; empty when not given.
	Message string
	// TrackingID is what Microsoft's support asks for; empty when not given.
	TrackingID string
	// RetryAfter is the pause that the hub asks for, or 0 when not given. It does
	// not come in the body: see Frame.RetryAfter.
	RetryAfter time.Duration
}

// maxMessage bounds what a hub's text may add to an error and so to a log.
const maxMessage = 512

// NewStatusError reads the hub's error body. The status rules; a body that is
// empty or is not the hub's JSON adds nothing, and neither does a field of
// another type than the hub's. A text of more than 512 bytes is cut there, and
// "…" follows. The body is not kept.
func NewStatusError(status int, body []byte) *StatusError {
	e := &StatusError{Status: status}
	var b struct {
		ErrorCode  json.RawMessage `json:"errorCode"`
		Message    string          `json:"message"`
		TrackingID string          `json:"trackingId"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		// After a value of a wrong type, the other fields are read all the same.
		if _, wrongType := errs.As[*json.UnmarshalTypeError](err); !wrongType {
			return e
		}
	}
	if code, err := strconv.Atoi(strings.Trim(string(b.ErrorCode), `"`)); err == nil && code > 0 && code < 1e9 {
		e.Code = code
	}
	e.Message = clip(b.Message)
	e.TrackingID = clip(b.TrackingID)
	return e
}

// clip cuts a text between two characters.
func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	end := maxMessage
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// Error tells status, code, text and tracking id.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("transport: hub answered %d", e.Status)
	if e.Code != 0 {
		s += fmt.Sprintf(" (%d)", e.Code)
	}
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	if e.TrackingID != "" {
		s += fmt.Sprintf(" [tracking id %q]", e.TrackingID)
	}
	return s
}

// Hub codes that say more than their status, the first three digits.
const (
	codeQuota    = 403002 // IotHubQuotaExceeded
	codeOversize = 403100 // a twin section over its limit
	codeGeneric  = 404000 // GenericNotFound
	codeNoDevice = 404001 // DeviceNotFound
	codeNoModule = 404010 // ModuleNotFound
)

// Is matches the sentinel of the status, refined by the code at 403 and 404. It
// is one sentinel at most: a 403 without a known code has none, nor has a 404
// with a code of anything but a device or module that is not registered, nor a
// status that no hub is known to send.
func (e *StatusError) Is(target error) bool {
	switch {
	case e.Status == 400, e.Status == 413:
		return target == ErrRejected
	case e.Status == 401:
		return target == ErrUnauthorized
	case e.Status == 403 && e.Code == codeQuota:
		return target == ErrQuota
	case e.Status == 403 && e.Code == codeOversize:
		return target == ErrRejected
	case e.Status == 404:
		return target == ErrNotFound && e.unregistered()
	case e.Status == 412:
		return target == ErrPrecondition
	case e.Status == 429:
		return target == ErrThrottled
	case e.Status >= 500 && e.Status <= 599:
		return target == ErrUnavailable
	}
	return false
}

// unregistered says whether a 404 is about the identity. Most of the hub's codes
// are not: 404103 is a device that is offline, 404002 a job, 404012 a hub that
// fails over. Without a code, or with one of another status, the status rules.
func (e *StatusError) unregistered() bool {
	switch e.Code {
	case codeGeneric, codeNoDevice, codeNoModule:
		return true
	}
	return e.Code/1000 != e.Status
}
