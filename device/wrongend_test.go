package device_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestCloseOfAWronglyConfiguredClient returns what had ended it, each time.
func TestCloseOfAWronglyConfiguredClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := device.New(someone(), nil, fails(transport.ErrLost), nil)
		if err := c.Connect(t.Context()); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("Connect: %v", err)
		}
		for range 2 {
			if err := c.Close(); !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("Close: %v", err)
			}
		}
		if s := c.State(); s.Phase != device.Closed || !errors.Is(s.Err, auth.ErrInvalid) {
			t.Errorf("the state is %+v", s)
		}
	})
}

// TestRefusalOfReportLaterIsLogged, and told to nobody else.
func TestRefusalOfReportLaterIsLogged(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		states := 0
		c := w.online(&device.Options{OnState: func(device.State) { states++ }})
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Fail(400004))
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if text := w.log.String(); !strings.Contains(text, "rejected") || !strings.Contains(text, "400004") {
			t.Errorf("the log says %s", text)
		}
		if states != 2 || c.Stats().Outstanding || c.State().Err != nil {
			t.Errorf("OnState was called %d times, the client counts %+v", states, c.Stats())
		}
		if got := c.Reported().At("a"); got.Exists() {
			t.Errorf("the client still wants %v", got)
		}
	})
}
