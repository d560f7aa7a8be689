package catchup

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// TestOlderImageDeletesNothing restores a state that is older than the hub's.
func TestOlderImageDeletesNothing(t *testing.T) {
	for _, tc := range []struct {
		desc, held, unsent, hub, sent string
		version                       int64
	}{
		{"reported since", `{"old":1}`, ``, `{"old":1,"hours":1234}`, ``, 9},
		{"changed since", `{"old":1}`, ``, `{"old":2}`, ``, 9},
		{"missing at the hub", `{"old":1,"o":{"x":1}}`, ``, `{"o":{"y":2}}`, `{"o":{"x":1},"old":1}`, 9},
		{"what waits goes out", `{"old":1}`, `{"old":5,"gone":null}`, `{"old":2,"gone":1,"since":1}`, `{"gone":null,"old":5}`, 9},
		{"deletes an object", `{"o":{"x":1}}`, `{"o":null}`, `{"o":{"x":1,"y":1},"since":1}`, `{"o":null}`, 9},
		{"the same version", `{"old":1}`, ``, `{"old":2}`, `{"old":1}`, 4},
		{"created again", `{"old":1}`, ``, `{}`, `{"old":1}`, 1},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			rp := newReporter(t, 4, tc.held)
			if tc.unsent != "" {
				rp.later(patch(t, tc.unsent))
			}
			again := &reporter{t: t}
			again.r.Restore(rp.r.Snapshot())
			again.r.Synced(props(t, tc.version, tc.hub), 0)
			again.sends("after the GET", tc.sent)
			if got, want := again.r.Rebased(), tc.version > 4; got != want {
				t.Errorf("rebased %t", got)
			}
		})
	}
}

// TestEqualVersionsAreNotEqualHistories: a device that was created again may be
// at the known version.
func TestEqualVersionsAreNotEqualHistories(t *testing.T) {
	rp := newReporter(t, 1, `{}`)
	rp.later(twin.Set("fw", "2.0").Set("o.serial", "x1"))
	rp.story("before", "-", `+{"fw":"2.0","o":{"serial":"x1"}}`)
	rp.r.Synced(props(t, 2, `{"commissioned":true,"o":{"by":"tool"}}`), 0)
	rp.story("what is missing is sent again", "-", `+{"fw":"2.0","o":{"serial":"x1"}}`)
	if got := string(rp.r.Confirmed().At("").JSON()); got != `{"commissioned":true,"fw":"2.0","o":{"by":"tool","serial":"x1"}}` {
		t.Errorf("the hub has %s", got)
	}
}

// TestVersionsThatNobodyNames: at a hub without versions the content decides.
func TestVersionsThatNobodyNames(t *testing.T) {
	rp := newReporter(t, 4, `{}`)
	rp.r.Synced(twin.Properties{}, 0)
	a := rp.want(twin.Set("n", 1))
	rp.sends("the patch", `{"n":1}`)
	rp.r.Synced(twin.Properties{}, 0)
	rp.sends("not applied", `{"n":1}`)
	rp.r.Synced(twin.Apply(twin.Properties{}, twin.Set("n", 1)), 0)
	rp.settles("applied", Settlement{a, 0, nil})
	b := rp.want(twin.Set("n", 2))
	rp.sends("the next", `{"n":2}`)
	rp.acked(0, Applied)
	rp.settles("without a version", Settlement{b, 0, nil})
	if !rp.r.Idle() {
		t.Error("not at rest")
	}
}
