package transport_test

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/transport"
)

func TestKindString(t *testing.T) {
	for kind, want := range map[transport.Kind]string{
		transport.Open:      "open",
		transport.Close:     "close",
		transport.Accepted:  "accepted",
		transport.Request:   "request",
		transport.Response:  "response",
		transport.Desired:   "desired",
		transport.Telemetry: "telemetry",
		transport.Method:    "method",
		transport.Incoming:  "incoming",
		transport.Settle:    "settle",
		transport.Ready:     "ready",
		0:                   "kind 0", // no frame has it: a forgotten Kind shows
		transport.Ready + 1: "kind 12",
		200:                 "kind 200",
	} {
		if got := kind.String(); got != want {
			t.Errorf("Kind(%d).String() = %q, want %q", uint8(kind), got, want)
		}
	}
}

// The zero of each field means none, so no kind, feature, operation or
// outcome is 0.
func TestFrameZero(t *testing.T) {
	if transport.Open == 0 || transport.TwinResponses == 0 || transport.GetTwin == 0 || transport.Complete == 0 {
		t.Error("a constant is 0, which means none")
	}
}
