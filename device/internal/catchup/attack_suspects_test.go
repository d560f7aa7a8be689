package catchup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// Right: callers that give up leave nothing behind that grows with their number,
// also where what they report is suspected.
func TestAttackCallersOfASuspectLeaveNothing(t *testing.T) {
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

// Right: Left counts the reports that the hub does not have, not those that it
// has since an older one is suspected.
func TestAttackLeftCountsWhatIsLeft(t *testing.T) {
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

// Right: what is reported for a property that the hub would now take is not
// held back for half an hour because an earlier value was poison: the report
// is sent within a minute, once.
func TestAttackNewValueOfASuspect(t *testing.T) {
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

// Right: a parent that is deleted, or replaced without the poison, goes out at once.
func TestAttackParentOfASuspectIsDeleted(t *testing.T) {
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

// Right: a patch that is too wide to be sent twice, whole, still comes through
// where the hub hangs up at patches above some size, as a weak line does.
func TestAttackLineThatCarriesLittle(t *testing.T) {
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
