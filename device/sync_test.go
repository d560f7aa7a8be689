package device_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestConcurrentReportsRideTogether(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Delay(time.Second).Times(-1))
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := c.UpdateReported(t.Context(), twin.Set(fmt.Sprintf("k%d", i), i)); err != nil {
					t.Errorf("report %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if got := w.hub.Device("dev1").Stats().Patches; got > 2 {
			t.Errorf("100 reports at once took %d patches, want at most 2: the first, and the rest together", got)
		}
		if got := strings.Count(w.reported(), `"k`); got != 100 {
			t.Errorf("the hub has %d of them", got)
		}
	})
}

func TestCounterIsNeverReordered(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var mu sync.Mutex
		last, backwards := -1, 0
		w.hub.Intercept(func(m hubtest.Message) bool {
			if m.Op == hubtest.PatchReported && !m.FromHub {
				mu.Lock()
				defer mu.Unlock()
				var n int
				if _, err := fmt.Sscanf(string(m.Body), `{"n":%d}`, &n); err != nil || n < last {
					backwards++
				}
				last = n
				return true
			}
			return false
		}, hubtest.Delay(200*time.Millisecond).Times(-1))
		start := time.Now()
		for i := range 1000 {
			if err := c.ReportLater(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		w.wantReported("the last value", `{"n":999}`)
		if backwards != 0 {
			t.Errorf("%d patches went backwards", backwards)
		}
		if n, most := w.hub.Device("dev1").Stats().Patches, int(time.Since(start)/time.Second)*6; n > most {
			t.Errorf("%d patches, more than 6 a second", n)
		}
	})
}

func TestHubRefusesForGood(t *testing.T) {
	for _, code := range []int{400004, 403100, 413001} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				isBad := func(m hubtest.Message) bool {
					return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && strings.Contains(string(m.Body), "bad")
				}
				w.hub.Intercept(isBad, hubtest.Fail(code).Times(-1))
				var wg sync.WaitGroup
				wg.Go(func() {
					_, err := c.UpdateReported(t.Context(), twin.Set("bad", 1).Set("fine", 2))
					var status *transport.StatusError
					if !errors.Is(err, transport.ErrRejected) || !errors.As(err, &status) || status.Code != code {
						t.Errorf("the refused report: %v", err)
					}
				})
				wg.Go(func() {
					if _, err := c.UpdateReported(t.Context(), twin.Set("good", 3)); err != nil {
						t.Errorf("the report that rode along: %v", err)
					}
				})
				wg.Wait()
				time.Sleep(time.Hour)
				w.wantReported("all but the refused part", `{"fine":2,"good":3}`)
				if got := w.hub.Device("dev1").Stats().Patches; got > 6 {
					t.Errorf("it took %d patches", got)
				}
				if got := c.State().Phase; got != device.Online {
					t.Errorf("a refusal took the client to %v", got)
				}
			})
		})
	}
}

func TestThrottlingIsWaitedOut(t *testing.T) {
	for _, code := range []int{429001, 503001, 500001} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				calm := time.Now().Add(time.Minute)
				w.hub.Intercept(func(m hubtest.Message) bool {
					return !m.FromHub && (m.Op == hubtest.PatchReported || m.Op == hubtest.GetTwin) && time.Now().Before(calm)
				}, hubtest.Fail(code).Times(-1))
				if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
					t.Errorf("UpdateReported: %v", err)
				}
				w.wantReported("after the throttling", `{"n":1}`)
				if s := w.hub.Device("dev1").Stats(); s.Patches+s.Gets > 18 {
					t.Errorf("%d patches and %d GETs in a minute of %d", s.Patches, s.Gets, code)
				}
				if got := c.State().Phase; got != device.Online {
					t.Errorf("the client is %v", got)
				}
			})
		})
	}
}

