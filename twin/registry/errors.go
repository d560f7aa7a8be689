package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// What only a back end meets, as errors.Is tells it; each comes with the
// *transport.StatusError.
var (
	// ErrExists says that there is such an identity already (409).
	ErrExists = errors.New("identity exists already")
	// ErrOffline says that the device is not connected, does not listen to
	// methods, or went away before it answered (404103, 404104). It is no
	// transport.ErrNotFound: the hub knows the device.
	ErrOffline = errors.New("device is not connected, or does not listen to methods")
	// ErrNoAnswer says that the device did not answer a method in time
	// (504101): whether it did what was asked is unknown.
	ErrNoAnswer = errors.New("device did not answer in time")
)

// Codes that say more than their status.
const (
	codeNotOnline = 404103
	codeWentAway  = 404104
	codeNoAnswer  = 504101
)

// statusError reads a hub's refusal. Errors of the registry come as
// {"Message":"ErrorCode:Name;text","ExceptionMessage":"Tracking ID:…"}; those of
// methods, and of newer hubs, have JSON in their Message; and the header
// iothub-errorcode names the error as well.
func statusError(status int, header http.Header, body []byte, now time.Time) error {
	var outer struct {
		Message, ExceptionMessage string
		ErrorCode                 json.RawMessage // stands inside, but for hubs that use no envelope
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
	if e.Code/1000 != status { // a code of another status says nothing true
		e.Code = 0
	}
	e.RetryAfter = retryAfter(header.Get("Retry-After"), now)
	switch {
	case status == http.StatusConflict:
		return fmt.Errorf("%w: %w", ErrExists, e)
	case e.Code == codeNotOnline, e.Code == codeWentAway:
		return fmt.Errorf("%w: %w", ErrOffline, e)
	case e.Code == codeNoAnswer:
		return fmt.Errorf("%w: %w", ErrNoAnswer, e)
	}
	return e
}

// plainError turns "ErrorCode:Name;text" into the JSON that NewStatusError
// reads, which also bounds the texts.
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

// codeOf is the number of an error code that comes as a name or a number; 0
// for one that is not known.
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

// retryAfter reads a pause in seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
