package catchup

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

func TestRestoreFromASnapshot(t *testing.T) {
	rp := newReporter(t, 4, `{"a":1,"b":2}`)
	rp.later(twin.Set("a", 5))
	rp.sends("in flight", `{"a":5}`)
	rp.want(twin.Set("c", 1))
	rp.later(twin.Set("d", 1).Delete("b"))
	s := rp.r.Snapshot()

	again := &reporter{t: t}
	again.r.Restore(s)
	again.r.Redo(twin.Set("e", 1), false, 0)
	again.r.Redo(twin.Set("f", 1), true, 0)
	again.sends("before the GET", "")
	again.r.Synced(props(t, 5, `{"a":5,"b":2}`), 0) // the flight had arrived
	again.sends("what the hub lacks, and what was named", `{"a":5,"b":null,"c":1,"d":1,"e":1,"f":1}`)
	again.acked(6, Applied)
	if again.r.Covered() != again.r.Taken() {
		t.Error("at rest not all is covered")
	}
}

func TestRestoreWithoutABase(t *testing.T) {
	rp := &reporter{t: t}
	rp.later(patch(t, `{"a":5}`))
	rp.later(patch(t, `{"a":{"b":1}}`))
	again := &reporter{t: t}
	again.r.Restore(rp.r.Snapshot())
	again.r.Redo(twin.Set("n", 1), true, 0)
	again.r.Synced(props(t, 5, `{"a":{"c":1}}`), 0)
	again.sends("in the order that they came", `{"a":{"b":1,"c":null},"n":1}`)
}

func TestRestoreAfterTheDeviceWasCreatedAnew(t *testing.T) {
	rp := newReporter(t, 4, `{"a":1}`)
	again := &reporter{t: t}
	again.r.Restore(rp.r.Snapshot())
	again.r.Synced(props(t, 1, `{}`), 0)
	again.sends("everything", `{"a":1}`)
}

func TestMendedIsTold(t *testing.T) {
	rp := newReporter(t, 4, `{"a":1}`)
	rp.later(twin.Set("a", "bad").Set("s", " x "))
	rp.story("apart", "a", `-{"a":"bad","s":" x "}`, `-{"a":"bad"}`, `+{"s":" x "}`, `-{"a":"bad"}`)
	rp.r.Synced(props(t, 5, `{"a":1,"s":"x"}`), 0)
	var got []string
	for _, p := range rp.r.Mended() {
		got = append(got, p.String())
	}
	wantLines(t, "mended", got, `{"a":1}`, `{"s":"x"}`)
	if rp.r.Mended() != nil {
		t.Error("told twice")
	}
}

