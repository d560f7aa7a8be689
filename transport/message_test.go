package transport_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// TestMessageSize: the vectors of what hubs count, and each field of a message.
func TestMessageSize(t *testing.T) {
	vector := func(body int) transport.Message {
		return transport.Message{
			Body: make([]byte, body), ContentType: "application/json", ContentEncoding: "utf-8", ID: "m-1",
			Properties: map[string]string{"k": "v"},
		}
	}
	for _, c := range []struct {
		m    transport.Message
		want int
	}{
		{transport.Message{}, 0},
		{vector(262_110), 262_136},
		{vector(262_119), 262_145},
		{transport.Message{CorrelationID: "abc", Component: "de", Output: "f"}, 6},
		{transport.Message{Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, len("iothub-creation-time-utc2026-01-01T00:00:00Z")},
		{transport.Message{Properties: map[string]string{"é": "ü"}, Urgent: true}, 4},
	} {
		if got := c.m.Size(); got != c.want {
			t.Errorf("%.200v has %d bytes, want %d", c.m, got, c.want)
		}
	}
}

func TestMessageCheck(t *testing.T) {
	id := auth.Identity{Host: "h.azure-devices.net", DeviceID: "dev1"}
	if transport.MaxMessage != 262_144 {
		t.Errorf("MaxMessage is %d", transport.MaxMessage)
	}
	for _, good := range []transport.Message{
		{},
		{Body: make([]byte, transport.MaxMessage)},
		{ID: "a", ContentType: "é", Properties: map[string]string{"": "😀", "$x": "%"}},
		{Properties: map[string]string{"k": strings.Repeat("x", 65_535-len("devices/dev1/messages/events/k="))}},
	} {
		if err := good.Check(id); err != nil {
			t.Errorf("%.60v: %v", good, err)
		}
	}
	const control = "a\x7fb"
	for field, bad := range map[string]transport.Message{
		"ContentType": {ContentType: control}, "ContentEncoding": {ContentEncoding: control}, "ID": {ID: control},
		"CorrelationID": {CorrelationID: control}, "Component": {Component: control}, "Output": {Output: "\xff"},
		"the name of a property": {Properties: map[string]string{control: ""}}, `"k"`: {Properties: map[string]string{"k": "\xc3("}},
		"$.mid": {Properties: map[string]string{"$.mid": ""}}, "Created": {Created: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if err := bad.Check(id); !errors.Is(err, transport.ErrMessage) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, large := range []transport.Message{
		{Body: make([]byte, transport.MaxMessage), ID: "1"},
		{Properties: map[string]string{"k": strings.Repeat("x", 65_536-len("devices/dev1/messages/events/k="))}},
		{Properties: map[string]string{"k": strings.Repeat(" ", 22_000)}},
		{ContentType: strings.Repeat("é", 11_000)},
	} {
		if err := large.Check(id); !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("%.60v: %v", large, err)
		}
	}
}

// TestReceivedIsAMessage: what arrives has what was sent, and zeros for the rest.
func TestReceivedIsAMessage(t *testing.T) {
	r := transport.Received{Message: transport.Message{ID: "1"}}
	if r.ID != "1" || !reflect.DeepEqual(r, transport.Received{Message: r.Message}) {
		t.Errorf("%+v", r)
	}
}
