package catchup

import (
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

func TestRecalledListenerInAnotherTwin(t *testing.T) {
	for version, want := range map[int64]string{
		9: "a v9 start: 1 -> 2", 5: "a v5 start: 1 -> 2", 3: "a v3 another twin: 1 -> 2", 0: "a v0 another twin: 1 -> 2",
	} {
		var d Desired
		id, err := d.Listen("a", nothing, ListenerOptions{Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		d.Recall(id, Heard{Version: 5, Value: twin.Set("a", 1).At("a")})
		d.Fetched(props(t, version, `{"a":2}`), twin.CauseReconnect)
		wantLines(t, "changed", heard(&d), want)
	}
	var d Desired
	id, err := d.Listen("a", nothing, ListenerOptions{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	d.Recall(id, Heard{Version: 5, Value: twin.Set("a", 1).At("a")})
	d.Fetched(props(t, 2, `{"a":1}`), twin.CauseReconnect)
	wantLines(t, "the same value", heard(&d))
	d.Notify(twin.Set("a", 2), 3)
	wantLines(t, "then another", heard(&d), "a v3 another twin: 1 -> 2")
}

// TestNamesOutliveNoAncestor: what patches named below a path is forgotten when
// something above it goes.
func TestNamesOutliveNoAncestor(t *testing.T) {
	for _, tc := range []struct {
		desc    string
		patches []string
		want    string
	}{
		{"ancestor deleted", []string{`{"a":null}`}, `{"a":{"b":null}}`},
		{"ancestor replaced", []string{`{"a":5}`}, `{"a":{"b":null}}`},
		{"ancestor replaced by an array", []string{`{"a":[1]}`}, `{"a":{"b":null}}`},
		{"ancestor deleted and back", []string{`{"a":null}`, `{"a":{"b":{"y":2}}}`}, `{"a":{"b":{"old":null,"y":2}}}`},
		{"itself deleted and back", []string{`{"a":{"b":null}}`, `{"a":{"b":{"y":2}}}`}, `{"a":{"b":{"old":null,"y":2}}}`},
		{"itself replaced", []string{`{"a":{"b":7}}`}, `{"a":{"b":7}}`},
	} {
		d := knowing(t, 1, `{"a":{"b":{"old":1}}}`, ListenerOptions{}, "a.b")
		for i, p := range append([]string{`{"a":{"b":{"x":1}}}`}, tc.patches...) { // all while it is at work
			d.Notify(patch(t, p), int64(2+i))
		}
		del, ok := d.Next()
		if !ok {
			t.Fatal("nothing heard")
		}
		if got := del.Change.Patch().String(); got != tc.want {
			t.Errorf("%s: Value is %v, and Patch says %s, want %s", tc.desc, del.Change.Value, got, tc.want)
		}
	}
}

func TestOverlappingAcknowledgersAreRefused(t *testing.T) {
	acks := ListenerOptions{Acknowledge: true}
	var d Desired
	id, err := d.Listen("a.b", nothing, acks)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a.b", "a", "", "a.b.c", "a.b.c.d"} {
		if _, err := d.Listen(path, nothing, acks); !errors.Is(err, twin.ErrInvalid) || !strings.Contains(err.Error(), `"a.b"`) {
			t.Errorf("%q beside a.b: %v", path, err)
		}
	}
	if len(d.routes.byID) != 1 || len(d.routes.root.children["a"].children["b"].children) != 0 {
		t.Error("a refused listener left something behind")
	}
	listen(t, &d, acks, "a.c", "b", "a.bb")
	listen(t, &d, ListenerOptions{}, "", "a", "a.b", "a.b.c")
	d.Unlisten(id)
	if _, err := d.Listen("a.b.c", nothing, acks); err != nil {
		t.Errorf("after the other one went: %v", err)
	}
}
