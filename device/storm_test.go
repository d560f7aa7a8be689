package device_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func TestHubThatClosesAfterEachLogin(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for time.Since(start) < 10*time.Minute {
				time.Sleep(time.Second)
				_ = w.hub.Device("dev1").Cut() // most of the time there is nothing to cut
			}
		}()
		_ = c.Connect(t.Context())
		<-done
		if s := w.hub.Device("dev1").Stats(); s.Connects > 20 || s.Gets > s.Connects {
			t.Errorf("%d connects and %d GETs in ten minutes", s.Connects, s.Gets)
		}
		if err := c.State().Err; errors.Is(err, transport.ErrUnauthorized) {
			t.Errorf("the cause is claimed to be %v", err)
		}
	})
}

func TestQuotaWaitsForTheNextDay(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.PatchReported)(m) && time.Now().Before(midnight)
		}, hubtest.Fail(403002).Times(-1))
		_, err := c.UpdateReported(t.Context(), twin.Set("n", 1))
		if !errors.Is(err, device.ErrStillWanted) {
			t.Errorf("UpdateReported: %v, want ErrStillWanted", err)
		}
		time.Sleep(time.Until(midnight.Add(-time.Second)))
		w.wantReported("before midnight", `{}`)
		if got := w.hub.Device("dev1").Stats().Patches; got != 1 {
			t.Errorf("%d patches against a quota that was used up, want 1: it is not forgotten at a reconnect", got)
		}
		time.Sleep(10 * time.Minute)
		w.wantReported("after midnight", `{"n":1}`)
	})
}

func TestTenThousandUpdatesOfACounter(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(&device.Options{Logger: slog.New(slog.DiscardHandler)})
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Delay(200*time.Millisecond).Times(-1))
		start, before := time.Now(), heap()
		for i := range 10000 {
			if err := c.ReportLater(t.Context(), twin.Set("n", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if after := heap(); after > before+512<<10 {
			t.Errorf("the heap grew from %d to %d bytes", before, after)
		}
		if _, err := c.UpdateReported(t.Context(), twin.Set("last", true)); err != nil {
			t.Fatal(err)
		}
		w.wantReported("the last value", `{"last":true,"n":9999}`)
		if n, most := w.hub.Device("dev1").Stats().Patches, int(time.Since(start)/time.Second+1)*6; n > most {
			t.Errorf("%d patches in %v", n, time.Since(start))
		}
		s := c.Stats()
		if s.Reports != 10001 || s.PatchesOut != int64(w.hub.Device("dev1").Stats().Patches) || s.Outstanding {
			t.Errorf("the client counts %+v", s)
		}
	})
}

func TestTwoHundredRenewalsUnderLoad(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		key, err := auth.ParseKey(w.dev.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 5 * time.Minute})
		logins := w.logins()
		c, start := w.online(nil), time.Now()
		n := 0
		for ; logins() <= 200; n++ {
			if _, err := c.UpdateReported(t.Context(), twin.Set("n", n)); err != nil {
				t.Fatalf("report %d: %v", n, err)
			}
			time.Sleep(700 * time.Millisecond)
		}
		tw, err := w.hub.Device("dev1").Twin()
		if err != nil || tw.Reported.Version != int64(n+1) {
			t.Errorf("version %d (%v) after %d reports: one was lost or sent twice", tw.Reported.Version, err, n)
		}
		s := w.hub.Device("dev1").Stats()
		if resyncs := int(time.Since(start) / device.DefaultResync); s.Gets < s.Connects || s.Gets > s.Connects+resyncs {
			t.Errorf("%d GETs for %d connects", s.Gets, s.Connects)
		}
		if w.renewsInPlace() && s.Connects != 1 {
			t.Errorf("%d connects for %d renewals on the connection, want one", s.Connects, logins()-1)
		}
	})
}

