package mqtt

import (
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// TestBag: the vectors of property bags, and every field.
func TestBag(t *testing.T) {
	for _, c := range []struct {
		m    transport.Message
		want string
	}{
		{transport.Message{}, ""},
		{
			transport.Message{ID: "m-1", ContentType: "application/json;charset=utf-8", ContentEncoding: "utf-8", Properties: map[string]string{"alert": "true"}},
			"%24.mid=m-1&%24.ct=application%2Fjson%3Bcharset%3Dutf-8&%24.ce=utf-8&alert=true",
		},
		{transport.Message{Properties: map[string]string{"a~b-c_d.e": "!*'()"}}, "a~b-c_d.e=%21%2A%27%28%29"},
		{transport.Message{Properties: map[string]string{"emoji": "😀"}}, "emoji=%F0%9F%98%80"},
		{transport.Message{Properties: map[string]string{"": "empty key"}}, "=empty%20key"},
		{transport.Message{Properties: map[string]string{"eq": "a=b&c", "pct": "100%", "sp": " "}}, "eq=a%3Db%26c&pct=100%25&sp=%20"},
		{transport.Message{Component: "thermostat1", ContentType: "application/json", ContentEncoding: "utf-8"}, "%24.ct=application%2Fjson&%24.ce=utf-8&%24.sub=thermostat1"},
		{transport.Message{Output: "alert", CorrelationID: "c"}, "%24.cid=c&%24.on=alert"},
		{transport.Message{Created: time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600))}, "iothub-creation-time-utc=2026-01-01T00%3A00%3A00Z"},
	} {
		if got := string(appendBag(nil, &c.m)); got != c.want {
			t.Errorf("%+v:\n%s, want\n%s", c.m, got, c.want)
		}
	}
}

func TestEventsTopic(t *testing.T) {
	for id, want := range map[auth.Identity]string{
		{DeviceID: "d"}:                "devices/d/messages/events/",
		{DeviceID: "d", ModuleID: "m"}: "devices/d/modules/m/messages/events/",
	} {
		if got := eventsTopic(id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
