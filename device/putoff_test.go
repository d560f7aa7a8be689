package device_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A hub that puts off one property for ever, of fifty that were reported
// together, gets the others, and no more than the bound of patches.
func TestOnePropertyPutOff(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		remove := w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), `"k17"`)
		}, hubtest.Fail(429001).Times(-1))
		p := twin.Set("k0", 0)
		for i := range 50 {
			p = p.Set(fmt.Sprint("k", i), i)
		}
		if err := c.ReportLater(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Minute)
		if got := strings.Count(w.reported(), `"k`); got != 49 {
			t.Errorf("after 40 minutes the hub has %d of 49: %s", got, w.reported())
		}
		before := w.hub.Device("dev1").Stats().Patches
		time.Sleep(time.Hour)
		bound(t, 0, "patches", w.hub.Device("dev1").Stats().Patches-before, 40)
		remove()
		time.Sleep(3 * time.Minute)
		if !strings.Contains(w.reported(), `"k17":17`) {
			t.Errorf("three minutes after the hub took it, it has %s", w.reported())
		}
	})
}

// A hub that puts off everything for a day has everything a few minutes and few
// patches later.
func TestDayOfThrottling(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Fail(429001).Times(-1))
		for i := range 24 * 60 {
			if err := c.ReportLater(t.Context(), twin.Set(fmt.Sprint("k", i%100), i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		remove()
		before := w.hub.Device("dev1").Stats().Patches
		time.Sleep(5 * time.Minute)
		if got := strings.Count(w.reported(), `"k`); got != 100 {
			t.Errorf("five minutes after the day the hub has %d of 100: %s", got, w.reported())
		}
		bound(t, 0, "patches after the day", w.hub.Device("dev1").Stats().Patches-before, 10)
	})
}

// The eighths of a report that is put off are sent at most 2 min apart, and new
// reports wait at most 90 s, also where the hub refuses parts of another report.
func TestPutOffBesideARefusal(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(time.Second))
		for i := range 10 {
			w.hub.Intercept(hubtest.PatchNaming("dev1", fmt.Sprint("s", 15*i)), hubtest.Fail(400001).Times(-1))
		}
		w.hub.Intercept(hubtest.PatchNaming("dev1", "throttled"), hubtest.Fail(429001).Times(-1))
		p, q := twin.Set("s0", 0), twin.Set("throttled", 1)
		for i := range 150 {
			p = p.Set(fmt.Sprint("s", i), i)
		}
		for i := range 16 {
			q = q.Set(fmt.Sprint("m", i), i)
		}
		if err := c.ReportLater(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // p is in flight
		if err := c.ReportLater(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		time.Sleep(5 * time.Minute)
		if _, err := c.UpdateReported(soon(t, 2*time.Minute), twin.Set("new", 1)); err != nil {
			t.Errorf("a new report: %v", err)
		}
		if _, err := w.hub.Device("dev1").WaitReported(soon(t, time.Hour), "m0", "0"); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 10*time.Minute {
			t.Errorf("m0, which the hub takes, arrived after %v", took)
		}
	})
}
