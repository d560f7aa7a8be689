package catchup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// props is a half at a version, from JSON.
func props(t *testing.T, version int64, text string) twin.Properties {
	t.Helper()
	return twin.Apply(twin.Properties{}, patch(t, text)).WithVersion(version)
}

func patch(t *testing.T, text string) twin.Patch {
	t.Helper()
	p, err := twin.ParsePatch([]byte(text))
	if err != nil {
		t.Fatalf("ParsePatch(%s): %v", text, err)
	}
	return p
}

// heard drains a machine and writes each call as one line.
func heard(d *Desired) []string {
	var lines []string
	for {
		del, ok := d.Next()
		if !ok {
			return lines
		}
		c := del.Change
		text := func(v twin.Value) string {
			if !v.Exists() {
				return "-"
			}
			return string(v.JSON())
		}
		lines = append(lines, fmt.Sprintf("%s v%d %v: %s -> %s", c.Path, c.Version, c.Cause, text(c.Old), text(c.Value)))
	}
}

func nothing(context.Context, twin.Change) error { return nil }

func listen(t *testing.T, d *Desired, opts ListenerOptions, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := d.Listen(path, nothing, opts); err != nil {
			t.Fatalf("Listen(%q): %v", path, err)
		}
	}
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func TestListenerHearsItsPathAndNothingElse(t *testing.T) {
	const start = `{"a":{"b":{"c":1,"d":2},"x":5},"z":1}`
	for _, tc := range []struct {
		desc, patch string
		hears       string // what the listener on a.b hears; "" for nothing
	}{
		{"itself, set", `{"a":{"b":7}}`, `{"c":1,"d":2} -> 7`},
		{"below, set", `{"a":{"b":{"c":9}}}`, `{"c":1,"d":2} -> {"c":9,"d":2}`},
		{"below, deleted", `{"a":{"b":{"c":null}}}`, `{"c":1,"d":2} -> {"d":2}`},
		{"itself, deleted", `{"a":{"b":null}}`, `{"c":1,"d":2} -> -`},
		{"ancestor deleted", `{"a":null}`, `{"c":1,"d":2} -> -`},
		{"ancestor replaced by a scalar", `{"a":3}`, `{"c":1,"d":2} -> -`},
		{"ancestor replaced by an array", `{"a":[1]}`, `{"c":1,"d":2} -> -`},
		{"named again with the same value", `{"a":{"b":{"c":1}}}`, `{"c":1,"d":2} -> {"c":1,"d":2}`},
		{"a sibling", `{"a":{"x":6}}`, ""},
		{"a sibling deleted", `{"a":{"x":null}}`, ""},
		{"elsewhere", `{"z":2}`, ""},
		{"an ancestor, by the empty object", `{"a":{}}`, ""},
		{"the empty patch", `{}`, ""},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			var d Desired
			listen(t, &d, ListenerOptions{}, "a.b")
			d.Fetching()
			d.Fetched(props(t, 3, start), twin.CauseReconnect)
			wantLines(t, "at the start", heard(&d), `a.b v3 start: - -> {"c":1,"d":2}`)
			if got := d.Notify(patch(t, tc.patch), 4); got != Applied {
				t.Fatalf("Notify = %v, want applied", got)
			}
			if tc.hears == "" {
				wantLines(t, tc.patch, heard(&d))
				return
			}
			wantLines(t, tc.patch, heard(&d), "a.b v4 patch: "+tc.hears)
		})
	}
}

func TestEveryListenerIsToldTheStart(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "", "none", "a")
	if got := heard(&d); got != nil {
		t.Fatalf("before the first GET, listeners heard %v", got)
	}
	d.Fetched(props(t, 2, `{"a":false}`), twin.CauseReconnect)
	wantLines(t, "first GET", heard(&d), ` v2 start: - -> {"a":false}`, `none v2 start: - -> -`, `a v2 start: - -> false`)
	listen(t, &d, ListenerOptions{}, "a")
	wantLines(t, "one added later, at once", heard(&d), `a v2 start: - -> false`)
}

