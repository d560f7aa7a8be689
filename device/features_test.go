package device_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// times notes when a kind of message passes.
func (w *world) times(match func(hubtest.Message) bool) func() []time.Time {
	var mu sync.Mutex
	var all []time.Time
	w.hub.Intercept(func(m hubtest.Message) bool {
		if match(m) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, time.Now())
		}
		return false
	}, hubtest.Pass())
	return func() []time.Time {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// TestRefusedFeatureIsTriedAgain after 30 s, doubling to an hour.
func TestRefusedFeatureIsTriedAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = mqtt.Dialer{Stream: w.stream}
		w.dev.Credential = longLived(t, w)
		open := func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.Subscribe)(m) && strings.Contains(strings.Join(m.Topics, " "), "desired")
		}
		at := w.times(open)
		w.hub.Intercept(open, hubtest.Fail(403004).Times(-1))
		c := w.online(nil)
		if c.State().Missing == nil {
			t.Error("nothing is missing")
		}
		time.Sleep(12 * time.Hour)
		all := at()
		if len(all) < 15 {
			t.Fatalf("it was tried %d times in 12 hours", len(all))
		}
		for i := range len(all) - 1 {
			if got, want := all[i+1].Sub(all[i]), min(30*time.Second<<i, time.Hour); got != want {
				t.Errorf("attempt %d came after %v, want %v", i+2, got, want)
			}
		}
		if n := c.Stats().Connects; n != 1 {
			t.Errorf("%d connects", n)
		}
	})
}

// longLived is the device's credential with tokens that end in no story.
func longLived(t *testing.T, w *world) auth.Credential {
	t.Helper()
	key, err := auth.ParseKey(w.dev.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	return auth.SAS(key, &auth.SASOptions{Lifetime: 300 * 24 * time.Hour})
}

// TestFeatureThatEndsConnections is left out after three in a row, once a
// connection without it has stayed up for 10 s.
func TestFeatureThatEndsConnections(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = mqtt.Dialer{Stream: w.stream}
		open := func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.Subscribe)(m) && strings.Contains(strings.Join(m.Topics, " "), "desired")
		}
		connects := w.times(hubtest.FromDevice("dev1", hubtest.Connect))
		w.hub.Intercept(open, hubtest.Cut().Times(-1))
		c := w.client(nil)
		if err := c.Connect(soon(t, 10*time.Minute)); err != nil {
			t.Fatal(err)
		}
		for c.State().Missing == nil && len(connects()) < 9 {
			time.Sleep(time.Second)
		}
		if all := connects(); len(all) != 4 || time.Since(all[3]) < 10*time.Second || time.Since(all[3]) > 11*time.Second {
			t.Errorf("%d connects, the last %v ago; want 3 that end, and one without the feature for 10 s", len(all), time.Since(all[len(all)-1]))
		}
		for range 100 { // also while it is tried again
			if s := c.State(); s.Phase != device.Online || s.Missing == nil || strings.Contains(s.Missing.Error(), "responses") {
				t.Errorf("the state is %+v, want desired changes alone to be missing", s)
			}
			if _, err := c.UpdateReported(soon(t, 10*time.Second), twin.Set("n", 1)); err != nil {
				t.Errorf("the other feature: %v", err)
			}
			time.Sleep(10 * time.Minute)
			if err := c.Connect(soon(t, 20*time.Second)); err != nil {
				t.Error(err)
			}
		}
	})
}
