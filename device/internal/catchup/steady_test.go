package catchup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

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

// other keys arrive within a minute, whatever one part of the firmware
// reports that the hub refuses.
func TestRefusedKeysHoldUpOthers(t *testing.T) {
	for name, report := range map[string]func(i int) twin.Patch{
		"one key":     func(i int) twin.Patch { return twin.Set("bad", i) },
		"one in five": func(i int) twin.Patch { return twin.Set("bad", i).Set("p", i).Set("q", i).Set("r", i).Set("s", i) },
		"five keys":   func(i int) twin.Patch { return twin.Set(fmt.Sprint("bad", i%5), i) },
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

// the same where the hub hangs up at some keys.
func TestHangingKeysHoldUpOthers(t *testing.T) {
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

// callers that give up leave nothing behind that grows with their number,
// also where what they report is suspected.
func TestCallersOfASuspectLeaveNothing(t *testing.T) {
	r := &Reported{}
	hub := twin.Properties{}.WithVersion(1)
	r.Synced(hub, 0)
	now := time.Duration(0)
	for i := range 5000 { // UpdateReported with a minute of patience, for some days
		id, err := r.Want(twin.Set("poison", i))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Next(now); ok {
			r.Synced(hub, now)
		}
		now += time.Minute
		r.Forget(id)
	}
	if n := len(r.wishes); n > 20 {
		t.Errorf("%d wishes are kept for one property", n)
	}
}

// Left counts the reports that the hub does not have, not those that it
// has since an older one is suspected.
func TestLeftCountsWhatIsLeft(t *testing.T) {
	l := &badLine{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
	l.r.Synced(l.hub, 0)
	if err := l.r.WantLater(twin.Set("poison", 1)); err != nil {
		t.Fatal(err)
	}
	l.run(5*time.Minute, contains(`"poison"`))
	for i := range 100 {
		if err := l.r.WantLater(twin.Set("n", i)); err != nil {
			t.Fatal(err)
		}
		l.run(l.now+10*time.Second, contains(`"poison"`))
	}
	if !l.hub.At("n").Exists() || l.r.Left() != 1 {
		t.Errorf("%d reports are left; the hub has %v", l.r.Left(), l.hub)
	}
}

// what is reported for a property that the hub would now take is not
// held back for half an hour because an earlier value was poison: the report
// is sent within a minute, once.
func TestNewValueOfASuspect(t *testing.T) {
	l := &badLine{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
	l.r.Synced(l.hub, 0)
	if err := l.r.WantLater(twin.Set("k", "poison")); err != nil {
		t.Fatal(err)
	}
	l.run(3*time.Hour+13*time.Minute, contains(`"poison"`))
	if err := l.r.WantLater(twin.Set("k", "good")); err != nil {
		t.Fatal(err)
	}
	start := l.now
	for !l.hub.At("k").Exists() && l.now < start+2*time.Hour {
		l.run(l.now+time.Second, contains(`"poison"`))
	}
	if d := l.now - start; d > time.Minute {
		t.Errorf("the good value arrived after %v", d)
	}
}

// a parent that is deleted, or replaced without the poison, goes out at once.
func TestParentOfASuspectIsDeleted(t *testing.T) {
	for name, p := range map[string]twin.Patch{
		"deleted":           twin.Delete("o"),
		"scalar":            twin.Set("o", 5),
		"replaced":          twin.Replace("o", map[string]any{"x": 1}),
		"replaced by empty": twin.Replace("o", map[string]any{}),
		"child deleted":     twin.Delete("o.poison"),
	} {
		t.Run(name, func(t *testing.T) {
			l := &badLine{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
			l.r.Synced(l.hub, 0)
			if err := l.r.WantLater(twin.Set("o.poison", 1).Set("o.good", 1)); err != nil {
				t.Fatal(err)
			}
			l.run(3*time.Hour+13*time.Minute, contains(`"poison":1`))
			if err := l.r.WantLater(p); err != nil {
				t.Fatal(err)
			}
			l.run(l.now+time.Minute, contains(`"poison":1`))
			want := twin.Apply(twin.Apply(twin.Properties{}, twin.Set("o.good", 1)), p)
			if !twin.Apply(l.hub, twin.Patch{}).Equal(want) {
				t.Errorf("after a minute the hub has %v, want %v", l.hub, want)
			}
			if l.r.Outstanding() {
				t.Errorf("something is still outstanding")
			}
		})
	}
}

// a patch that is too wide to be sent twice, whole, still comes through
// where the hub hangs up at patches above some size, as a weak line does.
func TestLineThatCarriesLittle(t *testing.T) {
	l := &badLine{r: &Reported{}, hub: twin.Properties{}.WithVersion(1)}
	l.r.Synced(l.hub, 0)
	p := twin.Patch{}
	for i := range 200 {
		p = p.Set(fmt.Sprintf("key%03d", i), strings.Repeat("x", 20))
	}
	if err := l.r.WantLater(p); err != nil {
		t.Fatal(err)
	}
	l.run(time.Hour, func(p twin.Patch) bool { return len(p.JSON()) > 1000 })
	if !l.r.Idle() {
		t.Errorf("after an hour it is not there")
	}
	for i := range 200 {
		if err := l.r.WantLater(p.Set("n", i)); err != nil {
			t.Fatal(err)
		}
		l.run(l.now+time.Minute, func(p twin.Patch) bool { return len(p.JSON()) > 1000 })
	}
	l.run(l.now+time.Hour, func(p twin.Patch) bool { return len(p.JSON()) > 1000 })
	if !l.r.Idle() {
		t.Errorf("after four hours it is not there")
	}
}
