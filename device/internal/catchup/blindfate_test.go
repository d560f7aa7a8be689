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
			r.Presume(errRefused)
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
