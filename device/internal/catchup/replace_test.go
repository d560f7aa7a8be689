package catchup

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestReplacedIsExact is the law: once a Replace has reached the hub, its value
// is what was said, and nothing else, whatever was there, and however the hub
// merges. It takes one patch, and the rest stays.
func TestReplacedIsExact(t *testing.T) {
	for seed := range uint64(*stories / 2) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		hub := newModelHub(mergeRule(rnd.IntN(int(mergeRules))))
		hub.merge(collidingPatch(rnd, 4))
		want := newModelHub(mergeRFC7396)
		want.merge(hub.doc)
		s := newSaying(rnd)
		s.tell(want)
		rp := &reporter{t: t}
		late := rnd.IntN(2) == 0 // before the first GET
		if !late {
			rp.r.Synced(hub.properties(), 0)
		}
		ticket := rp.want(s.patch)
		if late {
			rp.r.Synced(hub.properties(), 0)
		}
		before := hub.text()
		p, ok := rp.r.Next(0)
		if !ok || twin.ReplacedOf(tree.Key{}, p).Exists() {
			t.Fatalf("seed %d: sends %v, %t, which replaces %v", seed, p, ok, twin.ReplacedOf(tree.Key{}, p))
		}
		hub.merge(decoded(p))
		rp.acked(hub.version, Applied)
		rp.settles("in one patch", Settlement{ticket, hub.version, nil})
		if got := hub.text(); got != want.text() || !rp.r.Idle() {
			t.Fatalf("seed %d: %v, replacing %v, on %s by %v: the hub has %s, want %s, and at rest: %t",
				seed, s.patch, twin.ReplacedOf(tree.Key{}, s.patch), before, p, got, want.text(), rp.r.Idle())
		}
	}
}

func TestReplaceSendsDeletionsByName(t *testing.T) {
	const doc = `{"a":{"x":1,"o":{"p":1,"q":2}},"b":5}`
	for _, tc := range []struct {
		desc string
		p    twin.Patch
		sent string
	}{
		{"members", twin.Replace("a", map[string]int{"y": 2}), `{"a":{"o":null,"x":null,"y":2}}`},
		{"members of members", twin.Replace("a", map[string]any{"o": map[string]int{"q": 2}}), `{"a":{"o":{"p":null,"q":2},"x":null}}`},
		{"a part", twin.Replace("a.o", map[string]int{"r": 3}), `{"a":{"o":{"p":null,"q":null,"r":3}}}`},
		{"by nothing", twin.Replace("a", struct{}{}), `{"a":{"o":null,"x":null}}`},
		{"a scalar", twin.Replace("b", map[string]int{"y": 2}), `{"b":{"y":2}}`},
		{"what is not there", twin.Replace("c", map[string]any{"y": 2, "z": nil}), `{"c":{"y":2}}`},
		{"by a scalar", twin.Replace("a", 7), `{"a":7}`},
		{"everything", twin.Replace("", map[string]any{"a": map[string]int{"x": 1}}), `{"a":{"o":null,"x":1},"b":null}`},
		{"by the same", twin.Replace("a.o", map[string]int{"p": 1, "q": 2}), `{"a":{"o":{"p":1,"q":2}}}`},
		{"then Set below", twin.Replace("a", struct{}{}).Set("a.x", 3), `{"a":{"o":null,"x":3}}`},
		{"then Delete below", twin.Replace("a", map[string]int{"x": 1, "y": 2}).Delete("a.x"), `{"a":{"o":null,"x":null,"y":2}}`},
	} {
		for name, report := range map[string]func(rp *reporter){
			"waited for": func(rp *reporter) { rp.want(tc.p) },
			"later":      func(rp *reporter) { rp.later(tc.p) },
			"guarded": func(rp *reporter) {
				if _, err := rp.r.WantIf(tc.p, 4); err != nil {
					t.Error(err)
				}
			},
		} {
			rp := newReporter(t, 4, doc)
			report(rp)
			rp.sends(tc.desc+", "+name, tc.sent)
		}
	}
}

