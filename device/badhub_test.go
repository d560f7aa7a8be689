package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// State reports what is missing, and no longer once the feature is back,
// on a connection that stays (X.509, or a token that is renewed in place).
func TestMissingIsGoneOnceTheFeatureIsBack(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 24 * time.Hour})
		remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Subscribe), hubtest.Fail(403004).Times(-1))
		c := w.online(nil)
		if c.State().Missing == nil {
			t.Fatal("nothing is missing")
		}
		remove()
		time.Sleep(2 * time.Hour)
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		if s := c.State(); s.Phase != device.Online || s.Missing != nil {
			t.Errorf("the twin works, and the state is %+v", s)
		}
	})
}

// a report with a precondition that a missing feature ends is given up,
// and its caller doesn't hear that it is still wanted.
func TestGuardedAtAHubWithoutTwin(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Subscribe), hubtest.Fail(403004).Times(-1))
		c := w.online(nil)
		_, err := c.UpdateReportedIf(t.Context(), twin.Set("n", 1), 1)
		remove()
		time.Sleep(2 * time.Hour)
		if errors.Is(err, device.ErrStillWanted) && w.reported() == `{}` {
			t.Errorf("UpdateReportedIf: %v; it was dropped", err)
		}
	})
}

// a guarded report of unknown fate does not hold up others for ever at a
// hub that refuses GETs.
func TestGuardedOfUnknownFateAndRefusedGets(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(404001).Times(-1))
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Cut())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.UpdateReportedIf(ctx, twin.Set("lease", 1), 1)
		t.Logf("UpdateReportedIf: %v", err)
		if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if !strings.Contains(w.reported(), `"n":1`) {
			t.Errorf("after a day the hub has %s", w.reported())
		}
	})
}

// the same for a plain report, where the line is cut every ten minutes.
func TestPlainOfUnknownFateRefusedGetsAndCuts(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(404001).Times(-1))
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Cut())
		if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		for range 24 * 6 {
			time.Sleep(10 * time.Minute)
			_ = w.hub.Device("dev1").Cut()
		}
		if !strings.Contains(w.reported(), `"n":1`) {
			t.Errorf("after a day the hub has %s", w.reported())
		}
	})
}

// refusals of guarded reports are paced, like those of others.
func TestGuardedRefusalsHaveNoPace(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Answer(400, "").Times(-1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for ctx.Err() == nil {
			_, _ = c.UpdateReportedIf(ctx, twin.Set("bad", 1), 1)
			time.Sleep(time.Second)
		}
		bound(t, 0, "patches", w.hub.Device("dev1").Stats().Patches, 120)
	})
}

// a hub that is silent at guarded reports costs at most 60 GETs an hour.
func TestSilentAtGuarded(t *testing.T) {
	for name, act := range map[string]hubtest.Action{"silent": hubtest.Drop(), "hangs up": hubtest.Cut(), "500": hubtest.Fail(500001)} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				w.hub.Intercept(func(m hubtest.Message) bool {
					return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "lease")
				}, act.Times(-1))
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
				defer cancel()
				go func() {
					for ctx.Err() == nil {
						_, _ = c.UpdateReportedIf(ctx, twin.Set("lease", 1), 1)
					}
				}()
				for hour := range 3 {
					before := w.hub.Device("dev1").Stats()
					time.Sleep(time.Hour - time.Second)
					after := w.hub.Device("dev1").Stats()
					bound(t, hour, "connects", after.Connects-before.Connects, 40)
					bound(t, hour, "GETs", after.Gets-before.Gets, 60)
					bound(t, hour, "patches", after.Patches-before.Patches, 120)
				}
				time.Sleep(10 * time.Second)
			})
		})
	}
}

// a call without a deadline of its own names why it waited, and a
// poison reported as part of a whole object each minute costs what a suspect
// may cost.
func TestPoisonInAWholeObject(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "poison")
		}, hubtest.Cut().Times(-1))
		for hour := range 4 {
			before := w.hub.Device("dev1").Stats()
			for i := range 60 {
				if err := c.ReportLater(t.Context(), twin.Replace("o", map[string]any{"poison": 1, "n": i})); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			if hour > 0 {
				bound(t, hour, "connects for suspects", w.hub.Device("dev1").Stats().Connects-before.Connects, 2)
			}
		}
	})
}

