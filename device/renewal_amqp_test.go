package device_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/twin"
)

// overAMQP is story with a client that speaks AMQP.
func overAMQP(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	story(t, func(t *testing.T, w *world) {
		w.dialer = amqp.Dialer{Stream: w.hub.Stream}
		f(t, w)
	})
}

// A day of hourly tokens is one connection, and misses nothing.
func TestADayOverAMQP(t *testing.T) {
	overAMQP(t, func(t *testing.T, w *world) {
		var e ears
		c := w.client(nil)
		if _, err := c.OnDesired("n", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatalf("Connect: %v", err)
		}
		var puts atomic.Int64
		w.hub.Intercept(func(m hubtest.Message) bool { puts.Add(int64(pairs(m))); return false }, hubtest.Pass())
		e.take()
		for i := range 24 {
			time.Sleep(time.Hour)
			w.setDesired(`{"n":` + string(rune('0'+i%10)) + `}`)
			if got := e.take(); len(got) != 1 {
				t.Errorf("hour %d: heard %v, want one change", i, got)
			}
			if _, err := c.UpdateReported(t.Context(), twin.Set("hour", i)); err != nil {
				t.Errorf("hour %d: report: %v", i, err)
			}
		}
		s := w.hub.Device("dev1").Stats()
		if s.Connects != 1 || s.Gets != 1 || s.Refused != 0 {
			t.Errorf("counted %+v, want one connect and one GET", s)
		}
		if n := puts.Load(); n < 25 || n > 31 {
			t.Errorf("%d renewals in a day of hourly tokens", n)
		}
		if strings.Contains(w.log.String(), "level=WARN") {
			t.Errorf("a quiet day gave warnings:\n%s", w.log)
		}
	})
}

// pairs counts a put-token.
func pairs(m hubtest.Message) int {
	if m.Op == hubtest.Connect && !m.FromHub {
		return 1
	}
	return 0
}

// What does not renew is made up for by a new connection, at once.
func TestRenewalThatFails(t *testing.T) {
	for name, act := range map[string]hubtest.Action{
		"refused": hubtest.Answer(401, ""), "throttled": hubtest.Fail(429001),
		"lost": hubtest.Drop(), "cut": hubtest.Cut(),
	} {
		t.Run(name, func(t *testing.T) {
			overAMQP(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.Connect), act)
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := c.State().Phase; got != device.Online {
					t.Errorf("the client is %v", got)
				}
				if s := w.hub.Device("dev1").Stats(); s.Connects != 2 {
					t.Errorf("counted %+v, want a second connection", s)
				}
			})
		})
	}
}

// Client.Renew connects anew, also while a renewal in place is under way, and a
// client closes while one is.
func TestRenewByHandOverAMQP(t *testing.T) {
	overAMQP(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		if err := c.Renew(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s := w.hub.Device("dev1").Stats(); s.Connects != 2 {
			t.Errorf("counted %+v, want a second connection", s)
		}
		asked := make(chan struct{}, 1)
		w.hub.Intercept(func(m hubtest.Message) bool {
			if pairs(m) == 1 {
				asked <- struct{}{}
				return true
			}
			return false
		}, hubtest.Drop())
		<-asked // for a renewal that is not answered
		synctest.Wait()
		if err := c.Renew(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s := w.hub.Device("dev1").Stats(); s.Connects != 3 || c.State().Phase != device.Online {
			t.Errorf("counted %+v, %v; want a third connection", s, c.State().Phase)
		}
		w.hub.Intercept(func(m hubtest.Message) bool {
			if pairs(m) == 1 {
				asked <- struct{}{}
				return true
			}
			return false
		}, hubtest.Drop())
		<-asked
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}
