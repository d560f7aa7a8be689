package device_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestPoisonReport: a report at which the hub hangs up, or that it does not
// answer, stops no other.
func TestPoisonReport(t *testing.T) {
	for name, act := range map[string]hubtest.Action{"hangs up": hubtest.Cut(), "is silent": hubtest.Drop()} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				st := &memStore{}
				c := w.online(&device.Options{Store: st})
				w.hub.Intercept(func(m hubtest.Message) bool {
					return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "poison")
				}, act.Times(-1))
				if err := c.ReportLater(t.Context(), twin.Set("poison", 1)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				_, err := c.UpdateReported(ctx, twin.Set("good", 1))
				if err != nil {
					s := w.hub.Device("dev1").Stats()
					t.Errorf("a day later another key is not reported: %v; %d connects, %d GETs, %d patches", err, s.Connects, s.Gets, s.Patches)
				}
			})
		})
	}
}

// TestReportsLargerThanTheLine: reports that together are more than one patch
// carries leave in parts.
func TestReportsLargerThanTheLine(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(time.Second)
		for i := range 30 { // a C buffer each, padded with zeros: the hub's way of counting leaves control characters out
			if err := c.ReportLater(t.Context(), twin.Set(fmt.Sprint("k", i), strings.Repeat("\x00", 4096))); err != nil {
				t.Fatal(err)
			}
		}
		w.hub.Device("dev1").SetLine(true)
		before := w.hub.Device("dev1").Stats().Connects
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.UpdateReported(ctx, twin.Set("good", 1)); err != nil {
			t.Errorf("in an hour: %d connects; %v", w.hub.Device("dev1").Stats().Connects-before, err)
		}
	})
}

// TestRefusalsHaveAPace: what the hub refuses is taken apart within a budget.
func TestRefusalsHaveAPace(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(400, "").Times(-1))
		start := time.Now()
		for i := range 10 { // firmware reports 100 values each second
			p := twin.Patch{}
			for k := range 100 {
				p = p.Set(fmt.Sprintf("k%d", k), i)
			}
			if err := c.ReportLater(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := w.hub.Device("dev1").Stats().Patches; n > 100 {
			t.Errorf("%d patches in %v for 10 reports, all refused", n, time.Since(start))
		}
	})
}

// TestRefusedPartTakesNothingAlong: what fits only because something else goes
// is not lost with the part that is refused.
func TestRefusedPartTakesNothingAlong(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		block := map[string]any{}
		for i := range 5 {
			block[fmt.Sprint("s", i)] = strings.Repeat("x", 4000)
		}
		c := w.online(nil)
		if _, err := c.UpdateReported(t.Context(), twin.Set("old", block)); err != nil {
			t.Fatal(err)
		}
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), `"bad"`)
		}, hubtest.Answer(400, "").Times(-1))
		err := c.ReportLater(t.Context(), twin.Set("bad", 1).Delete("old").Set("new", block))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := w.reported(); !strings.Contains(got, `"new"`) {
			t.Errorf("ReportLater was nil, bad alone is refused, {old: null, new: …} fits: the hub has %.60s, Outstanding %v", got, c.Stats().Outstanding)
		}
	})
}

// TestGuardedReportAtAHubThatEmpties: a guarded deletion of what is not there.
func TestGuardedReportAtAHubThatEmpties(t *testing.T) {
	storyAt(t, *hubtest.Options{}.With(quirk.Set{Merge: quirk.MergeEmpties}), func(t *testing.T, w *world) {
		c := w.online(nil)
		v, err := c.UpdateReported(t.Context(), twin.Set("o.x", 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpdateReportedIf(t.Context(), twin.Delete("o.z"), v); err != nil {
			t.Fatal(err)
		}
		_, _ = c.GetTwin(t.Context())
		time.Sleep(time.Minute)
		w.wantReported("a deletion of what is not there", `{"o":{"x":1}}`)
	})
}

// TestSameVersionOfAnotherTwin: a device that was created again, and is at the
// known version when the client looks.
func TestSameVersionOfAnotherTwin(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		if v, err := c.UpdateReported(t.Context(), twin.Set("fw", "2.0").Set("serial", "x1")); err != nil || v != 2 {
			t.Fatal(v, err)
		}
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(time.Second)
		createAnew(t, w)
		w.hub.Device("dev1").SetLine(true)
		// The commissioning tool says its one thing, before the firmware is back: version 2.
		token, err := auth.TokenOf(t.Context(), w.dev.Credential, w.dev.Identity.Audience(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		other, err := mqtt.Dialer{Stream: w.hub.Stream}.Dial(t.Context(), transport.Login{Identity: w.dev.Identity, Token: token, KeepAlive: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []transport.Frame{{Kind: transport.Open, Feature: transport.TwinResponses, ID: "a1"},
			{Kind: transport.PatchReported, ID: "a2", Body: []byte(`{"commissioned":true}`)}} {
			if err := other.Send(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		_ = other.Close()
		time.Sleep(10 * time.Minute)
		if got := w.reported(); !strings.Contains(got, `"fw":"2.0"`) {
			t.Errorf("ten minutes later, online (%v), Outstanding %v, the hub has %s: firmware's reports are gone", c.State().Phase, c.Stats().Outstanding, got)
		}
	})
}

// TestOldStoreDeletesNothing: an older image of the store, such as a rollback
// of the file system brings.
func TestOldStoreDeletesNothing(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		if _, err := c.UpdateReported(t.Context(), twin.Set("old", 1)); err != nil {
			t.Fatal(err)
		}
		image := st.powerCut()
		if _, err := c.UpdateReported(t.Context(), twin.Set("serviceHours", 1234)); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		w.online(&device.Options{Store: image})
		time.Sleep(time.Minute)
		if got := w.reported(); !strings.Contains(got, "serviceHours") {
			t.Errorf("the hub has %s", got)
		}
	})
}