func TestLostAnswers(t *testing.T) {
	for _, tc := range []struct {
		desc    string
		match   func(hubtest.Message) bool
		do      hubtest.Action
		version int64 // of reported, at the end
	}{
		{"the request is lost", hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Drop(), 2},
		{"the answer is lost", hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Drop(), 2},
		{"cut before", hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Cut(), 2},
		{"cut after", hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.CutAfter(), 2},
		{"answered twice", hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Duplicate(), 2},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				w.hub.Intercept(tc.match, tc.do)
				version, err := c.UpdateReported(t.Context(), twin.Set("n", 1))
				if err != nil || version != tc.version {
					t.Errorf("UpdateReported = %d, %v; want %d: applied once", version, err, tc.version)
				}
				tw, err := w.hub.Device("dev1").Twin()
				if err != nil || tw.Reported.Version != tc.version {
					t.Errorf("the hub is at version %d (%v), want %d", tw.Reported.Version, err, tc.version)
				}
			})
		})
	}
}

func TestAnswerToAGetIsLost(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Drop())
		start := time.Now()
		if _, err := c.GetTwin(t.Context()); err != nil {
			t.Errorf("GetTwin: %v", err)
		}
		if took := time.Since(start); took > device.DefaultRequestTimeout+2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestHubThatNeverAnswersIsLeft(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Drop().Times(-1))
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Drop().Times(-1))
		if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if got := w.hub.Device("dev1").Stats().Connects; got < 2 || got > 8 {
			t.Errorf("%d connects in five minutes without answers", got)
		}
	})
}

func TestLostNotificationIsFoundByTheNext(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var a, b ears
		for path, e := range map[string]*ears{"a": &a, "b": &b} {
			if _, err := c.OnDesired(path, e.listener, nil); err != nil {
				t.Fatal(err)
			}
			e.take()
		}
		time.Sleep(time.Minute)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Drop())
		w.setDesired(`{"a":1}`)
		wantLines(t, "the lost change", a.take())
		w.setDesired(`{"b":2}`)
		time.Sleep(2 * time.Second)
		wantLines(t, "found by the gap", a.take(), "gap 1")
		wantLines(t, "the change after it", b.take(), "gap 2")
		if got := w.hub.Device("dev1").Stats().Gets; got != 2 {
			t.Errorf("%d GETs, want 2: at the start, and for the gap", got)
		}
	})
}

func TestBrokenAnswersTakeNothingAway(t *testing.T) {
	broken := map[string]hubtest.Action{
		"no reported":              hubtest.Edit("reported", ""),
		"reported is a list":       hubtest.Edit("reported", "[]"),
		"reported at version 0":    hubtest.Edit("reported.$version", "0"),
		"desired's version a text": hubtest.Edit("desired.$version", `"1"`),
		"too deep":                 hubtest.Edit("desired.a", strings.Repeat("[", 5000)+strings.Repeat("]", 5000)),
	}
	for _, body := range []string{
		``, `{}`, `null`, `[]`, "\xff\xfe", `{"desired":{"$version":1},"reported":{"$version":1}`,
		`{"desired":{"$version":1},"reported":{"$version":1}}}`, `{"desired":{"$version":1,"a":` + strings.Repeat("[", 5000),
	} {
		broken[body[:min(len(body), 60)]] = hubtest.Answer(200, body)
	}
	for name, do := range broken {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				w.setDesired(`{"a":1}`)
				c := w.online(nil)
				var a ears
				if _, err := c.OnDesired("a", a.listener, nil); err != nil {
					t.Fatal(err)
				}
				wantLines(t, "at the start", a.take(), "start 1")
				w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), do)
				if _, err := c.GetTwin(t.Context()); err == nil {
					t.Error("GetTwin took it for a twin")
				}
				time.Sleep(time.Minute)
				wantLines(t, "listeners heard", a.take())
				if doc, err := c.GetTwin(t.Context()); err != nil || doc.Desired.At("a").String() != "1" {
					t.Errorf("later GetTwin = %v, %v", doc, err)
				}
				if got := c.State().Phase; got != device.Online {
					t.Errorf("the client is %v", got)
				}
			})
		})
	}
}

func TestBrokenFirstAnswerIsAskedAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Answer(200, `{}`).Times(3))
		w.online(nil)
	})
}