func TestRecalledListener(t *testing.T) {
	for _, tc := range []struct {
		desc, now string
		hears     []string
	}{
		{"nothing changed", `{"a":1}`, nil},
		{"it changed", `{"a":2}`, []string{"a v9 start: 1 -> 2"}},
		{"it went", `{}`, []string{"a v9 start: 1 -> -"}},
	} {
		var d Desired
		id, err := d.Listen("a", nothing, ListenerOptions{Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		d.Recall(id, Heard{Version: 5, Value: twin.Set("a", 1).At("a")})
		d.Fetched(props(t, 9, tc.now), twin.CauseReconnect)
		wantLines(t, tc.desc, heard(&d), tc.hears...)
		d.Notify(twin.Set("a", 7), 10)
		if got := heard(&d); len(got) != 1 || got[0][:len("a v10 patch")] != "a v10 patch" {
			t.Errorf("%s, and on: %v", tc.desc, got)
		}
	}
}

func TestRecalledListenerThatAcknowledges(t *testing.T) {
	for _, version := range []int64{5, 9} {
		var d Desired
		id, err := d.Listen("a", nothing, ListenerOptions{Durable: true, Acknowledge: true})
		if err != nil {
			t.Fatal(err)
		}
		d.Recall(id, Heard{Version: 5, Value: twin.Set("a", 1).At("a")})
		for range 2 { // a line that flaps makes no difference
			d.Fetching()
			d.Fetched(props(t, version, `{"a":1}`), twin.CauseReconnect)
			wantLines(t, "nothing changed", heard(&d))
		}
		d.Fetching()
		d.Fetched(props(t, 12, `{"a":1}`), twin.CauseReconnect)
		wantLines(t, "a newer version", heard(&d), "a v12 reconnect: 1 -> 1")
	}
}

// TestRestartsConverge restarts the machine at random moments of random
// stories, from a snapshot of some time before and the reports since.
func TestRestartsConverge(t *testing.T) {
	for seed := range uint64(*stories) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		hub, firmware := newModelHub(mergeRule(rnd.IntN(int(mergeRules)))), newModelHub(mergeRFC7396)
		r := &Reported{}
		saved := r.Snapshot()
		var since []twin.Patch
		flying := false
		now := time.Duration(0)
		for range 40 {
			switch rnd.IntN(8) {
			case 0, 1, 2:
				s := newSaying(rnd)
				s.tell(firmware)
				since = append(since, s.patch)
				if err := r.WantLater(s.patch); err != nil {
					t.Fatal(err)
				}
			case 3:
				if p, ok := r.Next(0); ok {
					flying = true
					if rnd.IntN(2) == 0 {
						hub.merge(decoded(p))
						if rnd.IntN(2) == 0 {
							r.Acked(hub.version)
							flying = false
						}
					}
				}
			case 4:
				r.Synced(hub.properties(), 0)
				flying = false
			case 5:
				saved, since = r.Snapshot(), nil
			case 6:
				if rnd.IntN(4) == 0 && !flying {
					hub = newModelHub(hub.rule)
					r.Synced(hub.properties(), 0)
				}
			case 7:
				r, flying = &Reported{}, false
				saved.Unsent = written(saved.Unsent)
				r.Restore(saved)
				for _, p := range written(since) {
					r.Redo(p, false, 0)
				}
				saved, since = r.Snapshot(), nil
			}
		}
		for range 40 {
			now += time.Hour
			r.Synced(hub.properties(), now)
			if p, ok := r.Next(now); ok {
				hub.merge(decoded(p))
				r.Acked(hub.version)
			}
		}
		if got, want := hub.text(), firmware.text(); got != want {
			t.Fatalf("seed %d: the hub has %s, firmware reported %s", seed, got, want)
		}
	}
}

func TestGuardedPatchTravelsAlone(t *testing.T) {
	rp := newReporter(t, 4, `{"n":1}`)
	if _, err := rp.r.WantIf(twin.Set("n", 2), 0); err == nil {
		t.Error("version 0 was taken")
	}
	if _, err := rp.r.WantIf(twin.Set("$n", 2), 1); err == nil {
		t.Error("a patch that breaks a limit was taken")
	}
	guard := func(p twin.Patch, version int64) Ticket {
		t.Helper()
		ticket, err := rp.r.WantIf(p, version)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	a := guard(twin.Set("n", 2), 4)
	rp.later(twin.Set("m", 1))
	rp.sends("alone", `{"n":2}`)
	if got := rp.r.Demand(); got != 4 {
		t.Errorf("it demands version %d", got)
	}
	rp.acked(5, Applied)
	rp.settles("the hub had that version", Settlement{a, 5, nil})
	rp.sends("what was not guarded", `{"m":1}`)
	if got := rp.r.Demand(); got != 0 {
		t.Errorf("it demands version %d", got)
	}
	rp.acked(6, Applied)

	b := guard(twin.Set("n", 3), 5)
	rp.sends("of an old version", `{"n":3}`)
	rp.r.Refused(errRefused, 0)
	rp.settles("refused", Settlement{b, 0, errRefused})
	rp.sends("and not wanted", "")

	c := guard(twin.Set("n", 4), 6)
	rp.sends("its answer is lost", `{"n":4}`)
	rp.r.Synced(props(t, 6, `{"m":1,"n":2}`), 0)
	rp.sends("the version proves that it was not applied", `{"n":4}`)
	rp.r.Synced(props(t, 7, `{"m":1,"n":4}`), 0)
	rp.settles("and now that it was", Settlement{c, 7, nil})

	d := guard(twin.Set("n", 5), 7)
	rp.sends("its answer is lost", `{"n":5}`)
	rp.r.Synced(props(t, 9, `{"m":1,"n":4,"x":1}`), 0)
	rp.settles("the version proves nothing good", Settlement{d, 0, ErrStale})
	rp.sends("what another wrote is undone", `{"x":null}`)
	rp.acked(10, Applied)

	e := guard(twin.Set("n", 6), 10)
	rp.r.Forget(e)
	rp.sends("dropped", "")
	f := guard(twin.Set("n", 6), 10)
	rp.sends("in flight", `{"n":6}`)
	rp.r.Forget(f)
	rp.r.Retry()
	rp.sends("dropped when throttled", "")
}
