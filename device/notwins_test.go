package device_test

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
)

// TestTelemetryWithoutTwins is a hub of the basic tier: telemetry arrives, be it all
// that firmware does or not.
func TestTelemetryWithoutTwins(t *testing.T) {
	for name, dialer := range overs() {
		for _, usesTwin := range []bool{false, true} {
			desc := name + ", telemetry alone"
			if usesTwin {
				desc = name + ", and the twin"
			}
			t.Run(desc, func(t *testing.T) {
				storyAt(t, *hubtest.Options{}.With(quirk.Set{NoTwinLinks: true}), func(t *testing.T, w *world) {
					w.broken = true
					w.dialer = dialer(w.stream)
					w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Subscribe), hubtest.Fail(403004).Times(-1))
					c := w.bare(nil)
					if usesTwin {
						c.Desired()
					}
					if err := c.Connect(t.Context()); err != nil {
						t.Fatal(err)
					}
					for _, body := range []string{"a", "b", "c"} {
						if err := c.Send(t.Context(), device.Message{Body: []byte(body)}); err != nil {
							t.Fatal(err)
						}
					}
					if got := bodies(w.stored()); got != "a b c" {
						t.Errorf("the hub has %q", got)
					}
					if s := c.State(); s.Phase != device.Online || (s.Missing != nil) != usesTwin {
						t.Errorf("the state is %+v", s)
					}
					if n := c.Stats().Connects; n != 1 {
						t.Errorf("%d connects", n)
					}
					if !usesTwin {
						return
					}
					if _, err := c.GetTwin(t.Context()); !isUnsupported(err) {
						t.Errorf("GetTwin: %v", err)
					}
				})
			})
		}
	}
}
