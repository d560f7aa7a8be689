package catchup

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// What is reported without any GET, in any order of values, deletions, answers
// lost and patches put off, is what the hub has once there is one.
func TestBlindStories(t *testing.T) {
	for seed := range uint64(*stories) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		hub := newModelHub(mergeRule(rnd.IntN(int(mergeRules))))
		hub.merge(withoutNull(collidingPatch(rnd, 3)))
		want := newModelHub(mergeRFC7396)
		want.merge(copyOf(t, hub.doc))
		var r Reported
		if rnd.IntN(3) == 0 { // it was restarted, and the hub has moved on or not
			r.Restore(Snapshot{Wanted: hub.properties(), Based: true, Version: hub.version})
		}
		var now time.Duration

		open := map[Ticket]bool{}
		for range 2 + rnd.IntN(10) {
			now += time.Duration(rnd.Int64N(int64(time.Minute)))
			switch rnd.IntN(4) {
			case 0:
				r.Presume(errRefused, now)
			case 1, 2:
				p := collidingPatch(rnd, 3)
				want.merge(copyOf(t, p))
				if rnd.IntN(2) == 0 {
					ticket, err := r.Want(patchFromMap(p))
					if err != nil {
						t.Fatal(err)
					}
					open[ticket] = true
				} else if err := r.WantLater(patchFromMap(p)); err != nil {
					t.Fatal(err)
				}
			}
			if p, ok := r.Next(now); ok {
				switch rnd.IntN(4) {
				case 0:
					r.Retry()
				case 1: // the answer is lost, and no GET decides
					hub.merge(plain(t, p))
					r.Presume(errRefused, now)
				default:
					hub.merge(plain(t, p))
					r.Acked(hub.version)
				}
			}
		}
		r.Synced(hub.properties(), now)
		for range 40 {
			now += time.Hour
			if p, ok := r.Next(now); ok {
				hub.merge(plain(t, p))
				r.Acked(hub.version)
			}
			for _, s := range r.Settled() {
				if !open[s.Ticket] || s.Err != nil {
					t.Fatalf("seed %d: %+v was settled", seed, s)
				}
				delete(open, s.Ticket)
			}
		}
		if got, want := hub.text(), want.text(); got != want || !r.Idle() || len(open) > 0 {
			t.Fatalf("seed %d: the hub has %s, want %s; idle %v, %d callers wait", seed, got, want, r.Idle(), len(open))
		}
	}
}

// A hub's refusal without a GET is final only after one: what the hub had
// stays.
func TestBlindRefusal(t *testing.T) {
	var r Reported
	hub := props(t, 7, `{"bad":1}`)
	r.Restore(Snapshot{Wanted: hub, Based: true, Version: 7})
	r.Presume(errRefused, 0)
	ticket, err := r.Want(twin.Set("bad", 2))
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := r.Next(0); !ok {
		t.Fatal("no value goes without a GET")
	} else if got := string(p.JSON()); got != `{"bad":2}` {
		t.Fatalf("it sends %s", got)
	}
	r.Refused(errRefused, 0)
	if _, ok := r.Next(time.Hour); ok {
		t.Error("it is sent again")
	}
	r.Synced(hub, time.Hour)
	p, ok := r.Next(2 * time.Hour)
	if ok {
		t.Errorf("it sends %s", p.JSON())
	}
	if s := r.Settled(); len(s) != 1 || s[0].Ticket != ticket || s[0].Err == nil {
		t.Errorf("settled: %+v", s)
	}
	if string(r.Wanted().At("bad").JSON()) != "1" {
		t.Errorf("wanted: %v", r.Wanted())
	}
}

func withoutNull(p map[string]any) map[string]any {
	for k, v := range p {
		switch v := v.(type) {
		case nil:
			delete(p, k)
		case map[string]any:
			withoutNull(v)
		}
	}
	return p
}

func copyOf(t *testing.T, p map[string]any) (c map[string]any) {
	t.Helper()
	b, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func plain(t *testing.T, p twin.Patch) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(p.JSON(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}
