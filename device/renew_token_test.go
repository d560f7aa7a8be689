package device_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// Tokens of an hour: what renews them in time does so before this.
const inTime = 54*time.Minute + 10*time.Second

// Two tokens that are signed in the same second are the same text. The second
// is renewed in time all the same, whatever made the client ask for it.
func TestTwoTokensOfOneSecond(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		logins := w.logins()
		c := w.online(nil)
		for range 3 {
			if err := c.Renew(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		before := logins()
		if before != 4 {
			t.Fatalf("%d logins in one second, want 4", before)
		}
		for hour := range 3 {
			time.Sleep(inTime)
			if got := logins() - before; got != hour+1 {
				t.Fatalf("%d renewals in %d lives of a token, want one in each", got, hour+1)
			}
		}
		if s := w.hub.Device("dev1").Stats(); s.Refused != 0 {
			t.Errorf("counted %+v, want nothing refused", s)
		}
	})
}

// The same for a renewal in place that the hub does not take, and the connection
// that follows in the same second.
func TestTokenOfAFailedRenewal(t *testing.T) {
	overAMQP(t, func(t *testing.T, w *world) {
		w.online(nil)
		refused := time.Time{}
		w.hub.Intercept(func(m hubtest.Message) bool {
			if pairs(m) == 1 && refused.IsZero() {
				refused = time.Now()
				return true
			}
			return false
		}, hubtest.Fail(429001))
		time.Sleep(inTime)
		synctest.Wait()
		if s := w.hub.Device("dev1").Stats(); refused.IsZero() || s.Connects != 2 {
			t.Fatalf("refused at %v, counted %+v; want a second connection", refused, s)
		}
		renewals := w.logins()
		time.Sleep(time.Until(refused.Add(inTime)))
		synctest.Wait()
		if got := renewals(); got != 1 {
			t.Errorf("the token of the second connection was renewed %d times within %v, want once", got, inTime)
		}
	})
}

// A given token is asked for again once, in vain, and then held until its end.
func TestGivenTokenIsHeld(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		token, err := auth.TokenOf(t.Context(), w.dev.Credential, w.dev.Identity.Audience(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w.dev.Credential = auth.StaticToken(token)
		logins := w.logins()
		c := w.online(nil)
		if err := c.Renew(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Until(token.Expires().Add(-time.Second)))
		if got := logins(); got != 3 {
			t.Errorf("%d logins with one token, want 3: the first, the one asked for, and one that tried for another token", got)
		}
	})
}
