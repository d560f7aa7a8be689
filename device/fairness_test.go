package device_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestOverlappingGetsStarveNoReport: GetTwin calls that overlap take turns with
// reports.
func TestOverlappingGetsStarveNoReport(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Delay(time.Second).Times(-1)) // a line of 1 s
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for range 2 { // two parts of the firmware look at the twin
			go func() {
				for ctx.Err() == nil {
					_, _ = c.GetTwin(ctx)
				}
			}()
			time.Sleep(500 * time.Millisecond)
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		_, err := c.UpdateReported(short, twin.Set("n", 1))
		if err != nil {
			s := w.hub.Device("dev1").Stats()
			t.Errorf("after 10 min: %v; the hub saw %d GETs, %d patches", err, s.Gets, s.Patches)
		}
	})
}

// TestPollingStarvesNoReport: the same with callers who look every 0.9 s, on a
// connection of 1 s.
func TestPollingStarvesNoReport(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Delay(time.Second).Times(-1))
		ctx, stop := context.WithCancel(t.Context())
		defer time.Sleep(time.Minute)
		defer stop()
		go func() {
			for ctx.Err() == nil {
				go func() { _, _ = c.GetTwin(ctx) }()
				time.Sleep(900 * time.Millisecond)
			}
		}()
		time.Sleep(5 * time.Second)
		short, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		if _, err := c.UpdateReported(short, twin.Set("n", 1)); err != nil {
			s := w.hub.Device("dev1").Stats()
			t.Errorf("after 10 min: %v; the hub saw %d GETs, %d patches", err, s.Gets, s.Patches)
		}
	})
}

// TestRefusedGetStopsNoReport: a hub that refuses GETs gets reports.
func TestRefusedGetStopsNoReport(t *testing.T) {
	for name, code := range map[string]int{"throttled": 429001, "quota": 403002, "not found": 404001} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(code).Times(-1))
				soon, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.GetTwin(soon)
				t.Logf("GetTwin: %v", err)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
				defer cancel()
				gets := w.hub.Device("dev1").Stats().Gets
				if _, err := c.UpdateReported(ctx, twin.Set("n", 1)); err != nil {
					t.Errorf("UpdateReported, 30 minutes on a line that is up, in sync, at a hub that takes patches: %v; %d GETs meanwhile", err, w.hub.Device("dev1").Stats().Gets-gets)
				}
			})
		})
	}
}

// TestGuardedReportsStarveNoOthers: reports with a precondition take turns, too.
func TestGuardedReportsStarveNoOthers(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(time.Second).Times(-1)) // a line of 1 s
		ctx, stop := context.WithCancel(t.Context())
		defer time.Sleep(time.Minute)
		defer stop()
		for range 2 { // two who try their luck at a version that is gone
			go func() {
				for ctx.Err() == nil {
					_, _ = c.UpdateReportedIf(ctx, twin.Set("lease", 1), 1)
				}
			}()
			time.Sleep(500 * time.Millisecond)
		}
		short, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		if _, err := c.UpdateReported(short, twin.Set("n", 2)); err != nil {
			t.Errorf("after 10 min: %v; %d patches", err, w.hub.Device("dev1").Stats().Patches)
		}
	})
}

// TestEndedGetsAreNotKept: GetTwin calls that ended while the line is down
// are not kept.
func TestEndedGetsAreNotKept(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(time.Second)
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, _ = c.GetTwin(ctx)
			cancel()
		}
		if n := c.WaitingGets(); n != 0 {
			t.Errorf("%d calls are kept for nobody", n)
		}
	})
}

// TestGapGetsAreSpaced: a gap at each change costs a GET a second at most.
func TestGapGetsAreSpaced(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		_ = w.online(nil)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromHub("dev1", hubtest.Desired)(m) && m.Version%2 == 0
		}, hubtest.Drop().Times(-1)) // each second change is lost: each that arrives is a gap
		before := w.hub.Device("dev1").Stats().Gets
		for i := range 200 {
			w.setDesired(fmt.Sprintf(`{"n":%d}`, i))
			time.Sleep(50 * time.Millisecond)
		}
		if n := w.hub.Device("dev1").Stats().Gets - before; n > 13 {
			t.Errorf("%d GETs in 10 s", n)
		}
	})
}

// TestJumpOfTheReportedVersion: an answer whose version does not follow owes
// a GET, and reports go on.
func TestJumpOfTheReportedVersion(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Duplicate()) // applied twice: the second answer is late
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := c.UpdateReported(ctx, twin.Set("n", i+2)); err != nil {
				t.Errorf("report %d: %v", i, err)
			}
			cancel()
		}
	})
}

// TestGetTwinOutlivesACut: a GetTwin whose GET was under way when the line was
// cut is asked again on the next.
func TestGetTwinOutlivesACut(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Cut())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.GetTwin(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestAckWithoutVersionIsNoGap: IoT Edge names no version in its answers.
func TestAckWithoutVersionIsNoGap(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Answer(204, "").Times(-1))
		before := w.hub.Device("dev1").Stats()
		for i := range 10 {
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if s := w.hub.Device("dev1").Stats(); s.Gets-before.Gets > 1 || s.Patches-before.Patches != 10 {
			t.Errorf("10 reports took %d patches and %d GETs", s.Patches-before.Patches, s.Gets-before.Gets)
		}
	})
}

func isUnsupported(err error) bool { return errors.Is(err, transport.ErrUnsupported) }

// TestLostChangeIsFoundByDefault: a change that is lost on a line that stays up
// is heard within DefaultResync and a quarter.
func TestLostChangeIsFoundByDefault(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 72 * time.Hour}) // no reconnect finds it
		c := w.online(nil)
		var e ears
		if _, err := c.OnDesired("a", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		e.take()
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Drop())
		w.setDesired(`{"a":1}`)
		before := w.hub.Device("dev1").Stats().Gets
		time.Sleep(device.DefaultResync * 5 / 4)
		wantLines(t, "the lost change", e.take(), "gap 1")
		time.Sleep(24 * time.Hour)
		if n := w.hub.Device("dev1").Stats().Gets - before; n > 8 {
			t.Errorf("%d GETs in 30 hours", n)
		}
	})
}
