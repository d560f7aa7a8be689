package catchup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// Right: a suspect causes two ends of the line an hour after its first hour,
// also where firmware reports the object around it as a whole each minute, and
// other keys arrive within a minute.
func TestAttackSuspectUnderWholeParent(t *testing.T) {
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

// Right: refusals have a budget of 120 patches an hour, also where a report
// that the hub takes comes between.
func TestAttackRefusalsBetweenSuccesses(t *testing.T) {
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

// Right: a report with a precondition that is refused spends the budget of
// refusals, and waits for it, like any other.
func TestAttackGuardedRefusalStorm(t *testing.T) {
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

// Right: the hub refuses one key, which firmware reports each ten seconds; others
// arrive within a minute.
func TestAttackRefusedKeyHoldsUpOthers(t *testing.T) {
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

// Right: a report with a precondition of unknown fate does not hold up others
// for ever at a hub that refuses GETs.
func TestAttackGuardedFlightAtHubThatRefusesGets(t *testing.T) {
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
		r.Presume(errRefused)
		if _, ok := r.Next(now); ok {
			return
		}
	}
	t.Error("after a day of refused GETs nothing was sent")
}

// Right: a hub that applies a patch, stores a value rewritten, and gives no
// answer costs at most 60 GETs and 120 patches an hour.
func TestAttackSilentHubThatRewrites(t *testing.T) {
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

// Right: the same hub, which answers with a version that jumps, is not sent the
// value that it rewrites for ever.
func TestAttackJumpingHubThatRewrites(t *testing.T) {
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

// steady drives a machine for some hours at a hub that applies, refuses or
// hangs up, and says how long keys of firmware's waited at most.
type steady struct {
	r       *Reported
	hub     twin.Properties
	now     time.Duration
	refused int
	ends    int
	patches int
}

func (s *steady) pump(refuses, hangs func(twin.Patch) bool) {
	for {
		p, ok := s.r.Next(s.now)
		if !ok {
			return
		}
		s.patches++
		switch {
		case hangs(p):
			s.ends++
			s.r.Synced(s.hub, s.now)
			s.now += time.Second
		case refuses(p):
			s.refused++
			s.r.Refused(errRefused, s.now)
		default:
			s.hub = twin.Apply(s.hub, p).WithVersion(s.hub.Version() + 1)
			s.r.Acked(s.hub.Version())
		}
	}
}

func never2(twin.Patch) bool { return false }

// Right: other keys arrive within a minute, whatever one part of the firmware
// reports that the hub refuses.
func TestAttackRefusedKeysHoldUpOthers(t *testing.T) {
	for name, report := range map[string]func(i int) twin.Patch{
		"one key":        func(i int) twin.Patch { return twin.Set("bad", i) },
		"one in five":    func(i int) twin.Patch { return twin.Set("bad", i).Set("p", i).Set("q", i).Set("r", i).Set("s", i) },
		"five keys":      func(i int) twin.Patch { return twin.Set(fmt.Sprint("bad", i%5), i) },
		"a new key each": func(i int) twin.Patch { return twin.Set(fmt.Sprint("bad", i), i) },
		"five at once": func(i int) twin.Patch {
			return twin.Set("bad1", i).Set("bad2", i).Set("bad3", i).Set("bad4", i).Set("bad5", i)
		},
		"a whole object":   func(i int) twin.Patch { return twin.Replace("o", map[string]any{"bad": i, "p": i, "q": i}) },
		"in a deep object": func(i int) twin.Patch { return twin.Set("o.x.bad", i).Set("o.x.y", i).Set("o.z", i) },
	} {
		for _, every := range []time.Duration{time.Second, 20 * time.Second, time.Minute} {
			t.Run(fmt.Sprint(name, " every ", every), func(t *testing.T) {
				s := &steady{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
				s.r.Synced(s.hub, 0)
				var worst time.Duration
				var hours [4]int
				said := map[int]time.Duration{}
				done := 0
				for i := 0; s.now < 4*time.Hour; i++ {
					h := int(s.now / time.Hour)
					if s.now%every == 0 {
						if err := s.r.WantLater(report(i)); err != nil {
							t.Fatal(err)
						}
					}
					if s.now%(30*time.Second) == 0 {
						said[i] = s.now
						if err := s.r.WantLater(twin.Set("n", i)); err != nil {
							t.Fatal(err)
						}
					}
					before := s.refused
					s.pump(contains(`"bad`), never2)
					hours[h] += s.refused - before
					got := 0
					fmt.Sscan(string(s.hub.At("n").JSON()), &got)
					for ; done <= got; done++ {
						if at, ok := said[done]; ok {
							worst = max(worst, s.now-at)
						}
					}
					s.now += time.Second
				}
				for at, said := range said {
					if at >= done {
						worst = max(worst, s.now-said)
					}
				}
				if worst > time.Minute {
					t.Errorf("another key arrived %v after it was said", worst)
				}
				for h, n := range hours {
					if n > 120 {
						t.Errorf("%d refused in hour %d", n, h)
					}
				}
			})
		}
	}
}

// Right: the same where the hub hangs up at some keys.
func TestAttackHangingKeysHoldUpOthers(t *testing.T) {
	for name, report := range map[string]func(i int) twin.Patch{
		"one key":        func(i int) twin.Patch { return twin.Set("bad", i) },
		"one in five":    func(i int) twin.Patch { return twin.Set("bad", i).Set("p", i).Set("q", i).Set("r", i).Set("s", i) },
		"five keys":      func(i int) twin.Patch { return twin.Set(fmt.Sprint("bad", i%5), i) },
		"a new key each": func(i int) twin.Patch { return twin.Set(fmt.Sprint("bad", i), i) },
		"parent then child": func(i int) twin.Patch {
			if i%2 == 0 {
				return twin.Set("o", 1)
			}
			return twin.Set("o.bad", i)
		},
		"deleted and set": func(i int) twin.Patch {
			if i%2 == 0 {
				return twin.Delete("o")
			}
			return twin.Set("o.bad", i).Set("o.p", i)
		},
	} {
		for _, every := range []time.Duration{time.Second, 20 * time.Second, time.Minute} {
			if name == "a new key each" && every == time.Second {
				continue // it fills the half
			}
			t.Run(fmt.Sprint(name, " every ", every), func(t *testing.T) {
				s := &steady{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
				s.r.Synced(s.hub, 0)
				var worst time.Duration
				var hours [5]int
				said := map[int]time.Duration{}
				done := 0
				var lastReport, lastN time.Duration
				for i := 1; s.now < 4*time.Hour; i++ {
					h := int(s.now / time.Hour)
					if s.now-lastReport >= every {
						lastReport = s.now
						if err := s.r.WantLater(report(i)); err != nil {
							t.Fatal(err)
						}
					}
					if s.now-lastN >= 30*time.Second {
						lastN = s.now
						said[i] = s.now
						if err := s.r.WantLater(twin.Set("n", i)); err != nil {
							t.Fatal(err)
						}
					}
					before := s.ends
					s.pump(never2, contains(`"bad`))
					hours[h] += s.ends - before
					got := 0
					fmt.Sscan(string(s.hub.At("n").JSON()), &got)
					for ; done <= got; done++ {
						if at, ok := said[done]; ok && at > time.Hour {
							worst = max(worst, s.now-at)
						}
					}
					s.now += time.Second
				}
				for at, said := range said {
					if at >= done {
						worst = max(worst, s.now-said)
					}
				}
				if worst > time.Minute {
					t.Errorf("another key arrived %v after it was said", worst)
				}
				for h, n := range hours {
					if n > 40 {
						t.Errorf("%d ends in hour %d", n, h)
					}
				}
			})
		}
	}
}

// Right: what a hub refuses costs linear work: four times as many keys that were
// refused and wait cost four times as much, or a little more.
func TestAttackRefusedKeysCostLinearWork(t *testing.T) {
	cost := func(n int) time.Duration {
		r := &Reported{}
		r.Synced(twin.Properties{}.WithVersion(1), 0)
		p := twin.Patch{}
		for i := range n {
			p = p.Set(fmt.Sprint("bad", i), i)
		}
		if err := r.WantLater(p); err != nil {
			t.Fatal(err)
		}
		now, start := time.Duration(0), time.Now()
		for !r.Idle() && now < 1000*time.Hour {
			if _, ok := r.Next(now); ok {
				r.Refused(errRefused, now)
			}
			now += time.Hour
		}
		return time.Since(start)
	}
	cost(100)
	small, large := cost(100), cost(400)
	t.Logf("100 keys: %v, 400 keys: %v", small, large)
	if large > 10*small {
		t.Errorf("100 keys: %v, 400 keys: %v", small, large)
	}
}

// Right: the same of keys at which the hub hangs up.
func TestAttackSuspectsCostLinearWork(t *testing.T) {
	cost := func(n int) time.Duration {
		r := &Reported{}
		hub := twin.Properties{}.WithVersion(1)
		r.Synced(hub, 0)
		p := twin.Patch{}
		for i := range n {
			p = p.Set(fmt.Sprint("bad", i), i)
		}
		if err := r.WantLater(p); err != nil {
			t.Fatal(err)
		}
		now, start := time.Duration(0), time.Now()
		for range 2 * n {
			if _, ok := r.Next(now); ok {
				r.Synced(hub, now)
			}
			now += time.Hour
		}
		return time.Since(start)
	}
	cost(100)
	small, large := cost(100), cost(400)
	t.Logf("100 keys: %v, 400 keys: %v", small, large)
	if large > 10*small {
		t.Errorf("100 keys: %v, 400 keys: %v", small, large)
	}
}