func TestReconnectTellsTheDifference(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "a", "b", "c", "o.x")
	d.Fetched(props(t, 5, `{"a":1,"b":2,"o":{"x":1}}`), twin.CauseReconnect)
	heard(&d)
	d.Fetching()
	d.Fetched(props(t, 9, `{"a":1.0,"c":3}`), twin.CauseReconnect)
	wantLines(t, "changed while away", heard(&d),
		"b v9 reconnect: 2 -> -", "c v9 reconnect: - -> 3", "o.x v9 reconnect: 1 -> -")
}

func TestPatchesKeptDuringGet(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "n")
	d.Fetched(props(t, 5, `{"n":5}`), twin.CauseReconnect)
	heard(&d)
	d.Fetching()
	if got := d.Notify(patch(t, `{"n":6}`), 6); got != Applied {
		t.Errorf("the next patch during a GET is %v, want applied at once", got)
	}
	if got := d.Fetched(props(t, 5, `{"n":5}`), twin.CauseGap); got != Applied {
		t.Errorf("a late answer gives %v, want applied", got)
	}
	if got := d.Properties().Version(); got != 6 {
		t.Errorf("a late answer rolled back to version %d", got)
	}
	wantLines(t, "a late answer takes nothing back", heard(&d), "n v6 patch: 5 -> 6")

	d.Fetching()
	d.Notify(patch(t, `{"n":8}`), 8) // 7 was lost
	if got := d.Fetched(props(t, 7, `{"n":7}`), twin.CauseGap); got != Applied {
		t.Errorf("a GET that closes the gap gives %v", got)
	}
	wantLines(t, "the kept patch follows the GET", heard(&d), "n v8 gap: 6 -> 8")

	d.Fetching()
	d.Notify(patch(t, `{"n":11}`), 11)
	if got := d.Fetched(props(t, 9, `{"n":9}`), twin.CauseGap); got != Gap {
		t.Errorf("a kept patch beyond the next gives %v, want gap", got)
	}
}

func TestKeptPatchesAreBounded(t *testing.T) {
	var d Desired
	d.Fetched(props(t, 1, `{}`), twin.CauseReconnect)
	d.Fetching()
	big := twin.Set("k", strings.Repeat("x", 4000))
	for v := int64(3); v < 100; v++ { // 2 was lost, so none applies at once
		d.Notify(big, v)
	}
	if n := len(d.get.kept); n > keepBytes/4000 {
		t.Errorf("kept %d patches", n)
	}
	if got := d.Fetched(props(t, 99, `{}`), twin.CauseGap); got != Gap {
		t.Errorf("after dropping kept patches the outcome is %v, want gap: one more GET", got)
	}
}

func TestNotifyOutcomes(t *testing.T) {
	var d Desired
	if got := d.Notify(twin.Set("a", 1), 2); got != Gap {
		t.Errorf("before any GET: %v, want gap", got)
	}
	d.Fetched(props(t, 5, `{"a":1}`), twin.CauseReconnect)
	for _, tc := range []struct {
		version int64
		want    Outcome
	}{{5, Duplicate}, {4, Gap}, {1, Gap}, {7, Gap}, {0, Gap}, {6, Applied}, {6, Duplicate}, {5, Gap}} {
		if got := d.Notify(twin.Set("a", tc.version), tc.version); got != tc.want {
			t.Errorf("version %d: %v, want %v", tc.version, got, tc.want)
		}
	}
}

func TestFailedGetTakesNothingAway(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "a")
	d.Fetched(props(t, 3, `{"a":1}`), twin.CauseReconnect)
	heard(&d)
	d.Fetching()
	d.FetchFailed()
	if got := d.Properties().String(); !strings.Contains(got, `"a":1`) {
		t.Errorf("after a failed GET the document is %s", got)
	}
	if got := d.Notify(twin.Set("a", 2), 4); got != Applied {
		t.Errorf("a patch after a failed GET is %v", got)
	}
}

