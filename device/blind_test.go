package device_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A hub that refuses every GET from the first one on, or is silent at them,
// gets the values that firmware reports. Deletions and replacements wait for
// the first GET.
func TestReportsWithoutAnyGet(t *testing.T) {
	for name, act := range map[string]hubtest.Action{
		"throttled": hubtest.Fail(429001),
		"quota":     hubtest.Fail(403002),
		"not found": hubtest.Fail(404001),
		"error":     hubtest.Fail(500001),
		"broken":    hubtest.Answer(200, `{"desired":`),
		"silent":    hubtest.Drop(),
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				before := w.online(nil)
				if _, err := before.UpdateReported(t.Context(), twin.Set("old", 1).Set("o.a", 1).Set("o.b", 2)); err != nil {
					t.Fatal(err)
				}
				if err := before.Close(); err != nil {
					t.Fatal(err)
				}
				remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), act.Times(-1))
				c := w.client(nil)
				start := time.Now()
				soon, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := c.Connect(soon); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("Connect: %v", err)
				}
				if err := c.ReportLater(t.Context(), twin.Set("later", 1).Delete("old")); err != nil {
					t.Fatal(err)
				}
				if err := c.ReportLater(t.Context(), twin.Replace("o", map[string]any{"c": 3})); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
				defer cancel()
				if _, err := c.UpdateReported(ctx, twin.Set("n.a", 1)); err != nil {
					t.Fatalf("UpdateReported: %v", err)
				}
				t.Logf("after %v", time.Since(start))
				if _, err := c.UpdateReported(ctx, twin.Set("n.a", 2)); err != nil {
					t.Fatalf("the second: %v", err)
				}
				w.wantReported("before any GET", `{"later":1,"n":{"a":2},"o":{"a":1,"b":2},"old":1}`)
				remove()
				time.Sleep(25 * time.Hour)
				w.wantReported("after the first GET", `{"later":1,"n":{"a":2},"o":{"c":3}}`)
				if s := c.State(); s.Phase != device.Online {
					t.Errorf("state %+v", s)
				}
			})
		})
	}
}
