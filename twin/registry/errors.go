package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// Errors that only a back end meets, for errors.Is. Each also wraps the
// *transport.StatusError.
var (
	// ErrExists reports that the id is registered already (409).
	ErrExists = errors.New("registry: already registered")
	// ErrOffline reports that the device is not connected, does not listen to
	// methods, or disconnected before it answered (404103, 404104). It does not
	// match transport.ErrNotFound, since the hub knows the device.
	ErrOffline = errors.New("registry: device is not connected, or does not listen to methods")
	// ErrNoAnswer reports that the device did not answer a method in time
	// (504101). Whether it did what was asked is unknown.
	ErrNoAnswer = errors.New("registry: device did not answer in time")
)

// A refusal is a StatusError that matches one of this package's errors too. Its
// text leaves out their prefix, since every error of a Client begins with it.
type refusal struct {
	kind   error
	status *transport.StatusError
}

// Error returns both texts.
func (r *refusal) Error() string {
	return strings.TrimPrefix(r.kind.Error(), "registry: ") + ": " + r.status.Error()
}

// Unwrap returns both errors.
func (r *refusal) Unwrap() []error { return []error{r.kind, r.status} }

// Codes that say more than their status.
const (
	codeNotOnline = 404103
	codeWentAway  = 404104
	codeNoAnswer  = 504101
)

// statusError reads an error of the hub. Errors of the registry have the form
// {"Message":"ErrorCode:Name;text","ExceptionMessage":"Tracking ID:…"}. Those of
// methods and of newer hubs have JSON in their Message. The header
// iothub-errorcode names the error as well.
func statusError(status int, header http.Header, body []byte, now time.Time) error {
	var outer struct {
		Message, ExceptionMessage string
		ErrorCode                 json.RawMessage // only of hubs that use no envelope
	}
	inner := body
	if json.Unmarshal(body, &outer) == nil && outer.Message != "" && outer.ErrorCode == nil {
		inner = []byte(outer.Message)
		if !strings.HasPrefix(outer.Message, "{") {
			inner = plainError(outer.Message, outer.ExceptionMessage)
		}
	}
	e := transport.NewStatusError(status, inner)
	if e.Code == 0 {
		e.Code = codeOf(header.Get("Iothub-Errorcode"))
	}
	if e.Code/1000 != status { // a code of another status is wrong
		e.Code = 0
	}
	e.RetryAfter = retryAfter(header.Get("Retry-After"), now)
	switch {
	case status == http.StatusConflict:
		return &refusal{ErrExists, e}
	case e.Code == codeNotOnline, e.Code == codeWentAway:
		return &refusal{ErrOffline, e}
	case e.Code == codeNoAnswer:
		return &refusal{ErrNoAnswer, e}
	}
	return e
}

// plainError turns "ErrorCode:Name;text" into the JSON that NewStatusError reads.
func plainError(message, exception string) []byte {
	code := 0
	var text []string
	for field := range strings.SplitSeq(message, ";") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(field), "ErrorCode:"); ok {
			code = codeOf(name)
			field = name
		}
		text = append(text, strings.TrimSpace(field))
	}
	_, tracking, _ := strings.Cut(exception, "Tracking ID:")
	b, err := json.Marshal(map[string]any{
		"errorCode": code, "message": strings.Join(text, ": "), "trackingId": strings.TrimSpace(tracking),
	})
	if err != nil { // strings and a number always encode
		return nil
	}
	return b
}

// codeOf returns the number of an error code that is a name or a number, or 0 if
// it is unknown.
func codeOf(name string) int {
	if n, err := strconv.Atoi(name); err == nil {
		return n
	}
	codes := map[string]int{
		"InvalidProtocolVersion": 400001, "DeviceInvalidResultCount": 400002, "InvalidOperation": 400003,
		"ArgumentInvalid": 400004, "ArgumentNull": 400005, "IotHubFormatError": 400006, "BulkRegistryOperationFailure": 400013,
		"IotHubNotFound": 401001, "IotHubUnauthorizedAccess": 401002, "IotHubUnauthorized": 401003,
		"IotHubSuspended": 403001, "IotHubQuotaExceeded": 403002, "DeviceModelMaxPropertiesExceeded": 403100,
		"DeviceNotFound": 404001, "ModuleNotFound": 404010, "DeviceNotOnline": codeNotOnline, "DeviceConnectionClosedRemotely": codeWentAway,
		"DeviceAlreadyExists": 409001, "ModuleAlreadyExistsOnDevice": 409301,
		"PreconditionFailed": 412001, "MessageTooLarge": 413001, "TooManyDevices": 413002, "TooManyModulesOnDevice": 413003,
		"ThrottlingException": 429001, "ThrottleBacklogLimitExceeded": 429002, "ThrottlingBacklogTimeout": 429003,
		"ServerError": 500001, "ServiceUnavailable": 503001, "GatewayTimeout": codeNoAnswer,
	}
	return codes[name]
}

// retryAfter reads a Retry-After: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
