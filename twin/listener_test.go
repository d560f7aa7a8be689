package twin

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// oneChange is what a listener on path hears when a half goes from one state
// to another.
func oneChange(t *testing.T, path, from, to string) Change {
	t.Helper()
	var d Desired
	listen(t, &d, ListenerOptions{}, path)
	d.Fetched(props(t, 1, from), CauseReconnect)
	heard(&d)
	d.Fetching()
	d.Fetched(props(t, 2, to), CauseReconnect)
	del, ok := d.Next()
	if !ok {
		t.Fatalf("from %s to %s the listener on %q hears nothing", from, to, path)
	}
	return del.Change
}

func TestTypedTellsFiveThingsApart(t *testing.T) {
	type seen struct {
		v      bool
		exists bool
		err    bool
	}
	for _, tc := range []struct {
		to   string
		want seen
	}{
		{`{"a":true}`, seen{true, true, false}},
		{`{"a":false}`, seen{false, true, false}},
		{`{}`, seen{false, false, false}},
		{`{"a":0}`, seen{false, false, true}},
		{`{"a":""}`, seen{false, false, true}},
	} {
		var got seen
		l := Typed(func(_ context.Context, v bool, c Change) error {
			got = seen{v: v, exists: c.Value.Exists()}
			return nil
		})
		err := l(context.Background(), oneChange(t, "a", `{"a":"before"}`, tc.to))
		got.err = err != nil
		if got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.to, got, tc.want)
		}
		var bad *DecodeError
		if err != nil && (!errors.As(err, &bad) || bad.Path != "a") {
			t.Errorf("%s: the error is %v, want a *DecodeError at a", tc.to, err)
		}
	}
}

func TestChangeAck(t *testing.T) {
	c := oneChange(t, "o.x", `{}`, `{"o":{"x":21.50}}`)
	if got, want := c.Ack(AckOK, "fine").String(), `{"o":{"x":{"ac":200,"ad":"fine","av":2,"value":21.50}}}`; got != want {
		t.Errorf("Ack is %s, want %s", got, want)
	}
	if got, want := c.Ack(AckOK, "").Replaced().String(), `{"o":{"x":null}}`; got != want {
		t.Errorf("Ack replaces %s, want %s", got, want)
	}
	gone := oneChange(t, "o.x", `{"o":{"x":1}}`, `{}`)
	if err := gone.Ack(AckOK, "").Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Ack of a removal: %v, want ErrInvalid", err)
	}
	byHand := Change{Path: "o.x", Value: Set("v", 7).At("v"), Version: 3}
	if got, want := byHand.Ack(AckOK, "").String(), `{"o":{"x":{"ac":200,"av":3,"value":7}}}`; got != want {
		t.Errorf("Ack of a change made by hand is %s, want %s", got, want)
	}
	if got, want := byHand.Patch().String(), `{"o":{"x":7}}`; got != want {
		t.Errorf("Patch of a change made by hand is %s, want %s", got, want)
	}
	all := oneChange(t, "", `{}`, `{"a":1}`)
	if err := all.Ack(AckOK, "").Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("Ack of everything: %v, want ErrInvalid", err)
	}
}

