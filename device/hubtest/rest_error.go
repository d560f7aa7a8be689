package hubtest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
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

// unknownID is the fault of an id that nobody has.
func unknownID(id string) *fault {
	if device, module, ok := strings.Cut(id, "/"); ok {
		return refuse(codeNoModule, "Module %s of device %s is not registered.", module, device)
	}
	return refuse(codeUnknown, "Device %s is not registered.", id)
}

// restBody words an error for a service. There are two dialects: twins and the
// registry have "ErrorCode:Name;text", direct methods JSON within the JSON.
func (h *Hub) restBody(f *fault, now time.Time, nested bool) []byte {
	h.mu.Lock()
	h.faultCount++
	n := h.faultCount
	h.mu.Unlock()
	tracking := fmt.Sprintf("%032x-G:0-TimeStamp:%s", n, now.UTC().Format("01/02/2006 15:04:05"))
	message := "ErrorCode:" + codeName(f.code) + ";" + strings.ReplaceAll(f.text, ";", ",") // clients split here
	exception := "Tracking ID:" + tracking
	if nested {
		message, exception = string(nestedMessage(f, tracking, now)), ""
	}
	b := appendText([]byte(`{"Message":`), message)
	b = appendText(append(b, `,"ExceptionMessage":`...), exception)
	return append(b, '}')
}

func nestedMessage(f *fault, tracking string, now time.Time) []byte {
	b := strconv.AppendInt([]byte(`{"errorCode":`), int64(f.code), 10)
	b = appendText(append(b, `,"trackingId":`...), tracking)
	b = appendText(append(b, `,"message":`...), f.text)
	info := f.info
	if info == "" {
		info = "{}"
	}
	b = append(append(b, `,"info":`...), info...)
	b = append(b, `,"timestampUtc":"`...)
	return append(append(b, now.UTC().Format(timeFormat)...), `"}`...)
}