func TestReplaceAmongOtherReports(t *testing.T) {
	y := map[string]int{"y": 2}
	for _, tc := range []struct {
		desc string
		says []twin.Patch
		sent string
	}{
		{"then Set below", []twin.Patch{twin.Replace("a", y), twin.Set("a.z", 3)}, `{"a":{"x":null,"y":2,"z":3}}`},
		{"then Set of the same", []twin.Patch{twin.Replace("a", y), twin.Set("a", map[string]int{"z": 3})}, `{"a":{"x":null,"y":2,"z":3}}`},
		{"then Set of what it deletes", []twin.Patch{twin.Replace("a", y), twin.Set("a.x", 1)}, `{"a":{"x":1,"y":2}}`},
		{"after Set below", []twin.Patch{twin.Set("a.z", 3), twin.Replace("a", y)}, `{"a":{"x":null,"y":2}}`},
		{"after a scalar", []twin.Patch{twin.Set("a", 3), twin.Replace("a", y)}, `{"a":{"x":null,"y":2}}`},
		{"then deleted", []twin.Patch{twin.Replace("a", y), twin.Delete("a")}, `{"a":null}`},
		{"twice", []twin.Patch{twin.Replace("a", y), twin.Replace("a", map[string]int{"z": 3})}, `{"a":{"x":null,"z":3}}`},
		{"everything, then Set", []twin.Patch{twin.Replace("", y), twin.Set("a.z", 3)}, `{"a":{"x":null,"z":3},"y":2}`},
		{"below a scalar", []twin.Patch{twin.Set("a", 3), twin.Replace("a.o", y)}, `{"a":{"o":{"y":2},"x":null}}`},
	} {
		for _, late := range []bool{false, true} {
			for _, waits := range []bool{false, true} {
				rp := &reporter{t: t}
				if !late {
					rp.r.Synced(props(t, 4, `{"a":{"x":1}}`), 0)
				}
				for _, p := range tc.says {
					if waits {
						rp.want(p)
					} else {
						rp.later(p)
					}
				}
				if late {
					rp.r.Synced(props(t, 4, `{"a":{"x":1}}`), 0)
				}
				rp.sends(fmt.Sprintf("%s; before the first GET %t, waited for %t", tc.desc, late, waits), tc.sent)
			}
		}
	}
}

func TestReplaceWhileAPatchIsInFlight(t *testing.T) {
	for _, tc := range []struct {
		desc    string
		version int64
		hub     string
		sent    string
	}{
		{"applied", 5, `{"a":{"x":1,"new":1}}`, `{"a":{"new":null,"x":null,"y":2}}`},
		{"not applied", 4, `{"a":{"x":1}}`, `{"a":{"x":null,"y":2}}`},
		{"and a stranger wrote", 6, `{"a":{"x":1,"new":1,"theirs":1}}`, `{"a":{"new":null,"theirs":null,"x":null,"y":2}}`},
	} {
		rp := newReporter(t, 4, `{"a":{"x":1}}`)
		rp.later(twin.Set("a.new", 1))
		rp.sends("in flight", `{"a":{"new":1}}`)
		ticket := rp.want(twin.Replace("a", map[string]int{"y": 2}))
		rp.sends("one at a time", "")
		rp.r.Synced(props(t, tc.version, tc.hub), 0) // the answer was lost
		rp.sends(tc.desc, tc.sent)
		rp.acked(tc.version+1, Applied)
		rp.settles(tc.desc, Settlement{ticket, tc.version + 1, nil})
		if got := string(rp.r.Confirmed().At("").JSON()); got != `{"a":{"y":2}}` || !rp.r.Idle() {
			t.Errorf("%s: the hub has %s, at rest: %t", tc.desc, got, rp.r.Idle())
		}
	}
}

