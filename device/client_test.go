package device_test

import (
	"context"
	"errors"
	"slices"
	"strings"
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

func wantLines(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestMainJob(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"fan":{"rpm":900}}`)
		var fan, all ears
		c := w.client(nil)
		if _, err := c.OnDesired("fan.rpm", fan.listener, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := c.OnDesired("", all.listener, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLines(t, "at the start", fan.take(), "start 900")
		wantLines(t, "at the start, everything", all.take(), `start {"fan":{"rpm":900}}`)

		w.setDesired(`{"fan":{"rpm":1200}}`)
		wantLines(t, "a patch", fan.take(), "patch 1200")
		w.setDesired(`{"light":true}`)
		wantLines(t, "a patch elsewhere", fan.take())

		version, err := c.UpdateReported(t.Context(), twin.Set("climate.temperature", 21.5))
		if err != nil || version != 2 {
			t.Errorf("UpdateReported = %d, %v; want version 2", version, err)
		}
		w.wantReported("after the report", `{"climate":{"temperature":21.5}}`)

		doc, err := c.GetTwin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := doc.Desired.At("fan.rpm").String(); got != "1200" {
			t.Errorf("the twin's fan.rpm is %s", got)
		}
		if got := doc.Reported.Version(); got != 2 {
			t.Errorf("the twin's reported version is %d", got)
		}
	})
}

func TestChangesMadeWhileTheLineWasDown(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.setDesired(`{"a":1,"b":2}`)
		var a, b, n ears
		c := w.online(nil)
		for path, e := range map[string]*ears{"a": &a, "b": &b, "n": &n} {
			if _, err := c.OnDesired(path, e.listener, nil); err != nil {
				t.Fatal(err)
			}
			e.take()
		}
		w.hub.Device("dev1").SetLine(false)
		w.setDesired(`{"a":10,"b":null}`)
		if err := c.ReportLater(t.Context(), twin.Set("offline", true)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if got := c.State(); got.Phase != device.Waiting && got.Phase != device.Connecting || got.Err == nil {
			t.Errorf("with the line down the state is %+v", got)
		}
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(3 * time.Minute)
		wantLines(t, "changed", a.take(), "reconnect 10")
		wantLines(t, "removed", b.take(), "reconnect -")
		wantLines(t, "untouched", n.take())
		w.wantReported("what was reported while the line was down", `{"offline":true}`)
	})
}

func TestADayAlone(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := c.State().Phase; got != device.Online {
			t.Errorf("after a day the client is %v", got)
		}
		s := w.hub.Device("dev1").Stats()
		if s.Refused != 0 {
			t.Errorf("%d logins were refused", s.Refused)
		}
		// Tokens of an hour, renewed between 0.8 and 0.9 of it.
		least, most := 26, 31
		if w.renewsInPlace() {
			least, most = 1, 1
		}
		if s.Connects < least || s.Connects > most {
			t.Errorf("%d connects in a day of hourly tokens", s.Connects)
		}
		if resyncs := int(24 * time.Hour / device.DefaultResync); s.Gets < s.Connects || s.Gets > s.Connects+resyncs {
			t.Errorf("%d GETs for %d connects", s.Gets, s.Connects)
		}
		if strings.Contains(w.log.String(), "level=WARN") {
			t.Errorf("a quiet day gave warnings:\n%s", w.log)
		}
	})
}

func TestStalledPeerIsNoticed(t *testing.T) {
	for _, busy := range []bool{false, true} {
		name := map[bool]string{false: "idle", true: "publishing"}[busy]
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				const keepAlive = 60 * time.Second
				c := w.online(&device.Options{KeepAlive: keepAlive, RequestTimeout: 10 * time.Minute})
				w.hub.Device("dev1").Stall(true)
				start := time.Now()
				for busy && c.State().Phase == device.Online && time.Since(start) < 5*time.Minute {
					if err := c.ReportLater(t.Context(), twin.Set("n", time.Since(start).String())); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				for c.State().Phase == device.Online && time.Since(start) < 5*time.Minute {
					time.Sleep(time.Second)
				}
				if took := time.Since(start); took > keepAlive+11*time.Second {
					t.Errorf("noticed after %v", took)
				}
				if err := c.State().Err; !errors.Is(err, transport.ErrStalled) {
					t.Errorf("the cause is %v", err)
				}
				w.hub.Device("dev1").Stall(false)
				time.Sleep(5 * time.Minute)
				if got := c.State().Phase; got != device.Online {
					t.Errorf("afterwards the client is %v", got)
				}
			})
		})
	}
}

func TestCallsBeforeConnectAndAfterClose(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		check := func(when string, want error) {
			t.Helper()
			if _, err := c.GetTwin(t.Context()); !errors.Is(err, want) {
				t.Errorf("GetTwin %s: %v, want %v", when, err, want)
			}
			if _, err := c.UpdateReported(t.Context(), twin.Set("a", 1)); !errors.Is(err, want) {
				t.Errorf("UpdateReported %s: %v, want %v", when, err, want)
			}
		}
		check("before Connect", device.ErrNotStarted)
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Errorf("Connect again: %v", err)
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		check("after Close", device.ErrClosed)
		if err := c.ReportLater(t.Context(), twin.Set("a", 1)); !errors.Is(err, device.ErrClosed) {
			t.Errorf("ReportLater after Close: %v", err)
		}
		if err := c.Connect(t.Context()); !errors.Is(err, device.ErrClosed) {
			t.Errorf("Connect after Close: %v", err)
		}
		if _, err := c.OnDesired("a", new(ears).listener, nil); !errors.Is(err, device.ErrClosed) {
			t.Errorf("OnDesired after Close: %v", err)
		}
		if got := c.State().Phase; got != device.Closed {
			t.Errorf("the state is %v", got)
		}
		w.wantReported("nothing was sent", `{}`)
		synctest.Wait()
		if got := w.hub.Device("dev1").Stats().Disconnects; got != 1 {
			t.Errorf("%d polite ends, want 1", got)
		}
	})
}

func TestCloseOfAClientThatNeverStarted(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.client(nil)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Run(t.Context()); !errors.Is(err, device.ErrClosed) {
			t.Errorf("Run after Close: %v", err)
		}
	})
}

func TestWrongConfigurationEndsTheClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		id, cred := w.dev.Identity, w.dev.Credential
		good := mqtt.Dialer{Stream: w.hub.Stream}
		for _, tc := range []struct {
			desc string
			c    *device.Client
			says string
		}{
			{"no identity", device.New(auth.Identity{}, cred, good, nil), "HostName"},
			{"no credential", device.New(id, nil, good, nil), "credential"},
			{"no transport", device.New(id, cred, nil, nil), "transport"},
			{"keep-alive too long", device.New(id, cred, good, &device.Options{KeepAlive: time.Hour}), "KeepAlive"},
			{"request time-out", device.New(id, cred, good, &device.Options{RequestTimeout: -1}), "RequestTimeout"},
			{"token lifetime", device.New(id, auth.SAS(auth.Key{}, &auth.SASOptions{Lifetime: time.Second}), good, nil), "SASOptions.Lifetime"},
			{"policy", device.New(id, auth.SAS(auth.Key{}, &auth.SASOptions{Policy: "a\nb"}), good, nil), "SASOptions.Policy"},
			{"no signer", device.New(id, auth.SAS(nil, nil), good, nil), "signer"},
			{"no key", device.New(id, auth.SAS(auth.Key{}, nil), good, nil), "key is empty"},
			{"the zero token", device.New(id, auth.StaticToken(auth.Token{}), good, nil), "zero token"},
			{"no function for tokens", device.New(id, auth.TokenFunc(nil), good, nil), "TokenFunc"},
			{"an id that MQTT cannot say", device.New(auth.Identity{Host: id.Host, DeviceID: "a#b"}, cred, good, nil), "#"},
		} {
			err := tc.c.Connect(t.Context())
			if !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: Connect = %v, want one that says %q", tc.desc, err, tc.says)
			}
			if got := tc.c.State().Phase; got != device.Closed {
				t.Errorf("%s: the client is %v, want %v", tc.desc, got, device.Closed)
			}
			_ = tc.c.Close()
		}
		if got := w.hub.Stats().Connects + w.hub.Stats().Refused; got != 0 {
			t.Errorf("%d logins were tried", got)
		}
	})
}

func TestRefusedIdentityIsToldAndRetriedSlowly(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		// Over MQTT a hub says so of a wrong key, not of a disabled device.
		if _, err := w.hub.Device("dev1").SetKeys("", ""); err != nil {
			t.Fatal(err)
		}
		c := w.client(nil)
		start := time.Now()
		err := c.Connect(t.Context())
		if !errors.Is(err, transport.ErrUnauthorized) {
			t.Errorf("Connect = %v, want ErrUnauthorized", err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("told after %v", took)
		}
		time.Sleep(time.Hour)
		if got := w.hub.Device("dev1").Stats().Refused; got < 20 || got > 80 {
			t.Errorf("%d attempts in an hour", got)
		}
		if _, err := w.hub.Device("dev1").SetKeys(w.dev.PrimaryKey, ""); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Errorf("with its key again, Connect = %v", err)
		}
	})
}

func TestConnectWaitsForADeadLine(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.hub.SetLine(false)
		c := w.client(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err := c.Connect(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, hubtest.ErrLineDown) {
			t.Errorf("Connect = %v, want the deadline and the cause", err)
		}
		w.hub.SetLine(true)
		if err := c.Connect(t.Context()); err != nil {
			t.Errorf("Connect on a line that came up: %v", err)
		}
	})
}

func TestImplausibleClock(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		offset := time.Duration(0)
		now := time.Now()
		offset = time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC).Sub(now)
		clock := make(chan time.Duration, 1)
		clock <- offset
		c := w.client(&device.Options{Now: func() time.Time {
			d := <-clock
			clock <- d
			return time.Now().Add(d)
		}})
		if err := c.Connect(t.Context()); !errors.Is(err, auth.ErrClockImplausible) {
			t.Errorf("Connect = %v, want ErrClockImplausible", err)
		}
		time.Sleep(time.Minute)
		if s := w.hub.Device("dev1").Stats(); s.Refused+s.Connects != 0 {
			t.Errorf("the hub was bothered: %+v", s)
		}
		<-clock
		clock <- 0
		time.Sleep(6 * time.Second)
		if got := c.State().Phase; got != device.Online {
			t.Errorf("with the clock set right the client is %v", got)
		}
	})
}

func TestCancelledContexts(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Connect(done); !errors.Is(err, context.Canceled) {
			t.Errorf("Connect: %v", err)
		}
		if _, err := c.GetTwin(done); !errors.Is(err, context.Canceled) {
			t.Errorf("GetTwin: %v", err)
		}
		if err := c.ReportLater(done, twin.Set("a", 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("ReportLater: %v", err)
		}
		_, err := c.UpdateReported(done, twin.Set("a", 1))
		if !errors.Is(err, context.Canceled) || errors.Is(err, device.ErrStillWanted) {
			t.Errorf("UpdateReported with an ended context: %v, and it must not be wanted", err)
		}
		time.Sleep(time.Minute)
		w.wantReported("nothing was sent", `{}`)

		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.PatchReported), hubtest.Delay(5*time.Second))
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err = c.UpdateReported(ctx, twin.Set("a", 1))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, device.ErrStillWanted) {
			t.Errorf("UpdateReported: %v, want the deadline and ErrStillWanted", err)
		}
		time.Sleep(time.Minute)
		w.wantReported("the wanting did not end", `{"a":1}`)

		w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Drop())
		ctx, stop = context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err = c.GetTwin(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("GetTwin: %v", err)
		}
	})
}

func TestNothingHangsForEver(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.SetLine(false)
		start := time.Now()
		if _, err := c.GetTwin(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("GetTwin: %v", err)
		}
		if _, err := c.UpdateReported(context.Background(), twin.Set("a", 1)); !errors.Is(err, device.ErrStillWanted) {
			t.Errorf("UpdateReported: %v", err)
		}
		if took := time.Since(start); took != 2*device.DefaultCallTimeout {
			t.Errorf("both took %v", took)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.hub.SetLine(false)
		c := w.client(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil when its context ends", err)
		}
		if got := c.State().Phase; got != device.Closed {
			t.Errorf("after Run the client is %v", got)
		}
	})
}
