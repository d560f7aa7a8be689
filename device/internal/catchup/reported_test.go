package catchup

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

var errRefused = errors.New("hub says no")

// step drives a Reported in the words of a story.
type reporter struct {
	t *testing.T
	r Reported
}

func newReporter(t *testing.T, version int64, text string) *reporter {
	rp := &reporter{t: t}
	rp.r.Synced(props(t, version, text), 0)
	return rp
}

func (rp *reporter) want(p twin.Patch) Ticket {
	rp.t.Helper()
	ticket, err := rp.r.Want(p)
	if err != nil {
		rp.t.Fatalf("Want(%v): %v", p, err)
	}
	return ticket
}

func (rp *reporter) later(p twin.Patch) {
	rp.t.Helper()
	if err := rp.r.WantLater(p); err != nil {
		rp.t.Fatalf("WantLater(%v): %v", p, err)
	}
}

// sends expects the next patch; "" for none.
func (rp *reporter) sends(what, want string) {
	rp.t.Helper()
	p, ok := rp.r.Next(0)
	got := p.String()
	if !ok {
		got = ""
	}
	if got != want {
		rp.t.Errorf("%s: sends %q, want %q", what, got, want)
	}
}

// story lets a hub answer that refuses what names a property so called, and
// expects what is sent until nothing is left: "+" for taken, "-" for refused.
func (rp *reporter) story(what, bad string, want ...string) {
	rp.t.Helper()
	var got []string
	for range 50 {
		p, ok := rp.r.Next(0)
		if !ok {
			break
		}
		if strings.Contains(p.String(), `"`+bad+`":`) && !strings.Contains(p.String(), `"`+bad+`":null`) {
			got = append(got, "-"+p.String())
			rp.r.Refused(errRefused, 0)
			continue
		}
		got = append(got, "+"+p.String())
		rp.r.Acked(rp.r.Confirmed().Version() + 1)
	}
	wantLines(rp.t, what, got, want...)
}

func (rp *reporter) settles(what string, want ...Settlement) {
	rp.t.Helper()
	got := rp.r.Settled()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		rp.t.Errorf("%s: settles %v, want %v", what, got, want)
	}
}

func (rp *reporter) acked(version int64, want Outcome) {
	rp.t.Helper()
	if got := rp.r.Acked(version); got != want {
		rp.t.Errorf("Acked(%d) = %v, want %v", version, got, want)
	}
}

func TestOneInFlightAndTheRestRidesTogether(t *testing.T) {
	rp := newReporter(t, 4, `{"n":0}`)
	a := rp.want(twin.Set("n", 1))
	rp.sends("the first", `{"n":1}`)
	b, c := rp.want(twin.Set("n", 2)), rp.want(twin.Set("m", 3))
	rp.later(twin.Set("n", 4))
	rp.sends("while one is in flight", "")
	rp.acked(5, Applied)
	rp.settles("the first", Settlement{a, 5, nil})
	rp.sends("all that came since", `{"m":3,"n":4}`)
	rp.acked(6, Applied)
	rp.settles("the others", Settlement{b, 6, nil}, Settlement{c, 6, nil})
	if !rp.r.Idle() {
		t.Error("not idle after all was acknowledged")
	}
}

func TestWhatIsNamedIsSentEvenUnchanged(t *testing.T) {
	rp := newReporter(t, 4, `{"n":1,"o":{"x":1,"y":2}}`)
	for _, tc := range []struct{ named, sent string }{
		{`{"n":1}`, `{"n":1}`},
		{`{"o":{"x":1}}`, `{"o":{"x":1}}`},
		{`{"o":{}}`, `{"o":{}}`},
		{`{"gone":null}`, `{"gone":null}`},
		{`{"o":{"y":null}}`, `{"o":{"y":null}}`},
		{`{"o":{"z":null}}`, `{"o":{}}`}, // some hubs would empty o
		{`{}`, `{}`},
	} {
		rp.want(patch(t, tc.named))
		rp.sends(tc.named, tc.sent)
		rp.acked(rp.r.Confirmed().Version()+1, Applied)
	}
}