func TestReplaceOfUnknownFate(t *testing.T) {
	rp := newReporter(t, 4, `{"a":{"x":1}}`)
	a := rp.want(twin.Replace("a", map[string]int{"y": 2}))
	rp.sends("its answer is lost", `{"a":{"x":null,"y":2}}`)
	rp.r.Synced(props(t, 4, `{"a":{"x":1}}`), 0)
	rp.sends("it was not applied", `{"a":{"x":null,"y":2}}`)
	rp.r.Retry()
	rp.sends("throttled", `{"a":{"x":null,"y":2}}`)
	rp.r.Synced(props(t, 5, `{"a":{"y":2}}`), 0)
	rp.settles("it was", Settlement{a, 5, nil})
	rp.r.Synced(props(t, 6, `{"a":{"theirs":1,"y":2}}`), 0)
	rp.sends("what a stranger adds", `{"a":{"theirs":null}}`)
}

func TestReplaceRefused(t *testing.T) {
	rp := newReporter(t, 4, `{"a":{"x":1},"b":{"x":1}}`)
	a, b := rp.want(twin.Replace("a", map[string]string{"bad": "new"})), rp.want(twin.Replace("b", struct{}{}))
	rp.story("by caller", "bad",
		`-{"a":{"bad":"new","x":null},"b":{"x":null}}`,
		`-{"a":{"bad":"new","x":null}}`,
		`-{"a":{"bad":"new"}}`,
		`+{"a":{"x":null}}`,
		`+{"b":{"x":null}}`,
		`-{"a":{"bad":"new"}}`)
	rp.settles("both", Settlement{b, 6, nil}, Settlement{a, 0, errRefused})
	c := rp.want(twin.Replace("", map[string]int{"bad": 1, "good": 2}))
	rp.story("by key, deletions too", "bad",
		`-{"a":null,"b":null,"bad":1,"good":2}`,
		`+{"a":null,"b":null}`,
		`-{"bad":1,"good":2}`,
		`-{"bad":1}`,
		`+{"good":2}`,
		`-{"bad":1}`)
	rp.settles("its caller", Settlement{c, 0, errRefused})
	if got := string(rp.r.Confirmed().At("").JSON()); got != `{"good":2}` {
		t.Errorf("the hub has %s", got)
	}
}

// TestReplaceOwnsPendingDeletions: who replaces an object waits for all that
// goes from it, also for what somebody else deleted before.
func TestReplaceOwnsPendingDeletions(t *testing.T) {
	rp := newReporter(t, 4, `{"a":{"x":1,"y":1},"n":1}`)
	rp.later(twin.Delete("a.x").Set("n", "bad"))
	a := rp.want(twin.Replace("a", map[string]int{"y": 1}))
	rp.sends("together", `{"a":{"x":null,"y":1},"n":"bad"}`)
	rp.r.Refused(errRefused, 0)
	rp.sends("the caller's part", `{"a":{"x":null,"y":1}}`)
	rp.acked(5, Applied)
	rp.story("the rest", "n", `-{"n":"bad"}`)
	rp.settles("the caller", Settlement{a, 5, nil})

	rp = newReporter(t, 4, `{"a":{"y":1},"n":1}`)
	rp.later(twin.Set("a.new", 1))
	rp.sends("in flight", `{"a":{"new":1}}`)
	b := rp.want(twin.Replace("a", map[string]int{"y": 1}))
	rp.later(twin.Set("n", "bad"))
	rp.acked(5, Applied)
	rp.sends("together", `{"a":{"new":null,"y":1},"n":"bad"}`)
	rp.r.Refused(errRefused, 0)
	rp.sends("the caller's part", `{"a":{"new":null,"y":1}}`)
	rp.acked(6, Applied)
	rp.settles("the caller", Settlement{b, 6, nil})
}

