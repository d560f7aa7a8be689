package device_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestDaysWithABadHub spends a day with each kind of bad hub, and counts what
// that costs. The bounds are those of the package's documentation.
func TestDaysWithABadHub(t *testing.T) {
	patches := func(words ...string) func(hubtest.Message) bool {
		return func(m hubtest.Message) bool {
			if !hubtest.FromDevice("dev1", hubtest.PatchReported)(m) {
				return false
			}
			for _, w := range words {
				if strings.Contains(string(m.Body), w) {
					return true
				}
			}
			return len(words) == 0
		}
	}
	for name, tc := range map[string]struct {
		match   func(hubtest.Message) bool
		act     hubtest.Action
		others  bool // whether other keys arrive
		gets    bool // whether GetTwin is answered
		suspect int  // how many properties are suspected
	}{
		"hangs up at a property":        {patches(`"poison"`), hubtest.Cut(), true, true, 1},
		"is silent at a property":       {patches(`"poison"`), hubtest.Drop(), true, true, 1},
		"refuses a property":            {patches(`"poison"`), hubtest.Answer(400, ""), true, true, 0},
		"hangs up at two":               {patches(`"poison"`, `"venom"`), hubtest.Cut(), true, true, 2},
		"refuses every patch":           {patches(), hubtest.Answer(400, ""), false, true, 0},
		"answers no patch":              {patches(), hubtest.Drop(), false, true, 0},
		"hangs up at each patch":        {patches(), hubtest.Cut(), false, true, 0},
		"throttles patches":             {patches(), hubtest.Fail(429001), false, true, 0},
		"throttles GETs":                {hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(429001), true, false, 0},
		"throttles a property":          {patches(`"poison"`), hubtest.Fail(429001), true, true, 0},
		"throttles two":                 {patches(`"poison"`, `"venom"`), hubtest.Fail(429001), true, true, 0},
		"answers no GET":                {hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Drop(), true, false, 0},
		"refuses GETs as not permitted": {hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(404001), true, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.broken = true
				c := w.online(nil)
				if _, err := c.UpdateReported(t.Context(), twin.Set("n", 0)); err != nil {
					t.Fatal(err)
				}
				w.hub.Intercept(tc.match, tc.act.Times(-1))
				if err := c.ReportLater(t.Context(), twin.Set("poison", 1).Set("venom", 1)); err != nil {
					t.Fatal(err)
				}
				for hour := range 24 {
					before := w.hub.Device("dev1").Stats()
					for i := range 60 { // a report a minute
						if err := c.ReportLater(t.Context(), twin.Set("n", 60*hour+i).Set(fmt.Sprint("k", i%10), hour)); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Minute)
					}
					after := w.hub.Device("dev1").Stats()
					bound(t, hour, "connects", after.Connects-before.Connects, 40)
					bound(t, hour, "GETs", after.Gets-before.Gets, 60)
					good := 0
					if tc.others {
						good = 60 // what arrives costs a patch, too
					}
					bound(t, hour, "patches", after.Patches-before.Patches, 120+good)
					if hour > 0 && tc.suspect > 0 {
						bound(t, hour, "connects for suspects", after.Connects-before.Connects, 2*tc.suspect)
						bound(t, hour, "patches for suspects", after.Patches-before.Patches, 4*tc.suspect+60)
					}
				}
				if tc.others {
					// A minute after an accepted connection, each key is there.
					if err := c.ReportLater(t.Context(), twin.Set("last", 1)); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
					defer cancel()
					if _, err := w.hub.Device("dev1").WaitReported(ctx, "last", "1"); err != nil {
						t.Errorf("another key: %v", err)
					}
				}
				if tc.gets {
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
					defer cancel()
					if _, err := c.GetTwin(ctx); err != nil {
						t.Errorf("GetTwin: %v", err)
					}
				}
			})
		})
	}
}

func bound(t *testing.T, hour int, what string, got, most int) {
	t.Helper()
	if got > most {
		t.Errorf("hour %d: %d %s, at most %d", hour, got, what, most)
	}
}

// TestHubWithoutTwins is a hub of the basic tier: it refuses what a twin needs,
// or hangs up at it. The client is online without.
func TestHubWithoutTwins(t *testing.T) {
	for name, act := range map[string]hubtest.Action{"refuses": hubtest.Fail(403004), "hangs up": hubtest.Cut()} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.broken = true
				w.dialer = mqtt.Dialer{Stream: w.stream} // AMQP has no such packet to refuse
				remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Subscribe), act.Times(-1))
				c := w.client(nil)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				if err := c.Connect(ctx); err != nil {
					t.Fatal(err)
				}
				s := c.State()
				if s.Phase != device.Online || s.Missing == nil {
					t.Errorf("the state is %+v", s)
				}
				if _, err := c.GetTwin(t.Context()); !isUnsupported(err) {
					t.Errorf("GetTwin: %v", err)
				}
				if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); !isUnsupported(err) {
					t.Errorf("UpdateReported: %v", err)
				}
				before := w.hub.Device("dev1").Stats().Connects
				time.Sleep(2 * time.Hour)
				if n := w.hub.Device("dev1").Stats().Connects - before; n > 30 {
					t.Errorf("%d connects in two hours", n)
				}
				remove() // the hub moves to another tier
				time.Sleep(2 * time.Hour)
				if s := c.State(); s.Phase != device.Online || s.Missing != nil {
					t.Errorf("the state is %+v", s)
				}
				w.wantReported("what stayed wanted", `{"n":1}`)
			})
		})
	}
}