func TestBrokenNotificationIsAGap(t *testing.T) {
	for _, body := range []string{``, `{`, `[]`, `{"a":1}`, "\xff"} {
		story(t, func(t *testing.T, w *world) {
			c := w.online(nil)
			var a ears
			if _, err := c.OnDesired("a", a.listener, nil); err != nil {
				t.Fatal(err)
			}
			a.take()
			time.Sleep(time.Minute)
			w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Answer(0, body))
			w.setDesired(`{"a":7}`)
			time.Sleep(2 * time.Second)
			heard := a.take()
			if len(heard) != 1 || !strings.HasSuffix(heard[0], " 7") && body != `{"a":1}` {
				t.Errorf("notification %q: heard %q", body, heard)
			}
		})
	}
}

func TestTakeoverBacksOff(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.online(nil)
		w.online(nil) // the same identity, another board
		time.Sleep(10 * time.Minute)
		if got := w.hub.Device("dev1").Stats().Connects; got > 40 {
			t.Errorf("two boards with one identity made %d connects in ten minutes", got)
		}
	})
}

func TestDeviceCreatedAnew(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1}`)
		w.setDesired(`{"a":2}`)
		c := w.online(nil)
		var a ears
		if _, err := c.OnDesired("a", a.listener, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		a.take()
		if err := w.hub.Device("dev1").Remove(); err != nil {
			t.Fatal(err)
		}
		dev, err := w.hub.AddDevice("dev1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.hub.Device("dev1").SetKeys(w.dev.PrimaryKey, dev.SecondaryKey); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantLines(t, "the value of before is gone", a.take(), "another twin -")
		w.setDesired(`{"a":3}`)
		wantLines(t, "version 2 counts again", a.take(), "patch 3")
		w.wantReported("reported again", `{"n":1}`)
	})
}

func TestRefusedReportsNeverLeave(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		cyclic := map[string]any{}
		cyclic["self"] = cyclic
		for _, p := range []twin.Patch{
			twin.Set("a.b$", 1), twin.Set("sp ace", 1), twin.Set("n", int64(1)<<53), twin.Set("n", nan()), twin.From(cyclic),
			twin.Set("f", func() {}), twin.Set("s", strings.Repeat("x", 4097)), twin.From(7), twin.Set("l", []any{1, nil}),
		} {
			if _, err := c.UpdateReported(t.Context(), p); !errors.Is(err, twin.ErrInvalid) {
				t.Errorf("UpdateReported(%v) = %v, want ErrInvalid", p, err)
			}
			if err := c.ReportLater(t.Context(), p); !errors.Is(err, twin.ErrInvalid) {
				t.Errorf("ReportLater(%v) = %v, want ErrInvalid", p, err)
			}
		}
		synctest.Wait()
		if got := w.hub.Device("dev1").Stats().Patches; got != 0 {
			t.Errorf("%d patches were sent", got)
		}
	})
}

func nan() float64 { zero := 0.0; return zero / zero }

func TestNoSecretIsLogged(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Device("dev1").SetLine(false)
		time.Sleep(time.Minute)
		if _, err := w.hub.Device("dev1").SetKeys("", ""); err != nil {
			t.Fatal(err)
		}
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(10 * time.Minute)
		_, _ = fmt.Fprintf(w.log, "%v %+v %#v %v", c.State(), c.State(), c.State(), c.Connect(t.Context()))
		for _, secret := range []string{w.dev.PrimaryKey, w.dev.SecondaryKey, "sig="} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("the log holds a secret:\n%s", w.log)
			}
		}
		if !strings.Contains(w.log.String(), "refused") {
			t.Error("the log does not even say that the hub refused")
		}
	})
}

func TestGetTwinCallsShareARequest(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Delay(time.Second).Times(-1))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := c.GetTwin(context.Background()); err != nil {
					t.Errorf("GetTwin: %v", err)
				}
			})
		}
		wg.Wait()
		if got := w.hub.Device("dev1").Stats().Gets; got > 3 {
			t.Errorf("20 calls took %d GETs, want at most 3", got)
		}
	})
}