func TestDeletionBelowAMissingParentIsNotSent(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	a := rp.want(patch(t, `{"o":{"x":null}}`))
	rp.sends("the object that the merge leaves behind", `{"o":{}}`)
	rp.acked(5, Applied)
	rp.settles("the caller", Settlement{a, 5, nil})
	if got := string(rp.r.Confirmed().At("").JSON()); got != `{"o":{}}` {
		t.Errorf("the hub has %s", got)
	}
}

func TestPatchesBeforeTheFirstGet(t *testing.T) {
	rp := &reporter{t: t}
	rp.later(patch(t, `{"a":5}`))
	rp.later(patch(t, `{"a":{"b":1}}`)) // does not compose with the one before
	a := rp.want(patch(t, `{"n":1}`))
	for i := range 1000 {
		rp.later(twin.Set("counter", i))
	}
	if n := len(rp.r.wishes); n > 4 {
		t.Errorf("%d patches are kept, want those of a counter laid together", n)
	}
	rp.sends("before the hub's state is known", "")
	rp.r.Synced(props(t, 7, `{"a":{"c":2},"other":1}`), 0)
	rp.sends("replayed, a lost c", `{"a":{"b":1,"c":null},"counter":999,"n":1}`)
	rp.acked(8, Applied)
	rp.settles("the one who waits", Settlement{a, 8, nil})
	if got := string(rp.r.Confirmed().At("").JSON()); got != `{"a":{"b":1},"counter":999,"n":1,"other":1}` {
		t.Errorf("the hub has %s", got)
	}
}

func TestUnknownOutcomeIsDecidedByTheVersion(t *testing.T) {
	for _, tc := range []struct {
		desc       string
		version    int64
		hub        string
		resent     string
		settledNow bool
	}{
		{"not applied", 4, `{"n":0}`, `{"n":1}`, false},
		{"applied", 5, `{"n":1}`, "", true},
		{"another writer took the next version", 5, `{"n":9}`, `{"n":1}`, false},
		{"versions jumped", 9, `{"n":0,"x":1}`, `{"n":1,"x":null}`, false},
		{"created anew", 1, `{}`, `{"n":1}`, false},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			rp := newReporter(t, 4, `{"n":0}`)
			a := rp.want(twin.Set("n", 1))
			rp.sends("the patch", `{"n":1}`)
			rp.sends("before the GET", "")
			rp.r.Synced(props(t, tc.version, tc.hub), 0)
			if tc.settledNow {
				rp.settles("by the GET", Settlement{a, tc.version, nil})
			}
			rp.sends("after the GET", tc.resent)
			if tc.resent != "" {
				rp.acked(tc.version+1, Applied)
				rp.settles("by the answer", Settlement{a, tc.version + 1, nil})
			}
		})
	}
}

func TestAckOfAnotherVersionOwesAGet(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	a := rp.want(twin.Set("n", 1))
	rp.sends("the patch", `{"n":1}`)
	rp.acked(6, Gap)
	rp.settles("the hub has it all the same", Settlement{a, 6, nil})
	rp.later(twin.Set("m", 1))
	rp.sends("before the GET", "")
	rp.r.Synced(props(t, 6, `{"n":0}`), 0) // an older patch arrived late
	rp.sends("what is wanted, again", `{"m":1,"n":1}`)

	rp = newReporter(t, 4, `{}`)
	a = rp.want(twin.Set("n", 1))
	rp.sends("the patch", `{"n":1}`)
	rp.acked(0, Applied) // this hub's way
	rp.settles("without a version", Settlement{a, 0, nil})
	rp.r.Synced(props(t, 5, `{"n":1}`), 0)
	rp.sends("nothing more", "")
}

