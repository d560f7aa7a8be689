package catchup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// A badLine is a hub at which the connection ends whenever a patch holds a
// poison. It counts what that costs.
type badLine struct {
	r       *Reported
	hub     twin.Properties
	now     time.Duration
	ends    []time.Duration
	patches int
}

func (l *badLine) run(until time.Duration, poison func(p twin.Patch) bool) {
	for l.now < until {
		p, ok := l.r.Next(l.now)
		if !ok {
			l.now = min(until, max(l.now+time.Second, l.r.Due(l.now)))
			continue
		}
		l.patches++
		if poison(p) {
			l.ends = append(l.ends, l.now)
			l.now += time.Second
			l.r.Synced(l.hub, l.now)
			continue
		}
		l.hub = twin.Apply(l.hub, p).WithVersion(l.hub.Version() + 1)
		l.r.Acked(l.hub.Version())
	}
}

func contains(words ...string) func(p twin.Patch) bool {
	return func(p twin.Patch) bool {
		for _, w := range words {
			if strings.Contains(p.String(), w) {
				return true
			}
		}
		return false
	}
}

// between counts the ends in an hour of the story.
func (l *badLine) between(from, to time.Duration) (n int) {
	for _, at := range l.ends {
		if from <= at && at < to {
			n++
		}
	}
	return n
}

func TestPoisonTravelsAlone(t *testing.T) {
	wide := twin.Patch{}
	for i := range 100 {
		wide = wide.Set(fmt.Sprintf("k%02d", i), i)
	}
	for name, tc := range map[string]struct {
		p      twin.Patch
		poison []string
		ends   int // at most in the first hour
	}{
		"alone":            {twin.Set("poison", 1), []string{`"poison"`}, 8},
		"among a hundred":  {wide.Set("poison", 1), []string{`"poison"`}, 12},
		"two":              {wide.Set("poison", 1).Set("venom", 1), []string{`"poison"`, `"venom"`}, 20},
		"under one parent": {wide.Set("o.poison", 1).Set("o.good", 1).Set("o.venom", 1), []string{`"poison"`, `"venom"`}, 20},
		"a whole object":   {twin.Replace("o", map[string]int{"poison": 1, "good": 2}), []string{`"poison"`}, 12},
	} {
		t.Run(name, func(t *testing.T) {
			l := &badLine{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
			l.r.Synced(l.hub, 0)
			if err := l.r.WantLater(tc.p); err != nil {
				t.Fatal(err)
			}
			l.run(5*time.Minute, contains(tc.poison...))
			for path, v := range tc.p.Paths() {
				if !contains(tc.poison...)(twin.Set(path, 1)) && !l.hub.At(path).Equal(v) {
					t.Errorf("after five minutes the hub lacks %s", path)
				}
			}
			if err := l.r.WantLater(twin.Set("late", 1)); err != nil {
				t.Fatal(err)
			}
			l.run(6*time.Minute, contains(tc.poison...))
			if !l.hub.At("late").Exists() {
				t.Error("another key is not there after a minute")
			}
			l.run(24*time.Hour, contains(tc.poison...))
			if n := l.between(0, time.Hour); n > tc.ends {
				t.Errorf("the line ended %d times in the first hour", n)
			}
			for h := time.Hour; h < 24*time.Hour; h += time.Hour {
				if n := l.between(h, h+time.Hour); n > 2*len(tc.poison) {
					t.Errorf("the line ended %d times in hour %v", n, h)
				}
			}
			if !l.r.Outstanding() {
				t.Error("the poison is not wanted any more")
			}
			l.run(25*time.Hour, contains("-"))
			if !l.r.Idle() || !twin.Apply(l.hub, tc.p).Equal(l.hub) {
				t.Errorf("the hub was mended, and has %v", l.hub)
			}
		})
	}
}

// TestFailuresHaveABudget: a hub that hangs up at everything, or refuses it,
// while firmware reports each second.
func TestFailuresHaveABudget(t *testing.T) {
	for name, refuses := range map[string]bool{"hangs up": false, "refuses": true} {
		t.Run(name, func(t *testing.T) {
			r := &Reported{}
			hub := twin.Properties{}.WithVersion(1)
			r.Synced(hub, 0)
			var sent []time.Duration
			for now := time.Duration(0); now < 4*time.Hour; now += time.Second {
				p := twin.Patch{}
				for k := range 20 {
					p = p.Set(fmt.Sprint("k", k), now.Seconds())
				}
				if err := r.WantLater(p); err != nil {
					t.Fatal(err)
				}
				for {
					if _, ok := r.Next(now); !ok {
						break
					}
					sent = append(sent, now)
					if refuses {
						r.Refused(errRefused, now)
					} else {
						r.Synced(hub, now)
					}
				}
			}
			limit := 120
			if !refuses {
				limit = 40
			}
			for h := time.Duration(0); h < 4*time.Hour; h += time.Hour {
				n := 0
				for _, at := range sent {
					if h <= at && at < h+time.Hour {
						n++
					}
				}
				if n > limit {
					t.Errorf("%d patches in hour %v", n, h)
				}
			}
			if len(sent) < 100 {
				t.Errorf("it tried only %d times", len(sent))
			}
			if n := len(r.wishes); n > 100 {
				t.Errorf("%d wishes are kept", n)
			}
		})
	}
}

// TestKindsTakeTurns: reports with a precondition do not hold up others, nor
// the reverse.
func TestKindsTakeTurns(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	sent := map[string]int{}
	for i := range 40 {
		if _, err := rp.r.WantIf(twin.Set("guarded", i), 1); err != nil {
			t.Fatal(err)
		}
		rp.later(twin.Set("plain", i))
		p, _ := rp.r.Next(0)
		for key := range p.At("").All() {
			sent[key]++
		}
		if rp.r.Demand() != 0 {
			rp.r.Stale(errVersion)
			continue
		}
		rp.acked(rp.r.Confirmed().Version()+1, Applied)
	}
	if sent["plain"] < 10 || sent["guarded"] < 10 {
		t.Errorf("turns: %v", sent)
	}
}
