// Package fault holds why a hub refuses something: its codes and its words for
// them. It is pure.
package fault

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// Error codes that the hub answers with. The status is the code / 1000.
const (
	Version        = 400001 // InvalidProtocolVersion
	ResultCount    = 400002 // DeviceInvalidResultCount
	Invalid        = 400004 // ArgumentInvalid
	Null           = 400005 // ArgumentNull
	Format         = 400006 // IotHubFormatError
	Unauthorized   = 401002 // IotHubUnauthorizedAccess
	Refused        = 401003 // IotHubUnauthorized: what a refused device hears
	QueueDepth     = 403004 // DeviceMaximumQueueDepthExceeded
	TooManyTokens  = 403005 // IotHubMaxCbsTokenExceeded
	Oversize       = 403100 // DeviceModelMaxPropertiesExceeded
	NoRoute        = 404000
	NoDevice       = 404001 // DeviceNotFound
	NoAddress      = 404006 // LinkAddress not found, as traces show it
	NoModule       = 404010 // ModuleNotFound
	NotOnline      = 404103 // DeviceNotOnline
	ClosedRemotely = 404104 // DeviceConnectionClosedRemotely
	NotAllowed     = 405000
	Exists         = 409001 // DeviceAlreadyExists
	ModuleExists   = 409301 // ModuleAlreadyExistsOnDevice
	Precondition   = 412001 // PreconditionFailed
	TooLarge       = 413001 // MessageTooLarge
	BadAnswer      = 502000
	NoAnswer       = 504101 // GatewayTimeout
)

// A Fault is why the hub refuses a request.
type Fault struct {
	Code int
	Text string
	Info string // JSON, empty for none; REST adds it to errors of direct methods

	Ungated bool // the tracking id of REST names no gateway

	Pause int // seconds for which a device is asked to wait, or 0 for none
}

// Status is the HTTP-like status of the code.
func (f *Fault) Status() int { return f.Code / 1000 }

// New makes a fault with a text.
func New(code int, format string, args ...any) *Fault {
	return &Fault{Code: code, Text: fmt.Sprintf(format, args...)}
}

// UnknownID is the fault of an id that nobody has. Its whole text is the id, as
// recorded answers have it.
func UnknownID(id string) *Fault {
	code := NoDevice
	if strings.Contains(id, "/") {
		code = NoModule
	}
	return &Fault{Code: code, Text: id, Ungated: true}
}

// OtherTwin is the fault of a twin that is at another ETag: it names the device,
// for a module, too.
func OtherTwin(device string) *Fault {
	return &Fault{Code: Precondition, Text: "ETag mismatch for device ID '" + device + "'", Ungated: true}
}

// OtherIdentity is the fault of an identity that is at another ETag. The text
// has the numbers inside both.
func OtherIdentity(is uint64, etag string) *Fault {
	digits, err := base64.StdEncoding.DecodeString(etag)
	if n, bad := strconv.ParseUint(string(digits), 10, 64); err == nil && bad == nil {
		return New(Precondition, "Precondition failed: Device version did not match, existingVersion:%d newVersion:%d", is, n)
	}
	return New(Precondition, "PreconditionFailed, ETag may be invalid.")
}

// Time is how errors print a time. It has seven fractional digits, whatever they are.
const Time = "2006-01-02T15:04:05.0000000Z"

// Body is the fault as devices get it; n numbers the tracking id.
func (f *Fault) Body(n uint64, now time.Time) []byte {
	b := append([]byte(nil), `{"errorCode":`...)
	b = strconv.AppendInt(b, int64(f.Code), 10)
	b = append(b, `,"trackingId":`...)
	b = jsondoc.AppendText(b, fmt.Sprintf("%032x-G:0-TimeStamp:%s", n, now.UTC().Format("01/02/2006 15:04:05")))
	b = append(b, `,"message":`...)
	b = jsondoc.AppendText(b, f.Text)
	b = append(b, `,"timestampUtc":"`...)
	b = append(b, now.UTC().Format(Time)...)
	return append(b, `"}`...)
}

// Usual is the fault of hubtest.Fail.
func Usual(code int) *Fault {
	texts := map[int]string{
		401003: "IotHubUnauthorizedAccess", 403002: "IotHubQuotaExceeded", 404001: "DeviceNotFound",
		412001: "PreconditionFailed", 429001: "ThrottlingException", 500001: "ServerError",
		503001: "ServiceUnavailable",
	}
	text := texts[code]
	if text == "" {
		text = "Error"
	}
	return &Fault{Code: code, Text: "ErrorCode:" + text}
}
