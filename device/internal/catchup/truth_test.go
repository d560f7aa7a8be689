package catchup

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// TestSettlementsAreTrue runs random stories in which each caller learns the
// truth about its own key.
func TestSettlementsAreTrue(t *testing.T) {
	for seed := range uint64(*stories) {
		if msg := truthStory(rand.New(rand.NewPCG(seed, 77))); msg != "" {
			t.Fatalf("seed %d: %s", seed, msg)
		}
	}
}

func truthStory(rnd *rand.Rand) string {
	hub := newModelHub(mergeRule(rnd.IntN(3)))
	var r Reported
	type call struct {
		key  string
		bad  bool
		comp bool
	}
	open := map[Ticket]call{}
	var flying map[string]any
	var demand int64
	n := 0
	wrong := ""
	now := time.Duration(0)
	settle := func() {
		for _, s := range r.Settled() {
			c := open[s.Ticket]
			delete(open, s.Ticket)
			doc := hub.doc
			if c.comp {
				doc, _ = hub.doc["c"].(map[string]any)
			}
			_, there := doc[c.key]
			if s.Err == nil && !there {
				wrong = fmt.Sprintf("%s told version %d; hub %s", c.key, s.Version, hub.text())
			}
			if s.Err == nil && s.Version > hub.version {
				wrong = fmt.Sprintf("%s told version %d; hub is at %d", c.key, s.Version, hub.version)
			}
			if s.Err != nil && there {
				wrong = fmt.Sprintf("%s told %v; hub has it %s", c.key, s.Err, hub.text())
			}
		}
	}
	bad := func(p map[string]any) bool {
		for k, v := range p {
			if m, ok := v.(map[string]any); ok && k == "c" {
				for k, v := range m {
					if k[0] == 'x' && v != nil {
						return true
					}
				}
			}
			if k[0] == 'x' && v != nil {
				return true
			}
		}
		return false
	}
	sync := func() { r.Synced(hub.properties(), now); flying = nil; settle() }
	for range 50 {
		now += time.Duration(rnd.IntN(60)) * time.Second
		switch rnd.IntN(11) {
		case 0, 1, 2:
			n++
			c := call{key: fmt.Sprintf("k%d", n), comp: rnd.IntN(3) == 0}
			if rnd.IntN(5) == 0 {
				c.bad, c.key = true, fmt.Sprintf("x%d", n)
			}
			path := c.key
			if c.comp {
				path = "c." + c.key
			}
			p := twin.Set(path, n)
			if rnd.IntN(4) == 0 && !c.comp {
				p = p.Set("also", n)
			}
			var tk Ticket
			var err error
			if v := r.Confirmed().Version(); rnd.IntN(4) == 0 && v > 0 {
				tk, err = r.WantIf(p, v+int64(rnd.IntN(2)))
			} else {
				tk, err = r.Want(p)
			}
			if err != nil {
				return err.Error()
			}
			open[tk] = c
		case 3, 4:
			if p, ok := r.Next(now); ok {
				flying, demand = decoded(p), r.Demand()
			}
			settle()
		case 5, 6, 7:
			if flying != nil {
				p := flying
				flying = nil
				if demand != 0 && demand != hub.version {
					r.Stale(errVersion)
				} else if bad(p) {
					r.Refused(errRefused, now)
				} else {
					hub.merge(p)
					v := hub.version
					if rnd.IntN(8) == 0 {
						v = 0
					}
					if r.Acked(v) == Gap {
						sync()
					}
				}
				settle()
			}
		case 8:
			if flying != nil {
				flying = nil
				r.Retry()
				settle()
			}
		case 9:
			if flying != nil && !bad(flying) && (demand == 0 || demand == hub.version) && rnd.IntN(2) == 0 {
				hub.merge(flying)
			}
			sync()
		case 10:
			for tk := range open {
				if rnd.IntN(3) == 0 {
					r.Forget(tk)
					delete(open, tk)
				}
				break
			}
		}
		if wrong != "" {
			return wrong
		}
	}
	return ""
}