// a client that closes at any moment of a bad line leaves nothing behind
// and does not hang.
func TestCloseAtAnyMoment(t *testing.T) {
	for i := range 400 {
		story(t, func(t *testing.T, w *world) {
			act := []hubtest.Action{hubtest.Drop(), hubtest.Delay(700 * time.Millisecond), hubtest.Cut(), hubtest.Fail(429001), hubtest.Fail(500001)}[i%5]
			w.hub.Intercept(func(m hubtest.Message) bool { return true }, act.Times(1+i%7))
			c := w.client(&device.Options{RequestTimeout: 3 * time.Second})
			done := make(chan struct{}, 4)
			go func() { _ = c.Connect(t.Context()); done <- struct{}{} }()
			synctest.Wait()
			go func() { _, _ = c.UpdateReported(t.Context(), twin.Set("n", i)); done <- struct{}{} }()
			go func() { _, _ = c.UpdateReportedIf(t.Context(), twin.Set("m", i), 1); done <- struct{}{} }()
			go func() { _, _ = c.GetTwin(t.Context()); done <- struct{}{} }()
			time.Sleep(time.Duration(i) * 37 * time.Millisecond)
			if i%3 == 0 {
				_ = c.Renew()
			}
			start := time.Now()
			_ = c.Close()
			if d := time.Since(start); d > 6*time.Second {
				t.Errorf("%d: Close took %v", i, d)
			}
			for range 4 {
				<-done
			}
			if d := time.Since(start); d > 6*time.Second {
				t.Errorf("%d: callers waited %v", i, d)
			}
		})
	}
}

// a key that the hub refuses, reported each second, holds up no other key
// for more than a minute.
func TestRefusedKeyStarvesOthers(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "bad")
		}, hubtest.Answer(400, "").Times(-1))
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour)
		defer cancel()
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := c.ReportLater(ctx, twin.Set("bad", i)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		time.Sleep(time.Hour)
		start := time.Now()
		short, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if _, err := c.UpdateReported(short, twin.Set("n", 1)); err != nil || time.Since(start) > time.Minute {
			t.Errorf("another key: %v after %v", err, time.Since(start))
		}
		cancel()
		time.Sleep(10 * time.Second)
	})
}

// the token ends with a request in flight at a hub that answers late:
// no report is lost or sent twice, and the client stays online.
func TestRenewalWithSlowHub(t *testing.T) {
	for _, delay := range []time.Duration{time.Second, 20 * time.Second, 29 * time.Second, 45 * time.Second} {
		for _, life := range []time.Duration{2 * time.Minute, 10 * time.Minute} {
			t.Run(fmt.Sprint(delay, life), func(t *testing.T) {
				story(t, func(t *testing.T, w *world) {
					key, err := auth.ParseKey(w.dev.PrimaryKey)
					if err != nil {
						t.Fatal(err)
					}
					w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: life})
					c := w.online(nil)
					w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Delay(delay).Times(-1))
					before := w.hub.Device("dev1").Stats()
					for i := range 120 {
						if err := c.ReportLater(t.Context(), twin.Set("n", i)); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Minute)
					}
					after := w.hub.Device("dev1").Stats()
					time.Sleep(5 * time.Minute)
					w.wantReported("at the end", `{"n":119}`)
					t.Logf("%+v", after)
					bound(t, 0, "connects in two hours", after.Connects-before.Connects, int(2*time.Hour/(life*3/4))+80)
					bound(t, 0, "GETs in two hours", after.Gets-before.Gets, int(2*time.Hour/(life*3/4))+120)
					bound(t, 0, "patches in two hours", after.Patches-before.Patches, 240)
				})
			})
		}
	}
}

// a GET that a hub throttles with Retry-After holds up no report for
// that long.
func TestThrottledGetHoldsUpReports(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(429001).RetryAfter(time.Hour).Times(-1))
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Cut())
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		_, err := c.UpdateReported(ctx, twin.Set("n", 1))
		if err != nil || time.Since(start) > 30*time.Minute {
			t.Errorf("%v after %v, with %d GETs", err, time.Since(start), w.hub.Device("dev1").Stats().Gets)
		}
	})
}

