package catchup

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// TestMixedStories mixes suspects, refusals, guards, forgets, restarts, and
// devices created again, on a clock. Right: each caller learns the truth about a
// key of its own, the machine comes to rest once the hub is mended, and the hub
// then has what firmware said, by a plain map's judgement.
func TestMixedStories(t *testing.T) {
	bad := 0
	for seed := range uint64(*stories) {
		if msg := mixedStory(rand.New(rand.NewPCG(seed, 99)), nil); msg != "" {
			t.Errorf("seed %d: %s", seed, msg)
			if bad++; bad > 5 {
				return
			}
		}
	}
}

type told struct {
	saying
	key     string
	counts  bool
	bad     bool
	guarded bool
	waits   bool
}

func mixedStory(rnd *rand.Rand, trace func(string, ...any)) string {
	say := func(f string, a ...any) {
		if trace != nil {
			trace(f, a...)
		}
	}
	hub := newModelHub(mergeRule(rnd.IntN(int(mergeRules))))
	noVersions := rnd.IntN(5) == 0
	guards := !noVersions && rnd.IntN(2) == 0
	restarts := rnd.IntN(3) == 0
	recreate := !guards && rnd.IntN(3) == 0
	refuses := rnd.IntN(2) == 0
	dated := !guards && !recreate && rnd.IntN(2) == 0
	strangers := rnd.IntN(3) == 0 && !dated
	presumes := rnd.IntN(3) == 0
	forgetful := rnd.IntN(4) == 0 // some answers lack the version
	late := rnd.IntN(3) == 0 && !guards && !dated
	poisons := rnd.IntN(4) > 0
	poisonKey := []string{`"a":`, `"b":[`, `"c":2`, `"b":{`, `"a":1`}[rnd.IntN(5)]
	say("rule %d noVersions %v guards %v restarts %v recreate %v refuses %v poison %v %s", hub.rule, noVersions, guards, restarts, recreate, refuses, poisons, poisonKey)
	r := &Reported{}
	var log []*told
	open := map[Ticket]*told{}
	var flying string
	var flyMap map[string]any
	var demand int64
	now := time.Duration(0)
	wrong := ""
	n := 0
	props := func() twin.Properties {
		p := hub.properties()
		if noVersions {
			p = p.WithVersion(0)
		}
		return p
	}
	settle := func() {
		r.Mended()
		for _, s := range r.Settled() {
			c := open[s.Ticket]
			if c == nil {
				continue // forgotten since
			}
			delete(open, s.Ticket)
			say("  settled %s v%d err %v", c.key, s.Version, s.Err)
			if c.guarded {
				c.counts = s.Err == nil
			}
			_, there := hub.doc[c.key]
			if s.Err == nil && !there && !recreate { // else a part of it may have been lost with the device
				wrong = fmt.Sprintf("%s told as delivered; hub %s", c.key, hub.text())
			}
			if s.Err != nil && there && !c.bad {
				wrong = fmt.Sprintf("%s told as %v; hub %s", c.key, s.Err, hub.text())
			}
			if s.Err != nil && !c.bad && !c.guarded {
				wrong = fmt.Sprintf("%s told as refused: %v; nothing in it is bad", c.key, s.Err)
			}
			if s.Err == nil && c.bad {
				wrong = fmt.Sprintf("%s told as taken", c.key)
			}
		}
	}
	sync := func() {
		r.Synced(props(), now)
		flying, flyMap = "", nil
		say("  sync %s v%d", hub.text(), hub.version)
		settle()
	}
	var inAir []map[string]any
	version := func() int64 {
		if noVersions || forgetful && rnd.IntN(8) == 0 {
			return 0
		}
		return hub.version
	}
	isBad := func(text string) bool { return strings.Contains(text, `"bad`) && !strings.Contains(text, `"bad":null`) }
	healed := false
	// hubTakes is the hub's word on time: "", "refused", "hangup"
	deliver := func() {
		p, m := flying, flyMap
		flying, flyMap = "", nil
		switch {
		case demand != 0 && demand != hub.version:
			say("  stale")
			r.Stale(errVersion)
		case isBad(p):
			say("  refused")
			r.Refused(errRefused, now)
		case poisons && !healed && strings.Contains(p, poisonKey):
			say("  hangs up")
			sync()
		default:
			hub.merge(m)
			say("  acked v%d", hub.version)
			if r.Acked(version()) == Gap {
				sync()
			}
		}
		settle()
	}
	next := func() bool {
		p, ok := r.Next(now)
		if ok {
			flying, flyMap, demand = p.String(), decoded(p), r.Demand()
			if flying == "" || flyMap == nil {
				flying = "{}"
			}
			say("%v next %s demand %d", now, p.String(), demand)
		}
		settle()
		return ok
	}
	for range 60 {
		now += time.Duration(rnd.IntN(90)) * time.Second
		switch rnd.IntN(13) {
		case 0, 1, 2:
			n++
			s := newSaying(rnd)
			if s.wholeHalf() {
				continue
			}
			c := &told{saying: s, key: fmt.Sprintf("k%d", n), counts: true}
			p := s.patch.Set(c.key, n)
			if refuses && rnd.IntN(6) == 0 {
				c.bad = true
				p = p.Set("bad", n)
			}
			if p.Err() != nil {
				continue
			}
			c.puts = append(c.puts[:len(c.puts):len(c.puts)], put{[]string{c.key}, float64(n)})
			var tk Ticket
			var err error
			v := r.Confirmed().Version()
			switch k := rnd.IntN(5); {
			case k == 0 && guards && v > 0:
				c.guarded, c.counts = true, false
				c.bad = false
				p = s.patch.Set(c.key, n)
				say("%v wantIf %s %v at %d", now, c.key, p, v)
				tk, err = r.WantIf(p, v+int64(rnd.IntN(2)))
				c.waits = true
			case k < 3:
				say("%v want %s %v", now, c.key, p)
				tk, err = r.Want(p)
				c.waits = true
			default:
				say("%v later %s %v", now, c.key, p)
				err = r.WantLater(p)
			}
			if err != nil {
				return err.Error()
			}
			log = append(log, c)
			if c.waits {
				open[tk] = c
			}
		case 3, 4, 5:
			if flyMap == nil {
				next()
			}
		case 6, 7, 8:
			if flyMap != nil {
				deliver()
			}
		case 9:
			if flyMap != nil {
				say("retry")
				flying, flyMap = "", nil
				if rnd.IntN(2) == 0 {
					r.Retry()
				} else {
					r.PutOff(now)
				}
				settle()
			}
		case 10: // the answer is lost
			if flyMap != nil && !isBad(flying) && (demand == 0 || demand == hub.version) && !(poisons && strings.Contains(flying, poisonKey)) && rnd.IntN(2) == 0 {
				hub.merge(flyMap)
				say("applied, answer lost")
			}
			sync()
		case 11:
			for tk, c := range open {
				if rnd.IntN(2) == 0 && !(c.guarded && r.InFlight()) {
					say("forget %s", c.key)
					r.Forget(tk)
					delete(open, tk)
				}
				break
			}
		case 12:
			switch {
			case presumes && flyMap != nil && rnd.IntN(2) == 0: // the answer is lost, and GETs are refused
				if !isBad(flying) && demand == 0 && !(poisons && strings.Contains(flying, poisonKey)) && rnd.IntN(2) == 0 {
					hub.merge(flyMap)
				}
				if demand == 0 {
					say("presume")
					flying, flyMap = "", nil
					r.Presume(errRefused, now)
				}
			case late && len(inAir) > 0 && rnd.IntN(2) == 0:
				hub.merge(inAir[0])
				inAir = inAir[1:]
				say("a late patch, hub %s v%d", hub.text(), hub.version)
			case late && flyMap != nil && demand == 0 && !isBad(flying) && !(poisons && strings.Contains(flying, poisonKey)):
				inAir = append(inAir, flyMap)
				say("in the air")
				sync()
			case strangers && rnd.IntN(2) == 0:
				hub.merge(map[string]any{"s": float64(rnd.IntN(3))})
				say("a stranger writes, v%d", hub.version)
			case restarts && rnd.IntN(2) == 0 && !(flyMap != nil && demand != 0) && !(r.InFlight() && r.Demand() != 0):
				s := r.Snapshot()
				if !dated {
					s.Version = 0
				}
				s.Unsent = written(s.Unsent)
				say("restart %v unsent %v", s.Wanted, s.Unsent)
				r = &Reported{}
				r.Restore(s)
				open = map[Ticket]*told{}
				flying, flyMap = "", nil
				if rnd.IntN(2) == 0 {
					sync()
				}
			case recreate && rnd.IntN(3) == 0 && flyMap == nil:
				rule := hub.rule
				hub, inAir = newModelHub(rule), nil
				say("created again")
				sync()
			}
		}
		if wrong != "" {
			return wrong
		}
	}
	for _, p := range inAir {
		hub.merge(p)
	}
	healed = true
	say("healed")
	sync()
	rest := 0
	for range 300 {
		now += 10 * time.Minute
		if !next() {
			if rest++; rest > 6 {
				break
			}
			continue
		}
		rest = 0
		deliver()
		if wrong != "" {
			return wrong
		}
	}
	if !r.Idle() {
		return fmt.Sprintf("it never comes to rest: %v against %v", r.Confirmed(), r.Wanted())
	}
	if len(open) > 0 {
		for _, c := range open {
			return fmt.Sprintf("%s waits for ever", c.key)
		}
	}
	firmware := newModelHub(mergeRFC7396)
	for _, l := range log {
		if l.counts {
			l.tell(firmware)
		}
	}
	if strangers {
		delete(hub.doc, "s")
	}
	if got, want := hub.text(), firmware.text(); got != want {
		return fmt.Sprintf("the hub has %s, firmware reported %s", got, want)
	}
	return ""
}