func TestGuardedReplace(t *testing.T) {
	y := map[string]int{"y": 2}
	guard := func(rp *reporter, p twin.Patch, version int64) Ticket {
		t.Helper()
		ticket, err := rp.r.WantIf(p, version)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	rp := newReporter(t, 4, `{"a":{"x":1}}`)
	a := guard(rp, twin.Replace("a", y), 4)
	rp.later(twin.Set("a.z", 3)) // after it
	rp.sends("by what the hub has at that version", `{"a":{"x":null,"y":2}}`)
	rp.r.Retry()
	rp.sends("again", `{"a":{"x":null,"y":2}}`)
	rp.acked(5, Applied)
	rp.settles("the hub had that version", Settlement{a, 5, nil})
	rp.sends("what was said after", `{"a":{"z":3}}`)
	rp.acked(6, Applied)

	rp.later(twin.Set("a.early", 1))
	rp.sends("in flight before it", `{"a":{"early":1}}`)
	b := guard(rp, twin.Replace("a", y), 6)
	rp.acked(7, Applied)
	rp.sends("the version is another by now, so nothing", "")
	rp.settles("too late", Settlement{b, 0, ErrStale})

	c, c2 := guard(rp, twin.Replace("a", y), 9), guard(rp, twin.Replace("b", y), 8) // another program is at 9 by now
	rp.sends("nobody knows what is there", "")
	rp.settles("not known", Settlement{c, 0, ErrStale}, Settlement{c2, 0, ErrStale})
	d := guard(rp, twin.Replace("a", 5), 9)
	rp.sends("what is whole by itself may try", `{"a":5}`)
	rp.r.Refused(errRefused, 0)
	rp.settles("the hub's word", Settlement{d, 0, errRefused})

	rp.later(twin.Set("a.before", 1))
	e := guard(rp, twin.Replace("a", y), 7)
	rp.r.turn = guardKind
	rp.sends("said after, sent before", `{"a":{"early":null,"y":2,"z":null}}`)
	rp.acked(8, Applied)
	rp.settles("the guard", Settlement{e, 8, nil})
	rp.sends("and so stands above", `{"a":{}}`)
	rp.acked(9, Applied)

	guard(rp, twin.Set("a.theirs", 1), 9)
	rp.sends("a guard that merges", `{"a":{"theirs":1}}`)
	rp.later(twin.Replace("a", y))
	rp.acked(10, Applied)
	rp.sends("replaces what the guard brought", `{"a":{"theirs":null,"y":2}}`)
}

func TestSnapshotsOfReplace(t *testing.T) {
	y := map[string]int{"y": 2}
	rp := &reporter{t: t}
	rp.later(twin.Set("a.old", 1))
	rp.later(twin.Replace("a", y))
	rp.later(twin.Set("a.z", 3))
	unsent := rp.r.Snapshot().Unsent
	if len(unsent) != 1 || unsent[0].String() != `{"a":{"y":2,"z":3}}` || twin.ReplacedOf(tree.Key{}, unsent[0]).String() != `{"a":null}` {
		t.Errorf("unsent before the first GET: %v, want one patch, which replaces a", unsent)
	}
	again := &reporter{t: t}
	again.r.Restore(rp.r.Snapshot())
	again.r.Redo(twin.Replace("b", y), true, 0)
	again.r.Synced(props(t, 4, `{"a":{"x":1},"b":{"x":1}}`), 0)
	again.sends("after a restart", `{"a":{"x":null,"y":2,"z":3},"b":{"x":null,"y":2}}`)

	s := again.r.Snapshot()
	if len(s.Unsent) != 1 {
		t.Errorf("unsent with a base: %v, want one patch", s.Unsent)
	}
	s.Unsent = []twin.Patch{twin.Replace("b", y)} // not of ours
	for _, covered := range []bool{false, true} {
		third := &reporter{t: t}
		third.r.Restore(s)
		if u := third.r.Snapshot().Unsent; len(u) != 1 {
			t.Errorf("unsent after a restart: %v, want one patch", u)
		}
		third.r.Redo(twin.Replace("a", map[string]int{"n": 1}), covered, 0)
		if p, _ := third.r.Next(0); twin.ReplacedOf(tree.Key{}, p).Exists() {
			t.Errorf("sends what replaces: %v", p)
		}
		third.r.Synced(props(t, 4, `{"a":{"x":1},"b":{"x":1,"y":2}}`), 0)
		third.sends("the last word", `{"a":{"n":1,"x":null},"b":{"x":null,"y":2}}`)
	}
}
