package catchup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// a suspect causes two ends of the line an hour after its first hour,
// also where firmware reports the object around it as a whole each minute, and
// other keys arrive within a minute.
func TestSuspectUnderWholeParent(t *testing.T) {
	l := &badLine{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
	l.r.Synced(l.hub, 0)
	late := 0
	for m := time.Duration(0); m < 4*60; m++ {
		p := twin.Replace("o", map[string]any{"poison": 1, "good": int(m)}).Set("n", int(m))
		if err := l.r.WantLater(p); err != nil {
			t.Fatal(err)
		}
		l.run((m+1)*time.Minute, contains(`"poison"`))
		if got := l.hub.At("n"); m >= 60 && string(got.JSON()) != fmt.Sprint(int(m)) {
			late++
		}
	}
	for h := time.Hour; h < 4*time.Hour; h += time.Hour {
		if n := l.between(h, h+time.Hour); n > 2 {
			t.Errorf("the line ended %d times in hour %v", n, h)
		}
	}
	if late > 0 {
		t.Errorf("another key was late in %d of 180 minutes", late)
	}
}

// refusals have a budget of 120 patches an hour, also where a report
// that the hub takes comes between.
func TestRefusalsBetweenSuccesses(t *testing.T) {
	r := &Reported{}
	hub := twin.Properties{}.WithVersion(1)
	r.Synced(hub, 0)
	refused := 0
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		for _, key := range []string{"good", "bad"} {
			if err := r.WantLater(twin.Set(key, now.Seconds())); err != nil {
				t.Fatal(err)
			}
			for {
				p, ok := r.Next(now)
				if !ok {
					break
				}
				if strings.Contains(p.String(), "bad") {
					refused++
					r.Refused(errRefused, now)
					continue
				}
				hub = twin.Apply(hub, p).WithVersion(hub.Version() + 1)
				r.Acked(hub.Version())
			}
		}
	}
	if refused > 120 {
		t.Errorf("the hub refused %d patches in an hour, at most 120", refused)
	}
}

// a report with a precondition that is refused spends the budget of
// refusals, and waits for it, like any other.
func TestGuardedRefusalStorm(t *testing.T) {
	r := &Reported{}
	r.Synced(twin.Properties{}.WithVersion(1), 0)
	refused := 0
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		if _, err := r.WantIf(twin.Set("bad", 1), 1); err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Next(now); ok {
			refused++
			r.Refused(errRefused, now)
		}
	}
	if refused > 120 {
		t.Errorf("the hub refused %d patches in an hour, at most 120", refused)
	}
}

// the hub refuses one key, which firmware reports each ten seconds, and others
// arrive within a minute.
func TestRefusedKeyHoldsUpOthers(t *testing.T) {
	r := &Reported{}
	hub := twin.Properties{}.WithVersion(1)
	r.Synced(hub, 0)
	var at [3600]time.Duration // when n was said
	var worst time.Duration
	next := 0
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		if now%(10*time.Second) == 0 {
			n := int(now / time.Second)
			at[n] = now
			if err := r.WantLater(twin.Set("bad", n).Set("n", n)); err != nil {
				t.Fatal(err)
			}
		}
		for {
			p, ok := r.Next(now)
			if !ok {
				break
			}
			if strings.Contains(p.String(), "bad") {
				r.Refused(errRefused, now)
				continue
			}
			hub = twin.Apply(hub, p).WithVersion(hub.Version() + 1)
			r.Acked(hub.Version())
		}
		got := 0
		fmt.Sscan(string(hub.At("n").JSON()), &got)
		for ; next <= got; next += 10 {
			worst = max(worst, now-at[next])
		}
	}
	if worst > time.Minute {
		t.Errorf("another key arrived %v after it was said", worst)
	}
}

// a report with a precondition of unknown fate does not hold up others
// for ever at a hub that refuses GETs.
func TestGuardedFlightAtHubThatRefusesGets(t *testing.T) {
	r := &Reported{}
	r.Synced(twin.Properties{}.WithVersion(1), 0)
	if _, err := r.WantIf(twin.Set("lease", 1), 1); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Next(0); !ok {
		t.Fatal("nothing to send")
	}
	// The answer is lost. Each GET since then is refused.
	if err := r.WantLater(twin.Set("n", 1)); err != nil {
		t.Fatal(err)
	}
	for now := time.Duration(0); now < 24*time.Hour; now += time.Minute {
		r.Presume(errRefused, 0)
		if _, ok := r.Next(now); ok {
			return
		}
	}
	t.Error("after a day of refused GETs nothing was sent")
}

// a hub that applies a patch, stores a value rewritten, and gives no
// answer costs at most 60 GETs and 120 patches an hour.
func TestSilentHubThatRewrites(t *testing.T) {
	r := &Reported{}
	hub := twin.Properties{}.WithVersion(1)
	r.Synced(hub, 0)
	if err := r.WantLater(twin.Set("n", "Text")); err != nil {
		t.Fatal(err)
	}
	patches := 0
	for now := time.Duration(0); now < time.Hour; now += 10 * time.Second {
		p, ok := r.Next(now)
		if !ok {
			continue
		}
		patches++
		hub = twin.Apply(hub, p)
		hub = twin.Apply(hub, twin.Set("n", "text")).WithVersion(hub.Version() + 1)
		r.Synced(hub, now)
	}
	if patches > 60 {
		t.Errorf("%d patches, and as many GETs, in an hour", patches)
	}
}

// the same hub, which answers with a version that jumps, is not sent the
// value that it rewrites for ever.
func TestJumpingHubThatRewrites(t *testing.T) {
	r := &Reported{}
	hub := twin.Properties{}.WithVersion(1)
	r.Synced(hub, 0)
	if err := r.WantLater(twin.Set("n", "Text")); err != nil {
		t.Fatal(err)
	}
	patches := 0
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		p, ok := r.Next(now)
		if !ok {
			continue
		}
		patches++
		hub = twin.Apply(hub, p)
		hub = twin.Apply(hub, twin.Set("n", "text")).WithVersion(hub.Version() + 2)
		if r.Acked(hub.Version()) == Gap {
			r.Synced(hub, now)
		}
	}
	if patches > 60 {
		t.Errorf("%d patches, and as many GETs, in an hour", patches)
	}
}
