package device_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A report that is made before the first GET, and breaks a limit only with what the
// hub has, is refused as one after it is: without a patch, with the limit's name.
// What rides with it arrives, and so does the part of it that there is room for.
func TestLimitsBeforeTheFirstGet(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		large := strings.Repeat("x", 4000)
		for _, key := range []string{"a", "b", "c", "d", "e", "f", "g"} {
			if _, err := c.UpdateReported(t.Context(), twin.Set(key, large)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		sent := w.times(hubtest.FromDevice("dev1", hubtest.PatchReported))
		c = w.bare(nil)
		if err := c.ReportLater(t.Context(), twin.Set("small", 1)); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := c.UpdateReported(soon(t, time.Hour), twin.Set("h", large).Set("i", large))
			failed <- err
		}()
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		var limit *twin.LimitError
		if err := <-failed; !errors.As(err, &limit) {
			t.Errorf("the report fails with %v, want a *twin.LimitError", err)
		}
		if _, err := c.UpdateReported(t.Context(), twin.Set("last", 1)); err != nil {
			t.Fatal(err)
		}
		if got := w.reported(); !strings.Contains(got, `"small":1`) || strings.Contains(got, `"i"`) {
			t.Errorf("the hub has %.100s", got)
		}
		if n := len(sent()); n > 3 {
			t.Errorf("%d patches", n)
		}
	})
}
