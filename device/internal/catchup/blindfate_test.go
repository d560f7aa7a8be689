package catchup

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// A value that left before the first GET, and whose answer did not come, is sent
// again after that GET: also where the hub is ahead of what a store restored.
func TestBlindPatchOfUnknownFate(t *testing.T) {
	for name, restored := range map[string]*Snapshot{
		"without a store": nil,
		"as the hub is":   {Wanted: props(t, 2, `{"n":1}`), Based: true, Version: 2},
		"an older image":  {Wanted: props(t, 1, `{"n":0}`), Based: true, Version: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var r Reported
			if restored != nil {
				r.Restore(*restored)
			}
			r.Presume(errRefused, 0)
			ticket, err := r.Want(twin.Set("n", 2))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := r.Next(0); !ok {
				t.Fatal("no value goes without a GET")
			}
			r.Synced(props(t, 2, `{"n":1}`), 0)
			if s := r.Settled(); len(s) != 0 {
				t.Fatalf("settled without the hub's word: %+v", s)
			}
			p, ok := r.Next(0)
			if got := string(p.JSON()); !ok || got != `{"n":2}` {
				t.Fatalf("after the GET it sends %s, %v", got, ok)
			}
			r.Acked(3)
			if s := r.Settled(); len(s) != 1 || s[0].Ticket != ticket || s[0].Err != nil {
				t.Errorf("settled: %+v", s)
			}
		})
	}
}

// Where no GET follows a version that jumped, what somebody else wrote shows in
// the next one, though its version is the last known. It is no other reading of
// what was sent, so what is wanted goes out, deletions too.
func TestJumpShowsInALateGET(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.later(twin.Set("n", 1))
	rp.sends("the first", `{"n":1}`)
	rp.acked(6, Gap)
	rp.r.Presume(errRefused, 0)
	rp.later(twin.Set("n", 2))
	rp.sends("without a GET", `{"n":2}`)
	rp.acked(7, Applied)
	if !rp.r.Outstanding() {
		t.Error("nothing is outstanding, and nobody knows what the hub has")
	}
	if names := rp.r.Synced(props(t, 7, `{"n":2,"old":1}`), 0); names != nil {
		t.Errorf("the hub is said to read back %v", names)
	}
	rp.sends("after the GET", `{"old":null}`)
	rp.acked(8, Applied)
	if rp.r.Outstanding() {
		t.Error("it is outstanding for ever")
	}
	rp.r.Synced(props(t, 8, `{"n":2.5}`), 0)
	rp.sends("to a hub that rewrites", "")
}

// A version that does not follow may be of another twin: until a GET has shown
// what the hub has, nobody knows that it has everything.
func TestJumpedVersionLeavesMatterOpen(t *testing.T) {
	var r Reported
	r.Synced(props(t, 4, `{"n":1}`), 0)
	if err := r.WantLater(twin.Set("m", 1)); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Next(0); !ok {
		t.Fatal("nothing is sent")
	}
	if got := r.Acked(2); got != Gap {
		t.Fatalf("version 2 after 4 is %v, want a gap", got)
	}
	if !r.Outstanding() {
		t.Error("nothing is outstanding before the GET")
	}
	r.Synced(props(t, 2, `{"m":1}`), 0)
	p, ok := r.Next(0)
	if got := string(p.JSON()); !ok || got != `{"n":1}` {
		t.Errorf("it sends %s, %v, want what the other twin lacks", got, ok)
	}
	r.Acked(3)
	if r.Outstanding() {
		t.Error("it is outstanding for ever")
	}
}