func TestNamesOfConstants(t *testing.T) {
	for got, want := range map[string]string{
		CauseStart.String(): "start", CausePatch.String(): "patch", CauseReconnect.String(): "reconnect",
		CauseGap.String(): "gap", Cause(9).String(): "cause 9",
		Applied.String(): "applied", Duplicate.String(): "duplicate", Gap.String(): "gap", Outcome(9).String(): "no outcome",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPatchOfAStart(t *testing.T) {
	var d Desired
	listen(t, &d, ListenerOptions{}, "none", "")
	d.Fetched(props(t, 1, `{"a":1}`), CauseReconnect)
	none, _ := d.Next()
	if got := none.Change.Patch(); !got.IsEmpty() {
		t.Errorf("nothing at the start is the patch %v", got)
	}
	all, _ := d.Next()
	if got := all.Change.Patch().String(); got != `{"a":1}` {
		t.Errorf("the start is the patch %s", got)
	}
	if !d.Known() {
		t.Error("the document is not known after a GET")
	}
}

func ExampleTyped() {
	type fan struct {
		RPM int    `json:"rpm"`
		Dir string `json:"dir"`
	}
	listener := Typed(func(_ context.Context, f fan, c Change) error {
		fmt.Printf("%+v, version %d, cause %v\n", f, c.Version, c.Cause)
		return nil
	})
	var desired Desired // package device drives it
	if _, err := desired.Listen("fan", listener, ListenerOptions{}); err != nil {
		fmt.Println(err)
	}
	half, err := ParseProperties([]byte(`{"fan":{"rpm":900,"dir":"cw"},"$version":4}`))
	if err != nil {
		fmt.Println(err)
	}
	desired.Fetched(half, CauseReconnect)
	for d, ok := desired.Next(); ok; d, ok = desired.Next() {
		if err := d.Listener(context.Background(), d.Change); err != nil {
			fmt.Println(err)
		}
	}
	// Output: {RPM:900 Dir:cw}, version 4, cause start
}

func ExampleDesired() {
	var d Desired
	half, err := ParseProperties([]byte(`{"rpm":900,"$version":4}`))
	if err != nil {
		fmt.Println(err)
	}
	d.Fetching()
	d.Fetched(half, CauseReconnect)
	fmt.Println(d.Notify(Set("rpm", 1000), 5), d.Properties())
	fmt.Println(d.Notify(Set("rpm", 900), 4), d.Properties())
	fmt.Println(d.Notify(Set("rpm", 1200), 7), d.Properties()) // 6 was lost: get the twin
	// Output:
	// applied {"rpm":1000,"$version":5}
	// duplicate {"rpm":1000,"$version":5}
	// gap {"rpm":1000,"$version":5}
}

func ExampleReported() {
	var r Reported
	half, err := ParseProperties([]byte(`{"rpm":900,"$version":4}`))
	if err != nil {
		fmt.Println(err)
	}
	r.Synced(half)
	ticket, err := r.Want(Set("rpm", 1000))
	if err != nil {
		fmt.Println(err)
	}
	patch, _ := r.Next()
	fmt.Println("send", patch)
	_ = r.WantLater(Set("rpm", 1100)) // rides in the next patch
	_ = r.WantLater(Set("rpm", 1200))
	r.Acked(5)
	for _, s := range r.Settled() {
		fmt.Println(s.Ticket == ticket, s.Version, s.Err)
	}
	patch, _ = r.Next()
	fmt.Println("send", patch)
	// Output:
	// send {"rpm":1000}
	// true 5 <nil>
	// send {"rpm":1200}
}

func ExampleChange_Removed() {
	listener := func(_ context.Context, c Change) error {
		fmt.Println(c.Cause, "now", c.Value, "was", c.Old, "changed by", c.Patch(), "removed", c.Removed())
		return nil
	}
	var d Desired
	if _, err := d.Listen("o", listener, ListenerOptions{}); err != nil {
		fmt.Println(err)
	}
	d.Fetched(Apply(Properties{}, Set("o", map[string]int{"x": 1, "y": 2})).WithVersion(1), CauseReconnect)
	d.Notify(Delete("o.y").Set("o.x", 3), 2)
	for del, ok := d.Next(); ok; del, ok = d.Next() {
		_ = del.Listener(context.Background(), del.Change)
		d.Notify(Delete("o.x"), 3)
	}
	// Output:
	// start now {"x":3} was  changed by {"o":{"x":3}} removed []
	// patch now {} was {"x":3} changed by {"o":{"x":null}} removed [o.x]
}

func ExampleChange_Ack() {
	var d Desired
	if _, err := d.Listen("target", func(_ context.Context, c Change) error {
		fmt.Println(c.Ack(AckOK, "reached"))
		return nil
	}, ListenerOptions{}); err != nil {
		fmt.Println(err)
	}
	d.Fetched(Apply(Properties{}, Set("target", 21)).WithVersion(3), CauseReconnect)
	del, _ := d.Next()
	_ = del.Listener(context.Background(), del.Change)
	// Output: {"target":{"ac":200,"ad":"reached","av":3,"value":21}}
}
