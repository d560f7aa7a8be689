package hubtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// TestClientSurvivesSuspendedLinks holds that this library's client comes back
// after a hub has detached its links in the way of a newer gateway, which
// go-amqp answers with an error.
func TestClientSurvivesSuspendedLinks(t *testing.T) {
	for _, suspend := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { comeBack(t, hubtest.Options{}.With(quirk.Set{SuspendLinks: suspend})) })
	}
}

func comeBack(t *testing.T, o *hubtest.Options) {
	today()
	hub := hubtest.New(t, o)
	at, err := hub.AddDevice("dev1")
	if err != nil {
		t.Fatal(err)
	}
	c := device.New(at.Identity, at.Credential, amqp.Dialer{Stream: hub.Stream}, nil)
	defer c.Close()
	c.Desired() // the links are the twin's
	if err := c.Connect(t.Context()); err != nil {
		t.Fatalf("Connect: %v", err)
	}
	if err := hub.Device("dev1").SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	if tw, err := hub.Device("dev1").Twin(); err != nil || tw.Connected || hub.Device("dev1").Stats().Refused == 0 {
		t.Errorf("disabled: connected %v, %d refusals, %v; want it to be refused", tw.Connected, hub.Device("dev1").Stats().Refused, err)
	}
	if err := hub.Device("dev1").SetEnabled(true); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Device("dev1").Wait(t.Context(), func(tw hubtest.Twin) bool { return tw.Connected }); err != nil {
		t.Errorf("enabled again: %v", err)
	}
}
