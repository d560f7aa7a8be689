package device_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A fleet is devices that do everything in the same moment, and when each of them
// sent something of one kind to the hub for the first time since it was asked.
type fleet struct {
	*world
	clients []*device.Client
	mu      sync.Mutex
	op      hubtest.Op
	first   map[string]time.Time
}

// fleet connects n devices, which have tokens of that life.
func (w *world) fleet(n int, life time.Duration) *fleet {
	w.Helper()
	f := &fleet{world: w}
	w.hub.Intercept(func(m hubtest.Message) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, seen := f.first[m.Device]; m.Op == f.op && !m.FromHub && !seen && strings.HasPrefix(m.Device, "fleet") {
			f.first[m.Device] = time.Now()
		}
		return false
	}, hubtest.Pass())
	for i := range n {
		dev, err := w.hub.AddDevice(fmt.Sprintf("fleet%d", i))
		if err != nil {
			w.Fatal(err)
		}
		key, err := auth.ParseKey(dev.PrimaryKey)
		if err != nil {
			w.Fatal(err)
		}
		c := device.New(dev.Identity, auth.SAS(key, &auth.SASOptions{Lifetime: life}), w.dial(), nil)
		c.Desired() // its twin is used
		w.Cleanup(func() { _ = c.Close() })
		f.clients = append(f.clients, c)
	}
	for _, c := range f.clients {
		if err := c.Connect(w.Context()); err != nil {
			w.Fatal(err)
		}
	}
	return f
}

// spreads reports the time between the first and the last device that sends an
// op while f runs, and fails where that is less than want.
func (f *fleet) spreads(what string, op hubtest.Op, want time.Duration, story func()) {
	f.Helper()
	f.mu.Lock()
	f.op, f.first = op, map[string]time.Time{}
	f.mu.Unlock()
	story()
	f.mu.Lock()
	defer f.mu.Unlock()
	var times []time.Time
	for _, at := range f.first {
		times = append(times, at)
	}
	if len(times) != len(f.clients) {
		f.Fatalf("%s: %d of %d devices sent %v", what, len(times), len(f.clients), op)
	}
	slices.SortFunc(times, time.Time.Compare)
	if got := times[len(times)-1].Sub(times[0]); got < want {
		f.Errorf("%s: all of the fleet come within %v, want more than %v", what, got, want)
	}
}

// What a fleet does for one reason it does not do in one moment.
func TestFleetDoesNotComeInOneMoment(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		f := w.fleet(12, time.Hour)
		f.spreads("renewals", hubtest.Connect, time.Minute, func() { time.Sleep(time.Hour) })
		f.spreads("reconnects", hubtest.Connect, 100*time.Millisecond, func() {
			for i := range f.clients {
				_ = w.hub.Device(fmt.Sprintf("fleet%d", i)).Cut()
			}
			time.Sleep(time.Minute)
		})
	})
}

// A fleet that started together does not read its twins together.
func TestFleetResyncsApart(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		f := w.fleet(12, 48*time.Hour)
		f.spreads("resyncs", hubtest.GetTwin, time.Hour, func() { time.Sleep(8 * time.Hour) })
	})
}

// A fleet whose quota was used up does not come back at midnight sharp.
func TestFleetComesBackAfterMidnightApart(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		f := w.fleet(12, time.Hour)
		midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return m.Op == hubtest.PatchReported && !m.FromHub && time.Now().Before(midnight)
		}, hubtest.Fail(403002).Times(-1))
		for _, c := range f.clients {
			if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Until(midnight))
		f.spreads("reports after the quota", hubtest.PatchReported, time.Minute, func() { time.Sleep(10 * time.Minute) })
	})
}
