package device_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// sentAt notes when a device sends messages of one kind.
func (w *world) sentAt(op hubtest.Op) (take func() []time.Time) {
	var mu sync.Mutex
	var at []time.Time
	w.hub.Intercept(func(m hubtest.Message) bool {
		if hubtest.FromDevice("dev1", op)(m) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
		}
		return false
	}, hubtest.Pass())
	return func() []time.Time {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		times := at
		at = nil
		return times
	}
}

// A hub that answers a report with 5xx is asked neither for the twin nor to take
// the report before the back-off has passed.
func TestServerErrorPutsOffTheGet(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		time.Sleep(time.Minute)
		gets, patches := w.sentAt(hubtest.GetTwin), w.sentAt(hubtest.PatchReported)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(500, ""))
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		got, sent := gets(), patches()
		if len(got) != 1 || len(sent) != 2 {
			t.Fatalf("%d GETs and %d patches, want 1 and 2", len(got), len(sent))
		}
		if after := got[0].Sub(sent[0]); after < 500*time.Millisecond {
			t.Errorf("the GET came %v after the report that failed, want 500ms or more", after)
		}
		if after := sent[1].Sub(sent[0]); after < 500*time.Millisecond {
			t.Errorf("the report came again after %v, want 500ms or more", after)
		}
		w.wantReported("a minute later", `{"a":1}`)
	})
}

// A hub that asks for a longer pause than an hour gets an hour.
func TestRetryAfterIsBounded(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(429, "").RetryAfter(1000*time.Hour))
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		w.wantReported("before the hour is over", `{}`)
		time.Sleep(2 * time.Minute)
		w.wantReported("after an hour", `{"a":1}`)
	})
}

// A back-off is over once the hub has taken a report: the next refusal begins
// with a short one.
func TestPatchBackOffEnds(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		patches := w.sentAt(hubtest.PatchReported)
		for n, failures := range []int{7, 1} {
			w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(429, "").Times(failures))
			if err := c.ReportLater(t.Context(), twin.Set("n", n)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		at := patches()
		if len(at) != 8+2 {
			t.Fatalf("%d patches, want 10", len(at))
		}
		if last := at[9].Sub(at[8]); last > time.Second {
			t.Errorf("after a report that was taken, the next refusal held it up for %v, want 1s or less", last)
		}
	})
}

// The same for GETs.
func TestGetBackOffEnds(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		time.Sleep(time.Minute)
		gets := w.sentAt(hubtest.GetTwin)
		for _, failures := range []int{7, 1} {
			w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Answer(429, "").Times(failures))
			if _, err := c.GetTwin(soon(t, 20*time.Minute)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		at := gets()
		if len(at) != 8+2 {
			t.Fatalf("%d GETs, want 10", len(at))
		}
		if last := at[9].Sub(at[8]); last > time.Second {
			t.Errorf("after a GET that was answered, the next refusal held it up for %v, want 1s or less", last)
		}
	})
}

// While a GET is put off until the next day, a report of unknown fate is not.
func TestReportOfUnknownFateWaitsForNoQuota(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		time.Sleep(time.Minute)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(403002).Times(-1))
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(500, ""))
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.wantReported("ten minutes later", `{"a":1}`)
	})
}

// An OnState that hangs costs a bound of memory, and then hears the newest
// states, the last of them at the end.
func TestSlowOnStateHearsTheNewest(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var heard []device.State
		first, release := true, make(chan struct{})
		c := w.client(&device.Options{OnState: func(s device.State) {
			mu.Lock()
			wait := first
			first = false
			heard = append(heard, s)
			mu.Unlock()
			if wait {
				<-release
			}
		}})
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			_ = w.hub.Device("dev1").Cut()
			time.Sleep(5 * time.Minute)
		}
		close(release)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(heard) > 1+32 {
			t.Errorf("OnState heard %d states, want the first and 32 at most", len(heard))
		}
		if last, now := heard[len(heard)-1], c.State(); last != now {
			t.Errorf("OnState heard %+v last, and the state is %+v", last, now)
		}
	})
}