// the same for a key that is reported each 30 seconds, too.
func TestRefusedKeyStarvesAFrequentOne(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "bad")
		}, hubtest.Answer(400, "").Times(-1))
		var late, worst int
		for i := range 4 * 3600 {
			p := twin.Set("bad", i)
			if i%30 == 0 {
				p = p.Set("n", i)
			}
			if err := c.ReportLater(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if i%30 == 29 {
				var doc struct{ N int }
				if err := json.Unmarshal([]byte(w.reported()), &doc); err != nil {
					t.Fatal(err)
				}
				if age := i - doc.N; age > 90 {
					late++
					worst = max(worst, age)
				}
			}
		}
		if late > 0 {
			t.Errorf("n was older than 90 s at the hub in %d of 480 looks, up to %v", late, time.Duration(worst)*time.Second)
		}
	})
}

// State reports a feature that the hub refuses on a connection that
// resumes a session.
func TestMissingOnAResumedSession(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.Subscribe)(m) && strings.Contains(strings.Join(m.Topics, " "), "desired")
		}, hubtest.Fail(403004).Times(-1))
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s := c.State(); s.Phase != device.Online || s.Missing == nil {
			t.Errorf("desired changes are refused, and the state is %+v", s)
		}
	})
}

// GetTwin is answered within eight turns while the hub hangs up at some
// property, and while reports come each second.
func TestGetTwinAmongPoison(t *testing.T) {
	for name, act := range map[string]hubtest.Action{"silent": hubtest.Drop(), "hangs up": hubtest.Cut(), "500": hubtest.Fail(500001), "400": hubtest.Answer(400, "")} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				w.hub.Intercept(func(m hubtest.Message) bool {
					return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "poison")
				}, act.Times(-1))
				var worstGet, worstReport time.Duration
				before := w.hub.Device("dev1").Stats()
				for i := range 120 {
					if err := c.ReportLater(t.Context(), twin.Set("poison", i)); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					if _, err := c.GetTwin(ctx); err != nil {
						t.Fatal(err)
					}
					if i > 10 {
						worstGet = max(worstGet, time.Since(start))
					}
					start = time.Now()
					if _, err := c.UpdateReported(ctx, twin.Set("n", i)); err != nil {
						t.Fatalf("another key: %v", err)
					}
					cancel()
					if i > 10 {
						worstReport = max(worstReport, time.Since(start))
					}
				}
				after := w.hub.Device("dev1").Stats()
				t.Logf("GetTwin %v, another key %v; %d connects, %d patches", worstGet, worstReport, after.Connects-before.Connects, after.Patches-before.Patches)
				if worstGet > 2*time.Minute || worstReport > 3*time.Minute {
					t.Errorf("GetTwin took up to %v, another key up to %v", worstGet, worstReport)
				}
			})
		})
	}
}

// a restart causes no storm: a suspect stays one.
func TestRestartsWithASuspect(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		st := &memStore{}
		c := w.online(&device.Options{Store: st})
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "poison")
		}, hubtest.Cut().Times(-1))
		if err := c.ReportLater(t.Context(), twin.Set("poison", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		for i := range 20 {
			if err := c.ReportLater(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			_ = c.Close()
			c = w.online(&device.Options{Store: st})
			time.Sleep(2 * time.Minute)
			if !strings.Contains(w.reported(), fmt.Sprintf(`"n":%d`, i)) {
				t.Errorf("restart %d: the hub has %s", i, w.reported())
			}
		}
	})
}

// a hub whose GETs are old for a while, as a replica's may be, costs at
// most 60 GETs and 120 patches an hour.
func TestStaleGets(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin),
			hubtest.Answer(200, `{"desired":{"$version":1},"reported":{"$version":1}}`).Times(-1))
		for i := range 2 {
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
		}
		w.hub.Device("dev1").Cut()
		before := w.hub.Device("dev1").Stats()
		time.Sleep(time.Hour)
		after := w.hub.Device("dev1").Stats()
		bound(t, 0, "GETs", after.Gets-before.Gets, 60)
		bound(t, 0, "patches", after.Patches-before.Patches, 120)
	})
}