func TestResyncFindsWhatWasLostWithoutATrace(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(&device.Options{Resync: time.Hour})
		var a ears
		if _, err := c.OnDesired("a", a.listener, nil); err != nil {
			t.Fatal(err)
		}
		a.take()
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.Desired), hubtest.Drop())
		w.setDesired(`{"a":1}`)
		time.Sleep(40 * time.Minute)
		wantLines(t, "before", a.take())
		time.Sleep(40 * time.Minute) // a token was renewed by now, too
		if got := a.take(); len(got) != 1 {
			t.Errorf("heard %q", got)
		}
	})
	c := device.New(auth.Identity{Host: "h.x", DeviceID: "d"}, auth.SAS(auth.Key{}, nil), mqtt.Dialer{}, &device.Options{Resync: time.Second})
	if err := c.Connect(context.Background()); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a resync every second: %v", err)
	}
	_ = c.Close()
}

func TestUpdateReportedIf(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		version, err := c.UpdateReportedIf(t.Context(), twin.Set("n", 1), 1)
		if err != nil || version != 2 {
			t.Errorf("at the right version: %d, %v", version, err)
		}
		if _, err := c.UpdateReportedIf(t.Context(), twin.Set("n", 9), 1); !errors.Is(err, transport.ErrPrecondition) {
			t.Errorf("at an old version: %v", err)
		}
		if _, err := c.UpdateReportedIf(t.Context(), twin.Set("n", 9), 0); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("at no version: %v", err)
		}
		w.wantReported("nothing changed", `{"n":1}`)
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.CutAfter())
		if version, err = c.UpdateReportedIf(t.Context(), twin.Set("n", 2), 2); err != nil || version != 3 {
			t.Errorf("applied, and the answer lost: %d, %v", version, err)
		}
		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Cut())
		if version, err = c.UpdateReportedIf(t.Context(), twin.Set("n", 3), 3); err != nil || version != 4 {
			t.Errorf("not applied, and cut: %d, %v", version, err)
		}
		w.hub.Device("dev1").SetLine(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.UpdateReportedIf(ctx, twin.Set("n", 4), 4)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, device.ErrStillWanted) {
			t.Errorf("offline: %v", err)
		}
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(5 * time.Minute)
		w.wantReported("it was given up", `{"n":3}`)
	})
}

func TestSessionsAreResumedWithinACredential(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var resumed []bool
		config := hubConfig(w.hub)
		config.VerifyConnection = func(cs tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			resumed = append(resumed, cs.DidResume)
			return nil
		}
		stream := transport.TLS(&transport.TLSOptions{Config: config, DialContext: w.hub.DialContext})
		c := device.New(w.dev.Identity, w.dev.Credential, mqtt.Dialer{Stream: stream}, nil)
		defer c.Close()
		for range 3 {
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			_ = w.hub.Device("dev1").Cut()
			time.Sleep(time.Minute)
		}
		mu.Lock()
		defer mu.Unlock()
		if got := fmt.Sprint(resumed); got[:len("[false true true")] != "[false true true" {
			t.Errorf("resumed: %s", got)
		}
	})
}

func TestStatsBeforeAnything(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if got := c.Stats(); got != (device.Stats{}) {
			t.Errorf("a new client counts %+v", got)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.setDesired(`{"a":1}`)
		synctest.Wait()
		s := c.Stats()
		if s.Connects != 1 || s.Gets != 1 || s.PatchesIn != 1 || s.DesiredVersion != 2 || s.ReportedVersion != 1 || s.BytesIn == 0 || s.Outstanding {
			t.Errorf("the client counts %+v", s)
		}
	})
}

func TestSuspendIsCountedByTheElapsedClock(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		start, slept := time.Now(), make(chan time.Duration, 1)
		slept <- 0
		elapsed := func() time.Duration {
			d := <-slept
			slept <- d
			return time.Since(start) + d
		}
		logins := w.logins()
		c := w.online(&device.Options{Elapsed: elapsed})
		<-slept
		slept <- 3 * time.Hour // the board slept; Go's timers know nothing of it
		if _, err := c.UpdateReported(t.Context(), twin.Set("awake", true)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // a renewal in place holds no report up
		synctest.Wait()
		if got := logins(); got != 2 {
			t.Errorf("%d logins: the token of before the sleep is %s old", got, 3*time.Hour)
		}
	})
}
