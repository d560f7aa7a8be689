package hubtest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Error codes that only services and methods meet.
const (
	codeVersion        = 400001 // InvalidProtocolVersion
	codeResultCount    = 400002 // DeviceInvalidResultCount
	codeNull           = 400005 // ArgumentNull
	codeUnauthorized   = 401002 // IotHubUnauthorizedAccess
	codeNoRoute        = 404000
	codeNoModule       = 404010 // ModuleNotFound
	codeQueueDepth     = 403004 // DeviceMaximumQueueDepthExceeded
	codeNotOnline      = 404103 // DeviceNotOnline
	codeClosedRemotely = 404104 // DeviceConnectionClosedRemotely
	codeNotAllowed     = 405000
	codeExists         = 409001 // DeviceAlreadyExists
	codeModuleExists   = 409301 // ModuleAlreadyExistsOnDevice
	codeTooLarge       = 413001 // MessageTooLarge
	codeBadAnswer      = 502000
	codeNoAnswer       = 504101 // GatewayTimeout
)

// codeName is the name that services know an error code by.
func codeName(code int) string {
	names := map[int]string{
		400000: "GenericBadRequest", codeVersion: "InvalidProtocolVersion", codeResultCount: "DeviceInvalidResultCount",
		400003: "InvalidOperation", codeInvalid: "ArgumentInvalid", codeNull: "ArgumentNull", codeFormat: "IotHubFormatError",
		401000: "GenericUnauthorized", 401001: "IotHubNotFound", codeUnauthorized: "IotHubUnauthorizedAccess", 401003: "IotHubUnauthorized",
		403000: "GenericForbidden", 403001: "IotHubSuspended", 403002: "IotHubQuotaExceeded", codeOversize: "DeviceModelMaxPropertiesExceeded",
		codeUnknown: "DeviceNotFound", codeNoModule: "ModuleNotFound", codeNotOnline: "DeviceNotOnline", codeClosedRemotely: "DeviceConnectionClosedRemotely",
		codeExists: "DeviceAlreadyExists", codeModuleExists: "ModuleAlreadyExistsOnDevice",
		codePrecondition: "PreconditionFailed", codeTooLarge: "MessageTooLarge",
		429001: "ThrottlingException", 429002: "ThrottleBacklogLimitExceeded",
		500001: "ServerError", 503001: "ServiceUnavailable", 503003: "PartitionNotFound", codeNoAnswer: "GatewayTimeout",
	}
	if name := names[code]; name != "" {
		return name
	}
	return "Generic" + strings.ReplaceAll(http.StatusText(code/1000), " ", "")
}

// unknownID is the fault of an id that nobody has. Its whole text is the id, as
// recorded answers have it.
func unknownID(id string) *fault {
	code := codeUnknown
	if strings.Contains(id, "/") {
		code = codeNoModule
	}
	return &fault{code: code, text: id, ungated: true}
}

// otherTwin is the fault of a twin that is at another ETag: it names the device,
// for a module, too.
func otherTwin(device string) *fault {
	return &fault{code: codePrecondition, text: "ETag mismatch for device ID '" + device + "'", ungated: true}
}

// otherIdentity is the fault of an identity that is at another ETag. The text
// has the numbers inside both.
func otherIdentity(is uint64, etag string) *fault {
	digits, err := base64.StdEncoding.DecodeString(etag)
	if n, bad := strconv.ParseUint(string(digits), 10, 64); err == nil && bad == nil {
		return refuse(codePrecondition, "Precondition failed: Device version did not match, existingVersion:%d newVersion:%d", is, n)
	}
	return refuse(codePrecondition, "PreconditionFailed, ETag may be invalid.")
}

// restBody words an error for a service. There are two dialects: twins and the
// registry have "ErrorCode:Name;text", direct methods JSON within the JSON. The
// tracking id of a failed precondition is the request's own id.
func (h *Hub) restBody(f *fault, req restRequest, nested bool) []byte {
	h.mu.Lock()
	h.faultCount++
	tracking := fmt.Sprintf("%032x", h.faultCount)
	h.mu.Unlock()
	if f.code == codePrecondition {
		tracking = strings.ReplaceAll(req.requestID, "-", "")
	}
	if !f.ungated {
		tracking += "-G:0"
	}
	now := req.now
	tracking += "-TimeStamp:" + now.UTC().Format("01/02/2006 15:04:05")
	message := "ErrorCode:" + codeName(f.code) + ";" + strings.ReplaceAll(f.text, ";", ",") // clients split here
	exception := "Tracking ID:" + tracking
	if nested {
		message, exception = string(nestedMessage(f, tracking, now)), ""
	}
	b := jsondoc.AppendText([]byte(`{"Message":`), message)
	b = jsondoc.AppendText(append(b, `,"ExceptionMessage":`...), exception)
	return append(b, '}')
}

func nestedMessage(f *fault, tracking string, now time.Time) []byte {
	b := strconv.AppendInt([]byte(`{"errorCode":`), int64(f.code), 10)
	b = jsondoc.AppendText(append(b, `,"trackingId":`...), tracking)
	b = jsondoc.AppendText(append(b, `,"message":`...), f.text)
	info := f.info
	if info == "" {
		info = "{}"
	}
	b = append(append(b, `,"info":`...), info...)
	b = append(b, `,"timestampUtc":"`...)
	return append(append(b, now.UTC().Format(errorTime)...), `"}`...)
}