func TestRetryGathersMore(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.later(twin.Set("n", 1))
	a := rp.want(twin.Set("m", 1))
	rp.sends("the patch", `{"m":1,"n":1}`)
	rp.r.Retry()
	rp.later(twin.Set("n", 2))
	rp.sends("after 429, with what came since", `{"m":1,"n":2}`)
	rp.acked(5, Applied)
	rp.settles("the caller", Settlement{a, 5, nil})
}

func TestRefusedPartStandsAlone(t *testing.T) {
	rp := newReporter(t, 4, `{"bad":"old","o":{"x":1}}`)
	a, b := rp.want(twin.Set("good", 1)), rp.want(twin.Set("bad", "new").Set("fine", 2))
	rp.later(twin.Set("quiet", 3).Delete("o"))
	rp.story("deletions first, then in halves", "bad",
		`-{"bad":"new","fine":2,"good":1,"o":null,"quiet":3}`,
		`+{"o":null}`,
		`-{"bad":"new","fine":2,"good":1,"quiet":3}`,
		`-{"bad":"new","fine":2}`,
		`-{"bad":"new"}`,
		`+{"fine":2}`,
		`+{"good":1,"quiet":3}`,
		`-{"bad":"new"}`) // once more, since others were taken
	rp.settles("the callers", Settlement{a, 7, nil}, Settlement{b, 0, errRefused})
	if got := string(rp.r.Confirmed().At("").JSON()); got != `{"bad":"old","fine":2,"good":1,"quiet":3}` || !rp.r.Idle() {
		t.Errorf("the hub has %s", got)
	}
}

func TestRefusedValueGoesBackUnlessChangedSince(t *testing.T) {
	rp := newReporter(t, 4, `{"o":{"x":1,"y":1}}`)
	rp.later(twin.Set("o.x", "bad"))
	rp.sends("the patch", `{"o":{"x":"bad"}}`)
	rp.later(twin.Set("o.x", "good"))
	rp.r.Refused(errRefused, 0)
	rp.sends("the newer value", `{"o":{"x":"good"}}`)
	rp.acked(5, Applied)

	rp.later(twin.Set("new.deep", "bad"))
	rp.sends("the patch", `{"new":{"deep":"bad"}}`)
	rp.r.Refused(errRefused, 0)
	rp.sends("nothing is left of it", "")
	if got := string(rp.r.Wanted().At("").JSON()); got != `{"o":{"x":"good","y":1}}` {
		t.Errorf("wanted is %s", got)
	}

	rp.later(twin.Delete("o"))
	rp.sends("a deletion", `{"o":null}`)
	rp.r.Refused(errRefused, 0)
	rp.sends("the deletion is given up", "")
	if got := string(rp.r.Wanted().At("o.x").JSON()); got != `"good"` {
		t.Errorf("o.x is %s after its deletion was refused", got)
	}
}

func TestReadBackDifferentIsNotSentAgain(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.later(twin.Set("s", "  padded ").Set("n", 1))
	rp.sends("the patch", `{"n":1,"s":"  padded "}`)
	rp.acked(5, Applied)
	if got := rp.r.Synced(props(t, 5, `{"n":1.0,"s":"padded"}`), 0); fmt.Sprint(got) != "[s]" {
		t.Errorf("reads back different: %v, want [s]", got)
	}
	rp.sends("peace", "")
	if got := rp.r.Synced(props(t, 5, `{"n":1.0,"s":"padded"}`), 0); got != nil {
		t.Errorf("told twice: %v", got)
	}
	rp.later(twin.Set("s", " again "))
	rp.sends("a change by firmware", `{"s":" again "}`)
}

func TestComponentMarkerTravels(t *testing.T) {
	rp := newReporter(t, 4, `{"thermostat1":{"__t":"c","temp":1}}`)
	rp.later(twin.Set("thermostat1.temp", 2).Set("plain.x", 1))
	rp.sends("into a component", `{"plain":{"x":1},"thermostat1":{"__t":"c","temp":2}}`)
}

