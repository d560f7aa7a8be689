package device_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestLateGetTakesNothingBack answers a GET five seconds late, while changes of
// the size given come.
func TestLateGetTakesNothingBack(t *testing.T) {
	for _, blocks := range []int{0, 3, 7} {
		t.Run(fmt.Sprint(blocks*4000, " bytes"), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				var e ears
				if _, err := c.OnDesired("valve", e.listener, nil); err != nil {
					t.Fatal(err)
				}
				pad := map[string]any{}
				for i := range blocks {
					pad[fmt.Sprint("p", i)] = strings.Repeat("x", 4000)
				}
				set := func(valve int) { w.setDesired(encode(t, map[string]any{"pad": pad, "valve": valve})) }
				set(1)
				e.take()
				w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Late(5*time.Second))
				done := make(chan error, 1)
				go func() {
					_, err := c.GetTwin(t.Context())
					done <- err
				}()
				time.Sleep(time.Second)
				for i := range 4 {
					set(2 + i)
					time.Sleep(500 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				wantLines(t, "valve", e.take(), "patch 2", "patch 3", "patch 4", "patch 5")
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestGetTwinRunsNoActuators(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		doc := map[string]any{"x": 0}
		for i := range 20 {
			doc[fmt.Sprint("valve", i)] = 1
		}
		w.setDesired(encode(t, doc))
		c := w.client(nil)
		var runs atomic.Int64
		for i := range 20 {
			if _, err := c.OnDesired(fmt.Sprint("valve", i), func(context.Context, twin.Change) error {
				runs.Add(1)
				return nil
			}, &device.ListenOptions{Acknowledge: true}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		runs.Store(0)
		before := w.hub.Device("dev1").Stats().Patches
		for i := range 10 { // each minute x changes, and a part of the firmware looks at the twin
			w.setDesired(fmt.Sprintf(`{"x":%d}`, i+1))
			time.Sleep(30 * time.Second)
			if _, err := c.GetTwin(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
		}
		synctest.Wait()
		if runs.Load() > 0 || w.hub.Device("dev1").Stats().Patches != before {
			t.Errorf("nothing was lost: the valves' listeners ran %d times, and %d patches left", runs.Load(), w.hub.Device("dev1").Stats().Patches-before)
		}
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Drop())
		w.setDesired(`{"x":11}`) // it might have named any of them
		if _, err := c.GetTwin(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := runs.Load(); got != 20 {
			t.Errorf("a version was missed: %d runs, want 20", got)
		}
	})
}

// TestLateNotificationsCostOneGetEach delivers old versions after new ones.
func TestLateNotificationsCostOneGetEach(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var e ears
		if _, err := c.OnDesired("a", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		e.take()
		time.Sleep(time.Minute)
		before := w.hub.Device("dev1").Stats().Gets
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Delay(10*time.Second).Times(3))
		for i := range 3 {
			w.setDesired(fmt.Sprintf(`{"a":%d}`, i))
		}
		w.setDesired(`{"a":3}`) // arrives first, and is a gap
		time.Sleep(time.Hour)
		wantLines(t, "a", e.take(), "gap 3")
		if got := w.hub.Device("dev1").Stats().Gets - before; got > 4 {
			t.Errorf("%d GETs: want one for the gap, and one for each that was late", got)
		}
	})
}

// TestHubThatEmptiesIsFollowed: after a deletion of what is not there, such a
// hub has less than the patch says.
func TestHubThatEmptiesIsFollowed(t *testing.T) {
	for rule := quirk.MergeRule(0); rule <= quirk.MergeEmpties; rule++ {
		for _, patch := range []string{
			`{"key1":{"key3":null}}`, `{"key1":{"key3":null,"new":1}}`, `{"key1":{"deep":{"key3":null}}}`, `{"other":{"key3":null}}`,
		} {
			storyAt(t, *hubtest.Options{}.With(quirk.Set{Merge: rule}), func(t *testing.T, w *world) {
				w.setDesired(`{"key1":{"key2":"val2","deep":{"x":1}}}`)
				c := w.online(nil)
				var e ears
				if _, err := c.OnDesired("", e.listener, nil); err != nil {
					t.Fatal(err)
				}
				w.setDesired(patch)
				time.Sleep(3 * time.Second)
				tw, err := w.hub.Device("dev1").Twin()
				if err != nil {
					t.Fatal(err)
				}
				heard, last := e.take(), ""
				if len(heard) > 0 {
					_, last, _ = strings.Cut(heard[len(heard)-1], " ")
				}
				if want := visible(t, tw.Desired.JSON); visible(t, []byte(last)) != want {
					t.Errorf("rule %d, %s: the listener heard last %s, the hub has %s", rule, patch, last, want)
				}
			})
		}
	}
}

// TestTwinWithoutVersions is IoT Edge without a twin from the cloud.
func TestTwinWithoutVersions(t *testing.T) {
	for body, start := range map[string]string{
		`{"desired":{},"reported":{}}`:                           "start -",
		`{"desired":{"seconds":5},"reported":{}}`:                "start 5",
		`{"desired":{"seconds":5,"$version":1},"reported":{}}`:   "start 5",
		`{"desired":{"seconds":5},"reported":{"$version":1}}`:    "start 5",
		`{"desired":{"$metadata":{}},"reported":{"$version":1}}`: "start -",
	} {
		t.Run(body, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Answer(200, body).Times(-1))
				c := w.online(nil)
				var e ears
				if _, err := c.OnDesired("seconds", e.listener, nil); err != nil {
					t.Fatal(err)
				}
				wantLines(t, "the start", e.take(), start)
				time.Sleep(10 * time.Minute) // no renewal in it
				before := w.hub.Device("dev1").Stats().Gets
				if before > 1 {
					t.Errorf("%d GETs in ten minutes", before)
				}
				for i := 6; i < 9; i++ {
					w.setDesired(fmt.Sprintf(`{"seconds":%d}`, i))
					wantLines(t, "a change", e.take(), fmt.Sprint("patch ", i))
				}
				time.Sleep(10 * time.Minute) // no renewal in it
				if got := w.hub.Device("dev1").Stats().Gets; got != before {
					t.Errorf("three changes made %d GETs", got-before)
				}
				wantLines(t, "later", e.take())
			})
		})
	}
}
