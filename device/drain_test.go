package device_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A connection that is about to be replaced waits for the answer under way, and
// begins nothing of any kind meanwhile.
func TestRenewDrainsTheConnection(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		line := transporttest.NewLane(w.dial(), 8)
		w.dialer = line
		c := w.client(nil)
		telemetry := c.AddTestLane()
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(5*time.Second))
		done := make(chan error, 1)
		gets := w.hub.Device("dev1").Stats().Gets
		go func() {
			_, err := c.UpdateReported(t.Context(), twin.Set("n", 1))
			done <- err
		}()
		synctest.Wait()
		if err := c.Renew(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := telemetry.Sent()
		line.Answer(4)
		time.Sleep(4 * time.Second)
		if n := telemetry.Sent() - before; n != 0 {
			t.Errorf("%d frames began on a connection that is about to be replaced", n)
		}
		if got := c.State().Phase; got != device.Online {
			t.Errorf("before the answer the client is %v", got)
		}
		time.Sleep(30 * time.Second)
		if err := <-done; err != nil {
			t.Errorf("the report under way: %v", err)
		}
		// The GET of the new connection is the only one: the answer decided.
		if s := w.hub.Device("dev1").Stats(); s.Gets != gets+1 || s.Patches != 1 {
			t.Errorf("%d GETs and %d patches, want 1 of each", s.Gets-gets, s.Patches)
		}
		if telemetry.Sent() <= before {
			t.Error("no frame began on the new connection")
		}
	})
}