func TestForgottenCallerStaysWanted(t *testing.T) {
	rp := newReporter(t, 4, `{"n":1}`)
	a, b := rp.want(twin.Set("n", 1)), rp.want(twin.Set("m", 1))
	rp.r.Forget(a)
	rp.r.Forget(a)
	rp.sends("both", `{"m":1,"n":1}`)
	rp.r.Forget(b)
	rp.r.Synced(props(t, 4, `{"n":1}`), 0)
	rp.sends("again", `{"m":1,"n":1}`)
	rp.acked(5, Applied)
	rp.settles("nobody waits")
	if len(rp.r.open) != 0 {
		t.Errorf("%d tickets are open", len(rp.r.open))
	}
}

func TestNamesStayBounded(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	for i := range 5000 {
		key := fmt.Sprintf("k%d", i)
		rp.later(twin.Set(key, 1))
		rp.later(twin.Delete(key))
	}
	if n := len(rp.r.Snapshot().Unsent); n > 1 {
		t.Errorf("%d names are kept for an empty document", n)
	}
}

func TestWantRefuses(t *testing.T) {
	rp := newReporter(t, 4, `{"k":"v"}`)
	for _, p := range []twin.Patch{twin.Set("a.$b", 1), twin.Set("a", strings.Repeat("x", 5000)), twin.Set("c", func() {})} {
		if _, err := rp.r.Want(p); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("Want(%v) = %v, want ErrInvalid", p, err)
		}
		if err := rp.r.WantLater(p); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("WantLater(%v) = %v, want ErrInvalid", p, err)
		}
	}
	rp.sends("nothing of it", "")
	rp.acked(5, Duplicate)
	rp.r.Refused(errRefused, 0)
	rp.r.Retry()
	if rp.r.InFlight() {
		t.Error("something is in flight")
	}
}

func TestGiveUpKeepsWhatCameSince(t *testing.T) {
	rp := newReporter(t, 4, `{"s":5,"n":{"a":1}}`)
	rp.later(twin.Set("s", map[string]int{"bad": 1}))
	rp.sends("an object where a number was", `{"s":{"bad":1}}`)
	rp.later(twin.Set("s.good", 2))
	rp.r.Refused(errRefused, 0)
	rp.sends("what came since", `{"s":{"good":2}}`)
	rp.acked(5, Applied)

	rp.later(twin.Set("n", map[string]int{"bad": 1}))
	rp.sends("into an object", `{"n":{"bad":1}}`)
	rp.r.Refused(errRefused, 0)
	rp.sends("nothing is left", "")
	if got := string(rp.r.Wanted().At("n").JSON()); got != `{"a":1}` {
		t.Errorf("wanted n is %s", got)
	}
}

func TestAllWhoNamedTheRefusedFail(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	a, b, c := rp.want(twin.Set("bad", 1)), rp.want(twin.Set("bad", 1).Set("good", 1)), rp.want(twin.Set("o", map[string]int{}))
	rp.sends("together", `{"bad":1,"good":1,"o":{}}`)
	d := rp.want(twin.Set("bad", 1))
	rp.r.Refused(errRefused, 0)
	rp.story("apart", "bad",
		`-{"bad":1}`,
		`+{"good":1,"o":{}}`,
		`-{"bad":1}`)
	rp.settles("all", Settlement{c, 5, nil}, Settlement{a, 0, errRefused}, Settlement{b, 0, errRefused}, Settlement{d, 0, errRefused})
	if !rp.r.Idle() || !rp.r.Known() {
		t.Error("not at rest")
	}
}

func TestForgetBeforeTheFirstGet(t *testing.T) {
	rp := &reporter{t: t}
	a := rp.want(twin.Set("o.x", 1))
	rp.r.Forget(a)
	rp.later(twin.Delete("o.gone"))
	rp.r.Synced(props(t, 3, `{"o":{"y":1}}`), 0)
	rp.sends("it stays wanted", `{"o":{"x":1}}`)
	rp.acked(4, Applied)
	rp.settles("nobody waits")
}
