package device_test

import (
	"context"
	"errors"
	"fmt"
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

// A hub that refuses every GET and hangs up at one property gets the others.
func TestPoisonWithoutAnyGet(t *testing.T) {
	for name, act := range map[string]hubtest.Action{"hangs up": hubtest.Cut(), "is silent": hubtest.Drop(), "500": hubtest.Fail(500001)} {
		for _, seen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, seen %v", name, seen), func(t *testing.T) {
				story(t, func(t *testing.T, w *world) {
					c := w.client(nil)
					if seen {
						if err := c.Connect(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					begin := time.Now()
					w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(429001).Times(-1))
					w.hub.Intercept(hubtest.PatchNaming("dev1", "bad"), act.Times(-1))
					p := twin.Set("bad", 1)
					for i := range 8 {
						p = p.Set(fmt.Sprint("k", i), i)
					}
					if err := c.ReportLater(t.Context(), p); err != nil {
						t.Fatal(err)
					}
					go c.Connect(context.Background())
					time.Sleep(time.Minute)
					if err := c.ReportLater(t.Context(), twin.Set("later", 1)); err != nil {
						t.Fatal(err)
					}
					arrived := time.Duration(0)
					for range 24 * 60 {
						time.Sleep(time.Minute)
						have, _ := twin.ParseProperties([]byte(w.reported()))
						if have.At("k0").Exists() && have.At("k7").Exists() && have.At("later").Exists() {
							arrived = time.Since(begin)
							break
						}
					}
					t.Logf("arrived after %v: %s", arrived, w.reported())
					if arrived == 0 || arrived > time.Hour {
						t.Errorf("the others arrived after %v (0: not in a day)", arrived)
					}
				})
			})
		}
	}
}

// A device that was created anew while the hub refused GETs has the whole
// reported state back.
func TestTwinCreatedAnewWithoutAnyGet(t *testing.T) {
	for _, tc := range []struct {
		desc                   string
		store, before, restart bool
		live                   bool // it saw a GET before the blindness
	}{
		{desc: "fresh store", store: true},
		{desc: "fresh store, restart", store: true, restart: true},
		{desc: "known store", store: true, before: true},
		{desc: "known store, restart", store: true, before: true, restart: true},
		{desc: "live", store: true, live: true},
		{desc: "live, no store", live: true},
		{desc: "no store"},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				opts, st := &device.Options{}, &memStore{}
				if tc.store {
					opts.Store = st
				}
				if tc.before {
					c := w.online(opts)
					if _, err := c.UpdateReported(t.Context(), twin.Set("old", 1)); err != nil {
						t.Fatal(err)
					}
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
				}
				var c *device.Client
				if tc.live {
					c = w.online(opts)
				}
				remove := w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(500001).Times(-1))
				if !tc.live {
					c = w.client(opts)
					go c.Connect(context.Background())
				} else {
					w.hub.Device("dev1").Cut()
				}
				for i := range 5 {
					if _, err := c.UpdateReported(soon(t, 10*time.Minute), twin.Set(fmt.Sprint("a", i), i)); err != nil {
						t.Fatal(err)
					}
				}
				createAnew(t, w)
				if tc.restart {
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
					c = w.client(opts)
					go c.Connect(context.Background())
				}
				time.Sleep(10 * time.Minute)
				remove()
				time.Sleep(10 * time.Minute)
				want := `{"a0":0,"a1":1,"a2":2,"a3":3,"a4":4}`
				if tc.before {
					want = `{"a0":0,"a1":1,"a2":2,"a3":3,"a4":4,"old":1}`
				}
				w.wantReported("in the end", want)
			})
		})
	}
}
