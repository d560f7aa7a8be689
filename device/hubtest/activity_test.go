package hubtest

import (
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

// TestLastActivity holds that a device is active over either protocol, by its
// login and by each message.
func TestLastActivity(t *testing.T) { bubble(t, testLastActivity) }
func testLastActivity(t *testing.T) {
	h := New(t, nil)
	s := owner(t, h)
	seen := func(what, id string, active, state time.Time) {
		t.Helper()
		r := s.do("GET", "/devices/"+id, "")
		if got, want := r.field(t, "lastActivityTime"), `"`+section.Time(active)+`"`; got != want {
			t.Errorf("%s: lastActivityTime is %s, want %s", what, got, want)
		}
		if got, want := r.field(t, "connectionStateUpdatedTime"), `"`+section.Time(state)+`"`; got != want {
			t.Errorf("%s: connectionStateUpdatedTime is %s, want %s", what, got, want)
		}
		if got, want := s.do("GET", "/twins/"+id, "").field(t, "lastActivityTime"), `"`+section.Time(active)+`"`; got != want {
			t.Errorf("%s, twin: lastActivityTime is %s, want %s", what, got, want)
		}
	}
	d, e := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
	seen("before", "dev1", time.Time{}, time.Time{})
	time.Sleep(time.Minute)
	came := h.opts.Now()
	c := login(t, h, d)
	a := openAMQP(t, h)
	a.admit(e, time.Now())
	events, err := a.session.NewSender(t.Context(), "/devices/dev2/messages/events", nil)
	if err != nil {
		t.Fatalf("telemetry: %v", err)
	}
	seen("MQTT, logged in", "dev1", came, came)
	seen("AMQP, logged in", "dev2", came, came)
	time.Sleep(time.Minute)
	said := h.opts.Now()
	c.play("> PUBLISH Q1 7 devices/dev1/messages/events/ x\n< PUBACK 7")
	if err := events.Send(t.Context(), twinMessage(nil, "x"), nil); err != nil {
		t.Fatalf("telemetry: %v", err)
	}
	c.play(ping)
	seen("MQTT, after a message", "dev1", said, came)
	seen("AMQP, after a message", "dev2", said, came)
	if err := h.Device("dev1").SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	if got, want := s.do("GET", "/devices/dev1", "").field(t, "statusUpdatedTime"), `"`+section.Time(h.opts.Now())+`"`; got != want {
		t.Errorf("disabled: statusUpdatedTime is %s, want %s", got, want)
	}
}