func TestAcknowledgingListenerIsNamedByANewerGet(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{Acknowledge: true}, "a", "gone")
	listen(t, &d, ListenerOptions{}, "a")
	d.Fetched(props(t, 3, `{"a":1}`), twin.CauseReconnect)
	heard(&d)
	d.Fetching()
	d.Fetched(props(t, 3, `{"a":1}`), twin.CauseReconnect)
	wantLines(t, "the same version", heard(&d))
	d.Fetching()
	d.Fetched(props(t, 4, `{"a":1}`), twin.CauseReconnect)
	wantLines(t, "a newer version, the same value", heard(&d), "a v4 reconnect: 1 -> 1")
}

func TestSlowListenerWaitsForOneDiff(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "")
	d.Fetched(props(t, 1, `{}`), twin.CauseReconnect)
	heard(&d)
	for v := int64(2); v <= 2000; v++ {
		key := fmt.Sprintf("k%d", v)
		d.Notify(twin.Set(key, v).Delete(fmt.Sprintf("k%d", v-1)), v)
	}
	if got := len(d.routes.dirty); got != 1 {
		t.Errorf("%d calls wait, want 1", got)
	}
	sub := d.routes.byID[1]
	if n := len(sub.named.Members()); n > 1 {
		t.Errorf("%d names wait for a document of one key", n)
	}
	del, _ := d.Next()
	if got, want := del.Change.Patch().String(), `{"k2000":2000}`; got != want {
		t.Errorf("the diff is %s, want %s", got, want)
	}
}

func TestRemovedListenerHearsNothing(t *testing.T) {
	var d Desired
	id, err := d.Listen("a.b", nothing, ListenerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Fetched(props(t, 1, `{"a":{"b":1}}`), twin.CauseReconnect)
	d.Unlisten(id)
	d.Unlisten(id)
	wantLines(t, "removed", heard(&d))
	if len(d.routes.root.children) != 0 || len(d.routes.byID) != 0 {
		t.Error("the trie keeps routes of a removed listener")
	}
}

func TestListenRefuses(t *testing.T) {
	var d Desired
	if _, err := d.Listen("a", nil, ListenerOptions{}); err == nil {
		t.Error("a nil listener was taken")
	}
	for _, path := range []string{"a\xff", "$version", "a b", "a#", "a." + strings.Repeat("k", 1025), "a.b.c.d.e.f.g.h.i.j.k.l"} {
		if _, err := d.Listen(path, nothing, ListenerOptions{}); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("the path %q that no property can have: %v", path, err)
		}
	}
}

func TestChangePatchAndRemoved(t *testing.T) {
	for _, tc := range []struct {
		path, from, to, patch string
		removed               []string
	}{
		{"", `{"a":1,"b":2}`, `{"a":1,"c":3}`, `{"b":null,"c":3}`, []string{"b"}},
		{"o", `{"o":{"x":1,"y":{"z":1}}}`, `{"o":{"x":2}}`, `{"o":{"x":2,"y":null}}`, []string{"o.y"}},
		{"o.x", `{"o":{"x":1}}`, `{"o":{}}`, `{"o":{"x":null}}`, []string{"o.x"}},
		{"o.x", `{"o":{"x":1}}`, `{"o":{"x":2}}`, `{"o":{"x":2}}`, nil},
	} {
		var d Desired
		listen(t, &d, ListenerOptions{}, tc.path)
		d.Fetched(props(t, 1, tc.from), twin.CauseReconnect)
		heard(&d)
		d.Fetching()
		d.Fetched(props(t, 2, tc.to), twin.CauseReconnect)
		del, ok := d.Next()
		if !ok {
			t.Errorf("%q from %s to %s: nothing heard", tc.path, tc.from, tc.to)
			continue
		}
		if got := del.Change.Patch().String(); got != tc.patch {
			t.Errorf("%q from %s to %s: Patch %s, want %s", tc.path, tc.from, tc.to, got, tc.patch)
		}
		if got := del.Change.Removed(); !slices.Equal(got, tc.removed) {
			t.Errorf("%q from %s to %s: Removed %v, want %v", tc.path, tc.from, tc.to, got, tc.removed)
		}
	}
}
