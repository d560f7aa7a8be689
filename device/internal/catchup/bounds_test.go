package catchup

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// TestEarlyNamesAreBounded lets jobs come and go before the first GET.
func TestEarlyNamesAreBounded(t *testing.T) {
	for _, format := range []string{"jobs.j%06d", "j%06d", "a.b.c.j%06d"} {
		var r Reported
		for i := range 20000 {
			key := fmt.Sprintf(format, i)
			if err := r.WantLater(twin.Set(key, "running")); err != nil {
				t.Fatal(err)
			}
			if err := r.WantLater(twin.Delete(key)); err != nil {
				t.Fatal(err)
			}
		}
		size := 0
		for _, p := range r.Snapshot().Unsent {
			size += len(p.JSON())
		}
		if size > 64<<10 {
			t.Errorf("%s: %d bytes wait for the first GET", format, size)
		}
		if r.Dropped() == 0 {
			t.Errorf("%s: no count of what was forgotten", format)
		}
		if n := len(r.wishes); n > 30 {
			t.Errorf("%s: %d wishes", format, n)
		}
		last := fmt.Sprintf(format, 19999)
		r.Synced(props(t, 3, "{}"), 0)
		r.Synced(twin.Apply(twin.Properties{}, twin.Set(last, 1)).WithVersion(4), 0)
		if p, _ := r.Next(0); p.At(last).Kind() != twin.Null {
			t.Errorf("%s: the newest deletion was forgotten", format)
		}
	}
}

// ratio is how many more bytes f allocates with more than with less. What is
// quadratic copies, and so it shows.
func ratio(t *testing.T, less, more int, f func(n int)) float64 {
	t.Helper()
	cost := func(n int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f(n)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	a, b := cost(less), cost(more)
	t.Logf("%d bytes for %d, %d for %d", a, less, b, more)
	return float64(b) / float64(a)
}

func TestNamingIsLinear(t *testing.T) {
	if got := ratio(t, 340, 2720, func(n int) { // 2720 keys of 4 bytes with numbers are 32 KB
		doc := map[string]any{}
		for i := range n {
			doc[fmt.Sprintf("%04x", i)] = i
		}
		r := &Reported{}
		r.Synced(twin.Properties{}.WithVersion(1), 0)
		if err := r.WantLater(twin.From(doc)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, ok := r.Next(0); !ok {
				t.Fatal("nothing to send")
			}
			r.Retry()
		}
	}); got > 16 { // the square would be 64
		t.Errorf("8 times the keys cost %.0f times the memory", got)
	}
	if got := ratio(t, 1000, 4000, func(n int) {
		var r Reported
		for i := range n {
			key := fmt.Sprintf("j%06d", i)
			_ = r.WantLater(twin.Set(key, 1))
			_ = r.WantLater(twin.Delete(key))
		}
	}); got > 8 {
		t.Errorf("4 times the reports before the first GET cost %.1f times the memory", got)
	}
}

func TestGuardedReportsGoTheSameWayOut(t *testing.T) {
	rp := newReporter(t, 4, `{"thermostat1":{"__t":"c","temperature":20},"o":{"x":1}}`)
	if _, err := rp.r.WantIf(twin.Set("thermostat1.temperature", 22).Delete("o.gone").Replace("r", map[string]int{"y": 1}), 4); err != nil {
		t.Fatal(err)
	}
	rp.sends("with its marker, without the vain deletion", `{"o":{},"r":{"y":1},"thermostat1":{"__t":"c","temperature":22}}`)

	hub := newModelHub(mergeEmpties)
	hub.merge(map[string]any{"o": map[string]any{"x": 1.0}})
	r := &Reported{}
	r.Synced(hub.properties(), 0)
	if _, err := r.WantIf(twin.Delete("o.z"), hub.version); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if p, ok := r.Next(0); ok {
			hub.merge(decoded(p))
			r.Acked(hub.version)
			r.Synced(hub.properties(), 0)
		}
	}
	if got := hub.text(); got != `{"o":{"x":1}}` {
		t.Errorf("the hub has %s", got)
	}
}

