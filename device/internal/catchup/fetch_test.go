package catchup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// knowing is a machine at a version, with listeners that heard the start.
func knowing(t *testing.T, version int64, text string, opts ListenerOptions, paths ...string) *Desired {
	t.Helper()
	d := &Desired{}
	listen(t, d, opts, paths...)
	d.Fetching()
	d.Fetched(props(t, version, text), twin.CauseReconnect)
	heard(d)
	return d
}

func wantOutcome(t *testing.T, what string, got, want Outcome) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestLateAnswerAfterTooManyPatches is a GET whose answer is older than what
// came since, when not all of that could be kept: again and again, with a twin
// that has versions and with one that has none.
func TestLateAnswerAfterTooManyPatches(t *testing.T) {
	for _, versioned := range []int64{1, 0} {
		for _, pad := range []int{0, 20 << 10, keepBytes} {
			d := knowing(t, versioned, `{"valve":"v1"}`, ListenerOptions{}, "valve")
			v := int64(1)
			for range 3 {
				d.Fetching()
				at := d.Properties()
				for range 4 {
					v++
					p := twin.Set("valve", fmt.Sprint("v", v)).Set("pad", strings.Repeat("x", pad))
					wantOutcome(t, "a patch", d.Notify(p, v*versioned), Applied)
					wantLines(t, "a patch", heard(d), fmt.Sprintf(`valve v%d patch: "v%d" -> "v%d"`, v*versioned, v-1, v))
				}
				want := Gap
				if pad == 0 {
					want = Applied
				}
				wantOutcome(t, "a late answer", d.Fetched(at, twin.CauseGap), want)
				wantLines(t, "a late answer", heard(d))
				if got := string(d.Properties().At("valve").JSON()); got != fmt.Sprintf(`"v%d"`, v) {
					t.Errorf("versions %d, pad %d: a late answer went back to %s", versioned, pad, got)
				}
			}
			now := d.Properties()
			d.Fetching()
			wantOutcome(t, "an answer in time", d.Fetched(now, twin.CauseGap), Applied)
		}
	}
}

func TestOvertakenPatches(t *testing.T) {
	set := func(v int64) twin.Patch { return twin.Set("n", v) }
	for _, tc := range []struct {
		desc   string
		order  []int64 // of arrival, during a GET that left at version 5
		answer int64
		want   Outcome
		ends   int64
	}{
		{"one", []int64{7, 6}, 5, Applied, 7},
		{"several", []int64{9, 7, 8, 6}, 5, Applied, 9},
		{"and doubled", []int64{7, 7, 6, 6, 7}, 5, Gap, 7}, // 6 came after 7: late, or another twin's
		{"one is missing", []int64{8, 6}, 5, Gap, 6},
		{"one is missing, and the answer has it", []int64{8, 6}, 7, Applied, 8},
		{"the answer has all", []int64{9, 7}, 9, Applied, 9},
	} {
		d := knowing(t, 5, `{"n":5}`, ListenerOptions{}, "n")
		d.Fetching()
		for _, v := range tc.order {
			if got := d.Notify(set(v), v); got == Gap {
				t.Errorf("%s: a gap during a GET", tc.desc)
			}
		}
		last := d.Properties().Version()
		heard(d)
		wantOutcome(t, tc.desc, d.Fetched(props(t, tc.answer, fmt.Sprintf(`{"n":%d}`, tc.answer)), twin.CauseGap), tc.want)
		if got := d.Properties(); got.Version() != tc.ends || string(got.At("n").JSON()) != fmt.Sprint(tc.ends) {
			t.Errorf("%s: ends with %v, want version %d", tc.desc, got, tc.ends)
		}
		if calls := heard(d); tc.ends == last && calls != nil || tc.ends > last && len(calls) != 1 {
			t.Errorf("%s: heard %v", tc.desc, calls)
		}
	}
}

