package device_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// longToken gives the device tokens that end after all stories.
func (w *world) longToken() {
	w.Helper()
	key, err := auth.ParseKey(w.dev.PrimaryKey)
	if err != nil {
		w.Fatal(err)
	}
	w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: 1000 * time.Hour})
}

// Each change of the desired properties puts the resync off: a twin that changes
// every hour is not read, which is billed.
func TestChangesPutTheResyncOff(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.longToken()
		w.online(nil)
		before := w.hub.Device("dev1").Stats().Gets
		for range 24 {
			w.setDesired(`{"n":1}`)
			time.Sleep(time.Hour)
		}
		if n := w.hub.Device("dev1").Stats().Gets - before; n != 0 {
			t.Errorf("%d GETs in a day with a change every hour, want none", n)
		}
	})
}

// A cut of a line that was good for minutes costs a second, however many there
// were before.
func TestCutsOfAGoodLineCostASecond(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		for n := range 12 {
			time.Sleep(5 * time.Minute)
			_ = w.hub.Device("dev1").Cut()
			time.Sleep(2 * time.Second)
			if got := c.State(); got.Phase != device.Online {
				t.Fatalf("2 s after cut %d the client is %v, retry in %v", n+1, got.Phase, time.Until(got.RetryAt))
			}
		}
	})
}

// What changed between the first GET and a subscription that the hub accepted
// late is looked for.
func TestLateSubscriptionIsCaughtUp(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = mqtt.Dialer{Stream: w.stream} // AMQP has no such packet to refuse
		w.longToken()
		remove := w.hub.Intercept(func(m hubtest.Message) bool {
			return hubtest.FromDevice("dev1", hubtest.Subscribe)(m) && strings.Contains(strings.Join(m.Topics, " "), "desired")
		}, hubtest.Fail(403004).Times(-1))
		var e ears
		c := w.client(nil)
		if _, err := c.OnDesired("a", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.State().Missing == nil {
			t.Fatal("nothing is missing")
		}
		w.setDesired(`{"a":1}`)
		wantLines(t, "without the subscription", e.take(), "start -")
		remove()
		time.Sleep(time.Hour)
		wantLines(t, "with the subscription", e.take(), "gap 1")
	})
}

// emptyCredential gives neither a token nor a certificate from some time on.
type emptyCredential struct {
	auth.Credential
	empty atomic.Bool
}

func (e *emptyCredential) Token(ctx context.Context, audience string, now time.Time) (auth.Token, error) {
	if e.empty.Load() {
		return auth.Token{}, nil
	}
	return auth.TokenOf(ctx, e.Credential, audience, now)
}

// A credential that was good and gives nothing for a while ends no client.
func TestEmptyCredentialEndsNoRunningClient(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.broken = true
		e := &emptyCredential{Credential: w.dev.Credential}
		w.dev.Credential = e
		c := w.online(nil)
		e.empty.Store(true)
		_ = w.hub.Device("dev1").Cut()
		time.Sleep(time.Minute)
		if got := c.State(); got.Phase == device.Closed {
			t.Fatalf("the client has ended: %v", got.Err)
		}
		e.empty.Store(false)
		time.Sleep(5 * time.Minute)
		if got := c.State(); got.Phase != device.Online {
			t.Errorf("the client is %v: %v", got.Phase, got.Err)
		}
	})
}

// What changed in an outage has the cause reconnect, also where the first GET
// gets no answer and a change comes meanwhile.
func TestCauseOutlivesAGetWithoutAnswer(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		var e ears
		if _, err := c.OnDesired("a", e.listener, nil); err != nil {
			t.Fatal(err)
		}
		e.take()
		_ = w.hub.Device("dev1").SetLine(false)
		time.Sleep(time.Second)
		w.setDesired(`{"a":1}`)
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.GetTwin), hubtest.Drop())
		_ = w.hub.Device("dev1").SetLine(true)
		for c.Stats().Gets < 2 {
			time.Sleep(100 * time.Millisecond)
		}
		w.setDesired(`{"b":1}`)
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		wantLines(t, "after the outage", e.take(), "reconnect 1")
		if !c.Desired().At("b").Exists() {
			t.Error("the change that came during the GET is lost")
		}
	})
}
