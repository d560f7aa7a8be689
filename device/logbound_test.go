package device_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A line that brings nothing but nonsense, and a listener that always fails, do
// not fill the log of a small board.
func TestLogIsBounded(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		if _, err := c.OnDesired("n", func(context.Context, twin.Change) error { return errors.New("valve stuck") }, nil); err != nil {
			t.Fatal(err)
		}
		remove := w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Answer(200, `{"n":`).Times(-1))
		for i := range 600 {
			w.setDesired(fmt.Sprintf(`{"n":%d}`, i))
			time.Sleep(100 * time.Millisecond)
		}
		unread := strings.Count(w.log.String(), "cannot be read")
		if unread > 42 || unread == 0 {
			t.Errorf("600 changes in a minute that cannot be read made %d lines", unread)
		}
		remove()
		for i := range 600 {
			w.setDesired(fmt.Sprintf(`{"n":%d}`, i))
			time.Sleep(100 * time.Millisecond)
		}
		if n := strings.Count(w.log.String(), "listener failed"); n > 62 || n == 0 {
			t.Errorf("600 errors of a listener in a minute made %d lines", n)
		}
		if !strings.Contains(w.log.String(), "lines like this were left out before)") {
			t.Error("no line says that others were left out")
		}
	})
}
