package device_test

import (
	"context"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// What the hub has is not sent again at the next start of a client that was
// closed.
func TestConfirmedIsNotSentAgain(t *testing.T) {
	for _, how := range []string{"UpdateReported", "ReportLater", "Acknowledge", "Acknowledge, durable"} {
		t.Run(how, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				st := &memStore{}
				w.setDesired(`{"a":7}`)
				life := func() *device.Client {
					c := w.client(&device.Options{Store: st})
					if how[0] == 'A' {
						o := &device.ListenOptions{Acknowledge: true}
						if len(how) > 12 {
							o.Durable = "A"
						}
						if _, err := c.OnDesired("a", func(context.Context, twin.Change) error { return nil }, o); err != nil {
							t.Fatal(err)
						}
					}
					if err := c.Connect(t.Context()); err != nil {
						t.Fatal(err)
					}
					return c
				}
				c := life()
				switch how {
				case "UpdateReported":
					if _, err := c.UpdateReported(t.Context(), twin.Set("a", 1)); err != nil {
						t.Fatal(err)
					}
				case "ReportLater":
					if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Hour)
				if c.Stats().Outstanding {
					t.Error("outstanding")
				}
				for i := range 3 {
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
					before := w.hub.Device("dev1").Stats().Patches
					c = life()
					time.Sleep(time.Hour)
					if n := w.hub.Device("dev1").Stats().Patches - before; n != 0 && how != "Acknowledge" {
						t.Errorf("start %d: %d patches of what the hub has", i, n)
					}
				}
			})
		})
	}
}