// TestLowerAnswers is a device created again, or an answer that is stale.
func TestLowerAnswers(t *testing.T) {
	d := knowing(t, 50, `{"a":1,"same":1}`, ListenerOptions{}, "", "a", "same")
	fetch := func(version int64, text string, want Outcome) {
		t.Helper()
		d.Fetching()
		wantOutcome(t, fmt.Sprintf("an answer at version %d", version), d.Fetched(props(t, version, text), twin.CauseReconnect), want)
	}
	fetch(49, `{"a":0,"same":1}`, Gap)
	wantLines(t, "one lower answer", heard(d))
	fetch(50, `{"a":1,"same":1}`, Applied) // it was stale
	fetch(49, `{"a":0,"same":1}`, Gap)
	wantOutcome(t, "a patch that follows", d.Notify(twin.Set("a", 2), 51), Applied) // stale again
	wantLines(t, "the patch", heard(d), ` v51 patch: {"a":1,"same":1} -> {"a":2,"same":1}`, "a v51 patch: 1 -> 2")
	fetch(3, `{"a":2,"same":1}`, Gap)
	d.Fetching()
	wantOutcome(t, "a GET that failed proves nothing", d.FetchFailed(), Applied)
	wantLines(t, "so far", heard(d))
	fetch(4, `{"same":1}`, Applied)
	wantLines(t, "created again", heard(d), ` v4 another twin: {"a":2,"same":1} -> {"same":1}`, "a v4 another twin: 2 -> -")
	wantOutcome(t, "and on", d.Notify(twin.Set("a", 3).Set("same", 2), 5), Applied)
	wantLines(t, "and on", heard(d), ` v5 patch: {"same":1} -> {"a":3,"same":2}`, "a v5 patch: - -> 3", "same v5 another twin: 1 -> 2")
}

// TestAnotherTwinForSlowListeners: one that had calls waiting hears the reason
// all the same, and one that acknowledges answers again.
func TestAnotherTwinForSlowListeners(t *testing.T) {
	d := knowing(t, 50, `{"a":1,"b":1}`, ListenerOptions{Acknowledge: true}, "a", "b")
	d.Notify(twin.Set("a", 2), 51) // waits
	for range 2 {
		d.Fetching()
		d.Fetched(props(t, 1, `{"a":1,"b":1}`), twin.CauseReconnect)
	}
	d.Notify(twin.Set("c", 1), 2)
	wantLines(t, "another twin", heard(d), "a v2 another twin: 1 -> 1", "b v2 another twin: 1 -> 1")

	d = knowing(t, 50, `{"a":1}`, ListenerOptions{Acknowledge: true}, "a")
	listen(t, d, ListenerOptions{}, "a") // it has its first call yet to come
	for range 2 {
		d.Fetching()
		d.Fetched(props(t, 1, `{"a":1}`), twin.CauseReconnect)
	}
	wantLines(t, "with the same content", heard(d), "a v1 start: - -> 1", "a v1 another twin: 1 -> 1")
}

// TestPatchesOfTwoTwins creates the device again while a GET is in flight.
func TestPatchesOfTwoTwins(t *testing.T) {
	d := knowing(t, 5, `{"n":5}`, ListenerOptions{}, "n")
	d.Fetching()
	d.Notify(twin.Set("n", 6), 6)
	heard(d)
	for v := int64(2); v < 4; v++ {
		wantOutcome(t, "the other's", d.Notify(twin.Set("m", v), v), Applied)
	}
	wantOutcome(t, "the old twin's answer", d.Fetched(props(t, 5, `{"n":5}`), twin.CauseGap), Gap)
	wantLines(t, "so far", heard(d))
	d.Fetching()
	wantOutcome(t, "the other's answer", d.Fetched(props(t, 3, `{"m":3}`), twin.CauseGap), Gap)
	d.Fetching()
	wantOutcome(t, "and a patch", d.Notify(twin.Set("m", 4), 4), Applied)
	wantOutcome(t, "the other's answer", d.Fetched(props(t, 3, `{"m":3}`), twin.CauseGap), Gap)
	wantLines(t, "another twin", heard(d), "n v3 another twin: 6 -> -")
	d.Fetching()
	wantOutcome(t, "in step", d.Fetched(props(t, 4, `{"m":4}`), twin.CauseGap), Applied)

	// Both sent the same version: one of the two is wrong.
	d = knowing(t, 5, `{"n":5}`, ListenerOptions{}, "n")
	d.Fetching()
	d.Notify(twin.Set("n", 7), 7)
	d.Notify(twin.Set("m", 7), 7)
	wantOutcome(t, "one version twice", d.Fetched(props(t, 6, `{"n":6}`), twin.CauseGap), Gap)
}

