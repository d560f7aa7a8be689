package device_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestConfirmedReportThatIsNotStored: the error of a report that the hub has, and
// for which a store that hangs has no time, says so, and not that it is unconfirmed.
func TestConfirmedReportThatIsNotStored(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		time.Sleep(time.Minute)
		st.mu.Lock()
		st.hangs = true
		st.mu.Unlock()
		start := time.Now()
		_, err := c.UpdateReported(soon(t, 3*time.Second), twin.Set("n", 1))
		if !errors.Is(err, device.ErrNotStored) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, device.ErrStillWanted) {
			t.Errorf("UpdateReported: %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		w.wantReported("it is confirmed", `{"n":1}`)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(400, ""))
		if _, err := c.UpdateReported(soon(t, time.Second), twin.Set("bad", 1)); !errors.Is(err, transport.ErrRejected) {
			t.Errorf("a report that the hub refuses: %v", err)
		}
		w.hub.Device("dev1").SetLine(false)
		_, err = c.UpdateReported(soon(t, time.Second), twin.Set("n", 2))
		if !errors.Is(err, device.ErrStillWanted) || errors.Is(err, device.ErrNotStored) {
			t.Errorf("without a line, UpdateReported: %v", err)
		}
	})
}