// TestWhatFitsIsNotGivenUp: a hub that refuses one property and what is too
// large takes the rest, in whatever order it fits.
func TestWhatFitsIsNotGivenUp(t *testing.T) {
	block := func(n int) map[string]any {
		m := map[string]any{}
		for i := range n {
			m[fmt.Sprint("s", i)] = strings.Repeat("x", 4000)
		}
		return m
	}
	const limit = 32 << 10
	for name, tc := range map[string]struct {
		base, p twin.Patch
		gone    string
	}{
		"deleted and set":         {twin.Set("old", block(5)), twin.Set("bad", 1).Delete("old").Set("new", block(5)), "old"},
		"shrunk and grown":        {twin.Set("z", block(5)), twin.Set("bad", 1).Replace("z", block(1)).Set("a", block(5)), "z.s4"},
		"in the same object":      {twin.Set("o.z", block(5)), twin.Set("o.bad", 1).Set("o.z", 1).Set("o.a", block(5)), "o.z.s0"},
		"replaced as a whole":     {twin.Set("o.old", block(5)), twin.Replace("o", map[string]any{"bad": 1, "new": block(5)}), "o.old"},
		"everything is new":       {twin.Set("old", block(5)), twin.Replace("", map[string]any{"bad": 1, "new": block(5)}), "old"},
		"in an object of its own": {twin.Set("old.deep", block(5)), twin.Set("x.bad", 1).Delete("old").Set("x.new", block(5)), "old"},
	} {
		hub := twin.Apply(twin.Properties{}, tc.base).WithVersion(4)
		r := &Reported{}
		r.Synced(hub, 0)
		if err := r.WantLater(tc.p); err != nil {
			t.Fatal(name, err)
		}
		for range 40 {
			p, ok := r.Next(0)
			if !ok {
				break
			}
			next := twin.Apply(hub, p)
			bad := next.At("bad").Exists() || next.At("o.bad").Exists() || next.At("x.bad").Exists()
			if bad || next.Size() > limit && next.Size() > hub.Size() {
				r.Refused(errRefused, 0)
				continue
			}
			hub = next.WithVersion(hub.Version() + 1)
			r.Acked(hub.Version())
		}
		if hub.At(tc.gone).Exists() || !r.Idle() {
			t.Errorf("%s: the hub has %s, idle %t", name, tc.gone, r.Idle())
		}
		for path, v := range tc.p.Paths() {
			if !strings.HasSuffix(path, "bad") && v.Kind() != twin.Null && !hub.At(path).Equal(v) {
				t.Errorf("%s: the hub lacks %s", name, path)
			}
		}
	}
}

func TestLargeReportsLeaveInParts(t *testing.T) {
	rp := newReporter(t, 1, `{}`)
	for i := range 30 {
		rp.later(twin.Set(fmt.Sprint("k", i), strings.Repeat("\x00", 4096)))
	}
	a := rp.want(twin.Set("good", 1))
	for range 20 {
		p, ok := rp.r.Next(0)
		if !ok {
			break
		}
		if n := len(p.JSON()); n > maxReport {
			t.Errorf("a patch of %d bytes", n)
		}
		rp.r.Acked(rp.r.Confirmed().Version() + 1)
	}
	if s := rp.r.Settled(); len(s) != 1 || s[0].Ticket != a || !rp.r.Idle() {
		t.Errorf("settled %v, idle %t", s, rp.r.Idle())
	}
	p := twin.Patch{}
	for i := range 30 {
		p = p.Set(fmt.Sprint("k", i), strings.Repeat("\x01", 4096))
	}
	if err := rp.r.WantLater(p); err == nil {
		t.Error("one report that no connection carries was taken")
	}
	for i := range 10 {
		if err := rp.r.WantLater(twin.Set(fmt.Sprint("more", i), strings.Repeat("\x00", 4096))); err != nil {
			return
		}
	}
	t.Error("a half that no GET reads back was taken")
}
