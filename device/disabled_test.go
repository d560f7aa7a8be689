package device_test

import (
	"errors"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// TestDisabledDevice: a hub answers a disabled device as one that is
// unavailable does. Connect returns after some tries, and the client goes on
// slowly, until the device is enabled. That is MQTT's answer: over AMQP it is
// 401, as for a wrong key.
func TestDisabledDevice(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		w.dialer = mqtt.Dialer{Stream: w.stream}
		if err := w.hub.Device("dev1").SetEnabled(false); err != nil {
			t.Fatal(err)
		}
		c := w.client(nil)
		err := c.Connect(soon(t, 5*time.Minute))
		if !errors.Is(err, transport.ErrDisabled) || errors.Is(err, t.Context().Err()) && t.Context().Err() != nil {
			t.Errorf("Connect: %v", err)
		}
		if s := c.State(); s.Phase != device.Waiting {
			t.Errorf("the state is %+v", s)
		}
		time.Sleep(time.Hour)
		if err := w.hub.Device("dev1").SetEnabled(true); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(soon(t, 5*time.Minute)); err != nil {
			t.Errorf("once it is enabled: %v", err)
		}
	})
}