func TestVersionThatFellIsOneGet(t *testing.T) {
	d := knowing(t, 11, `{"HBF":20}`, ListenerOptions{Acknowledge: true}, "HBF")
	for range 3 { // late or doubled notifications
		wantOutcome(t, "version 2 after 11", d.Notify(twin.Set("HBF", 10), 2), Gap)
		d.Fetching()
		wantOutcome(t, "the GET that confirms", d.Fetched(props(t, 11, `{"HBF":20}`), twin.CauseGap), Applied)
	}
	wantLines(t, "nothing changed", heard(d))
	// During a GET, the answer may be from before.
	d.Fetching()
	wantOutcome(t, "during a GET", d.Notify(twin.Set("HBF", 10), 2), Applied)
	wantOutcome(t, "its answer", d.Fetched(props(t, 11, `{"HBF":20}`), twin.CauseGap), Gap)
	d.Fetching()
	wantOutcome(t, "the next", d.Fetched(props(t, 11, `{"HBF":20}`), twin.CauseGap), Applied)
	wantLines(t, "nothing changed", heard(d))
}

func TestFailedGetOwesWhatItWasToTell(t *testing.T) {
	for _, tc := range []struct {
		desc string
		come func(d *Desired) Outcome
		want Outcome
	}{
		{"nothing", func(*Desired) Outcome { return Applied }, Applied},
		{"the next patch", func(d *Desired) Outcome { return d.Notify(twin.Set("a", 2), 6) }, Applied},
		{"a duplicate", func(d *Desired) Outcome { return d.Notify(twin.Set("a", 1), 5) }, Applied},
		{"a gap", func(d *Desired) Outcome { return d.Notify(twin.Set("a", 2), 7) }, Gap},
		{"a lower version", func(d *Desired) Outcome { return d.Notify(twin.Set("a", 2), 2) }, Gap},
		{"no version", func(d *Desired) Outcome { return d.Notify(twin.Set("a", 2), 0) }, Gap},
		{"no JSON", func(d *Desired) Outcome { return d.Lost() }, Gap},
		{"a deletion of nothing", func(d *Desired) Outcome { return d.Notify(twin.Delete("o.x"), 6) }, Gap},
		{"too much", func(d *Desired) Outcome { return d.Notify(twin.Set("a", strings.Repeat("x", keepBytes)), 6) }, Gap},
	} {
		d := knowing(t, 5, `{"a":1,"o":{}}`, ListenerOptions{})
		d.Fetching()
		if got := tc.come(d); got == Gap {
			t.Errorf("%s: a gap during a GET", tc.desc)
		}
		wantOutcome(t, tc.desc, d.FetchFailed(), tc.want)
		d.Fetching()
		wantOutcome(t, tc.desc+", once", d.FetchFailed(), Applied)
	}
}

func TestDeletionOfNothingOwesAGet(t *testing.T) {
	const start = `{"o":{"x":1,"p":{"y":1}},"e":{},"s":1}`
	for text, want := range map[string]Outcome{
		`{"o":{"gone":null}}`:         Gap,
		`{"o":{"p":{"gone":null}}}`:   Gap,
		`{"o":{"x":2,"gone":null}}`:   Gap,
		`{"e":{"gone":null,"new":1}}`: Gap,
		`{"gone":null}`:               Applied, // hubs do not empty the root
		`{"o":{"x":null}}`:            Applied,
		`{"o":null}`:                  Applied,
		`{"new":{"gone":null}}`:       Applied, // there is nothing to empty
		`{"s":{"gone":null}}`:         Applied,
		`{"o":{"x":[null]}}`:          Applied,
	} {
		d := knowing(t, 5, start, ListenerOptions{}, "")
		wantOutcome(t, text, d.Notify(patch(t, text), 6), want)
		if got := d.Properties().Version(); got != 6 {
			t.Errorf("%s: not applied", text)
		}
		// With a GET in flight, an answer from before is not enough.
		for at, want := range map[int64]Outcome{5: want, 6: Applied} {
			d := knowing(t, 5, start, ListenerOptions{}, "")
			d.Fetching()
			wantOutcome(t, text, d.Notify(patch(t, text), 6), Applied)
			answer := twin.Apply(props(t, at, start), twin.Patch{})
			if at == 6 {
				answer = d.Properties()
			}
			wantOutcome(t, fmt.Sprintf("%s, answer at %d", text, at), d.Fetched(answer, twin.CauseGap), want)
		}
	}
}

