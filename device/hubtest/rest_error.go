package hubtest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/fault"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// codeName is the name that services know an error code by.
func codeName(code int) string {
	names := map[int]string{
		400000: "GenericBadRequest", fault.Version: "InvalidProtocolVersion", fault.ResultCount: "DeviceInvalidResultCount",
		400003: "InvalidOperation", fault.Invalid: "ArgumentInvalid", fault.Null: "ArgumentNull", fault.Format: "IotHubFormatError", codeTwice: "DeviceDefinedMultipleTimes",
		401000: "GenericUnauthorized", 401001: "IotHubNotFound", fault.Unauthorized: "IotHubUnauthorizedAccess", 401003: "IotHubUnauthorized",
		403000: "GenericForbidden", 403001: "IotHubSuspended", 403002: "IotHubQuotaExceeded", fault.Oversize: "DeviceModelMaxPropertiesExceeded",
		fault.NoDevice: "DeviceNotFound", fault.NoModule: "ModuleNotFound", fault.NotOnline: "DeviceNotOnline", fault.ClosedRemotely: "DeviceConnectionClosedRemotely",
		fault.Exists: "DeviceAlreadyExists", fault.ModuleExists: "ModuleAlreadyExistsOnDevice",
		fault.Precondition: "PreconditionFailed", fault.TooLarge: "MessageTooLarge",
		429001: "ThrottlingException", 429002: "ThrottleBacklogLimitExceeded",
		500001: "ServerError", 503001: "ServiceUnavailable", 503003: "PartitionNotFound", fault.NoAnswer: "GatewayTimeout",
	}
	if name := names[code]; name != "" {
		return name
	}
	return "Generic" + strings.ReplaceAll(http.StatusText(code/1000), " ", "")
}

// restBody words an error for a service. There are two dialects: twins and the
// registry have "ErrorCode:Name;text", direct methods JSON within the JSON. The
// tracking id of a failed precondition is the request's own id.
func (h *Hub) restBody(f *fault.Fault, req restRequest, nested bool) []byte {
	h.mu.Lock()
	h.faultCount++
	tracking := fmt.Sprintf("%032x", h.faultCount)
	h.mu.Unlock()
	if f.Code == fault.Precondition {
		tracking = strings.ReplaceAll(req.requestID, "-", "")
	}
	if !f.Ungated {
		tracking += "-G:0"
	}
	now := req.now
	tracking += "-TimeStamp:" + now.UTC().Format("01/02/2006 15:04:05")
	message := "ErrorCode:" + codeName(f.Code) + ";" + strings.ReplaceAll(f.Text, ";", ",") // clients split here
	exception := "Tracking ID:" + tracking
	if nested {
		message, exception = string(nestedMessage(f, tracking, now)), ""
	}
	b := jsondoc.AppendText([]byte(`{"Message":`), message)
	b = jsondoc.AppendText(append(b, `,"ExceptionMessage":`...), exception)
	return append(b, '}')
}

func nestedMessage(f *fault.Fault, tracking string, now time.Time) []byte {
	b := strconv.AppendInt([]byte(`{"errorCode":`), int64(f.Code), 10)
	b = jsondoc.AppendText(append(b, `,"trackingId":`...), tracking)
	b = jsondoc.AppendText(append(b, `,"message":`...), f.Text)
	info := f.Info
	if info == "" {
		info = "{}"
	}
	b = append(append(b, `,"info":`...), info...)
	b = append(b, `,"timestampUtc":"`...)
	return append(append(b, now.UTC().Format(fault.Time)...), `"}`...)
}