// TestGetNamesAcknowledgersWhereAVersionWasMissed, and only there.
func TestGetNamesAcknowledgersWhereAVersionWasMissed(t *testing.T) {
	d := knowing(t, 3, `{"a":1,"b":1,"c":1}`, ListenerOptions{Acknowledge: true}, "a", "b", "c")
	get := func(version int64, text string) []string {
		d.Fetching()
		d.Fetched(props(t, version, text), twin.CauseGap)
		return heard(d)
	}
	d.Notify(twin.Set("a", 2), 4)
	wantLines(t, "a alone is named", heard(d), "a v4 patch: 1 -> 2")
	wantLines(t, "a GET that finds no gap", get(4, `{"a":2,"b":1,"c":1}`))
	d.Notify(twin.Set("x", 2), 5)
	wantLines(t, "another key", get(5, `{"a":2,"b":1,"c":1,"x":2}`))
	wantLines(t, "version 6 was missed", get(6, `{"a":2,"b":1,"c":1,"x":2}`),
		"a v6 gap: 2 -> 2", "b v6 gap: 1 -> 1", "c v6 gap: 1 -> 1")
	wantLines(t, "and is known", get(6, `{"a":2,"b":1,"c":1,"x":2}`))
	d.Fetching()
	d.Notify(twin.Set("b", 2), 8)
	d.Notify(twin.Set("x", 3), 7)
	d.Fetched(props(t, 8, `{"a":2,"b":2,"c":1,"x":3}`), twin.CauseGap)
	wantLines(t, "overtaken, and not missed", heard(d), "b v8 patch: 1 -> 2")
	wantLines(t, "another content at this version", get(8, `{"a":2,"b":2,"c":1,"x":4}`), "a v8 gap: 2 -> 2", "c v8 gap: 1 -> 1")
	wantOutcome(t, "a deletion of nothing", d.Notify(patch(t, `{"o":{}}`), 9), Applied)
	wantOutcome(t, "a deletion of nothing", d.Notify(patch(t, `{"o":{"x":1}}`), 10), Applied)
	wantOutcome(t, "a deletion of nothing", d.Notify(patch(t, `{"o":{"y":null}}`), 11), Gap)
	wantLines(t, "the hub emptied an object", get(11, `{"a":2,"b":2,"c":1,"x":4,"o":{}}`))
	d.Fetching()
	d.Notify(patch(t, `{"o":{"x":1}}`), 12)
	d.Notify(patch(t, `{"o":{"y":null}}`), 13)
	wantOutcome(t, "an answer from before", d.Fetched(props(t, 11, `{"a":2,"b":2,"c":1,"x":4,"o":{}}`), twin.CauseGap), Gap)
	wantLines(t, "and one from after", get(13, `{"a":2,"b":2,"c":1,"x":4,"o":{}}`))
	wantLines(t, "once", get(13, `{"a":2,"b":2,"c":1,"x":5,"o":{}}`), "a v13 gap: 2 -> 2", "b v13 gap: 2 -> 2", "c v13 gap: 1 -> 1")
}

func TestTwinWithoutVersions(t *testing.T) {
	d := knowing(t, 0, `{}`, ListenerOptions{Acknowledge: true}, "a", "b")
	if !d.Known() {
		t.Error("a document without a version is not known")
	}
	for i := range 3 { // applied as they come
		wantOutcome(t, "without a version", d.Notify(twin.Set("a", i), 0), Applied)
	}
	wantLines(t, "without versions", heard(d), "a v0 patch: - -> 2")
	d.Fetching()
	wantOutcome(t, "a GET", d.Fetched(props(t, 0, `{"a":2}`), twin.CauseGap), Applied)
	wantLines(t, "nothing new", heard(d))
	wantOutcome(t, "what cannot be read", d.Lost(), Gap)
	d.Fetching()
	wantOutcome(t, "what cannot be read, during a GET", d.Lost(), Applied)
	wantOutcome(t, "its answer may be older", d.Fetched(props(t, 0, `{"a":2}`), twin.CauseGap), Gap)
	wantOutcome(t, "a version", d.Notify(twin.Set("b", 1), 7), Applied)
	wantLines(t, "a version", heard(d), "b v7 patch: - -> 1")
	for version, want := range map[int64]Outcome{7: Duplicate, 6: Gap, 9: Gap, 0: Gap} {
		wantOutcome(t, fmt.Sprint("then version ", version), d.Notify(twin.Set("b", 2), version), want)
	}
	wantOutcome(t, "and on", d.Notify(twin.Set("b", 2), 8), Applied)
	heard(d)

	// The hub has no twin any more: that takes nothing away.
	for range 3 {
		d.Fetching()
		wantOutcome(t, "no twin", d.Fetched(props(t, 0, `{}`), twin.CauseGap), Applied)
		d.Fetching()
		wantOutcome(t, "a gap", d.Notify(twin.Set("b", 3), 11), Applied)
		wantOutcome(t, "no twin, and a gap", d.Fetched(props(t, 0, `{}`), twin.CauseGap), Gap)
	}
	wantLines(t, "no twin", heard(d))

	// The version gets lost: believed when it is said twice.
	d.Fetching()
	wantOutcome(t, "a patch", d.Notify(twin.Set("b", 3), 9), Applied)
	wantLines(t, "a patch", heard(d), "b v9 patch: 2 -> 3")
	wantOutcome(t, "no version any more", d.Fetched(props(t, 0, `{"a":2}`), twin.CauseGap), Gap)
	wantLines(t, "said once", heard(d))
	d.Fetching()
	wantOutcome(t, "a patch of the one before", d.Notify(twin.Set("b", 4), 10), Applied)
	wantLines(t, "a patch", heard(d), "b v10 patch: 3 -> 4")
	wantOutcome(t, "so it goes on", d.Fetched(props(t, 0, `{"a":2}`), twin.CauseGap), Gap)
	d.Fetching()
	wantOutcome(t, "one that was overtaken", d.Notify(twin.Set("b", 12), 12), Applied)
	wantOutcome(t, "said twice", d.Fetched(props(t, 0, `{"a":2}`), twin.CauseGap), Gap)
	wantLines(t, "said twice", heard(d), "b v0 another twin: 4 -> -")
}

// TestVersionNamedByAGet: what acknowledged without a version does so once more.
func TestVersionNamedByAGet(t *testing.T) {
	d := knowing(t, 0, `{"a":1}`, ListenerOptions{Acknowledge: true}, "a")
	d.Fetching()
	wantOutcome(t, "a patch without a version", d.Notify(twin.Set("x", 1), 0), Applied)
	wantOutcome(t, "may be in the answer, or not", d.Fetched(props(t, 4, `{"a":1}`), twin.CauseGap), Gap)
	wantLines(t, "the version", heard(d), "a v4 gap: 1 -> 1")
}

func TestPatchesBeforeTheFirstAnswer(t *testing.T) {
	for _, tc := range []struct {
		patches []int64
		answer  int64
		want    Outcome
		ends    string
	}{
		{[]int64{6, 5}, 4, Applied, `{"k":6,"$version":6}`},
		{[]int64{6}, 4, Gap, `{"$version":4}`},
		{[]int64{3, 4}, 4, Applied, `{"$version":4}`},
		{[]int64{0, 0}, 0, Applied, `{"k":0}`},
		{[]int64{0, 7, 8}, 0, Applied, `{"k":8,"$version":8}`},
		{[]int64{0}, 4, Gap, `{"$version":4}`},
	} {
		var d Desired
		listen(t, &d, ListenerOptions{}, "k")
		d.Fetching()
		for _, v := range tc.patches {
			wantOutcome(t, "before the answer", d.Notify(twin.Set("k", v), v), Applied)
		}
		wantOutcome(t, fmt.Sprint(tc), d.Fetched(props(t, tc.answer, `{}`), twin.CauseReconnect), tc.want)
		if got := d.Properties().String(); got != tc.ends {
			t.Errorf("%v: %s", tc, got)
		}
		if calls := heard(&d); len(calls) != 1 || !strings.Contains(calls[0], " start: ") {
			t.Errorf("%v: heard %v", tc, calls)
		}
	}
}
