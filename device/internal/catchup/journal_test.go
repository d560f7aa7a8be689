package catchup

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/twin"
)

// errVersion is the hub's word on a version that is not the one demanded.
var errVersion = errors.New("412")

// A logged is one report of a story, as it was told, and whether it counts: a
// guarded one does if the hub had the version.
type logged struct {
	saying
	counts bool
}

// A clerk drives a machine and keeps a journal, as package device does.
type clerk struct {
	rnd      *rand.Rand
	r        *Reported
	hub      *modelHub
	log      []*logged
	guards   map[Ticket]*logged
	saved    Snapshot
	since    []twin.Patch // reports, and what was mended, since
	mended   []bool       // which of them
	versions []int64      // the hub's as each was written
	dated    bool         // versions are written
	now      time.Duration
	flying   bool  // a patch awaits its answer
	landed   int64 // the version after it at the hub, or 0 when it got lost
}

// TestJournalConverges tells random stories of a machine whose driver writes a
// journal, over power cuts, guarded reports, a stranger at the hub, and lost
// answers. At the end the hub must have what its first document becomes by all
// that was said, in the order in which it was said, by plain maps' judgement.
func TestJournalConverges(t *testing.T) {
	for seed := range uint64(*stories) {
		if msg := journalStory(rand.New(rand.NewPCG(seed, 6))); msg != "" {
			t.Fatalf("seed %d: %s", seed, msg)
		}
	}
}

func journalStory(rnd *rand.Rand) string {
	hub, firmware := newModelHub(mergeRule(rnd.IntN(int(mergeRules)))), newModelHub(mergeRFC7396)
	first := collidingPatch(rnd, 3)
	hub.merge(first)
	firmware.merge(first)
	c := &clerk{rnd: rnd, r: &Reported{}, hub: hub, guards: map[Ticket]*logged{}, dated: rnd.IntN(2) == 0}
	for range 40 {
		c.now += time.Duration(rnd.IntN(30)) * time.Second
		if err := c.event(); err != nil {
			return err.Error()
		}
		c.noteMended()
	}
	for range 40 {
		c.now += time.Hour
		c.get()
		c.send()
		c.answer()
	}
	if !c.r.Idle() {
		return "it never comes to rest"
	}
	for _, l := range c.log {
		if l.counts {
			l.tell(firmware)
		}
	}
	if got, want := hub.text(), firmware.text(); got != want {
		return fmt.Sprintf("the hub has %s, firmware reported %s", got, want)
	}
	return ""
}

func (c *clerk) event() error {
	switch c.rnd.IntN(10) {
	case 0, 1, 2:
		s := newSaying(c.rnd)
		c.log = append(c.log, &logged{s, true})
		c.noteMended() // what the machine did before stands before
		c.note(s.patch, false)
		return c.r.WantLater(s.patch)
	case 3:
		s := newSaying(c.rnd)
		version := c.r.Confirmed().Version() + int64(c.rnd.IntN(2))
		if version == 0 || c.dated {
			return nil // a power cut may leave it at the hub
		}
		t, err := c.r.WantIf(s.patch, version)
		c.guards[t] = &logged{s, false}
		c.log = append(c.log, c.guards[t])
		return err
	case 4:
		c.send()
	case 5, 6:
		c.answer()
	case 7:
		c.get() // an answer may be lost
	case 8:
		if c.saved.Based && !c.dated && c.rnd.IntN(2) == 0 { // a stranger, whose word does not last
			c.hub.merge(collidingPatch(c.rnd, 2))
		} else if c.flying && c.landed == 0 {
			c.flying = false
			c.r.Retry()
		}
	case 9:
		if c.rnd.IntN(3) == 0 {
			c.save()
		} else if c.rnd.IntN(3) == 0 && (c.saved.Based || len(c.guards) == 0) {
			c.powerCut()
		}
	}
	return nil
}

// save writes a snapshot.
func (c *clerk) save() {
	c.saved, c.since, c.mended, c.versions = c.r.Snapshot(), nil, nil, nil
	if !c.dated {
		c.saved.Version = 0
	}
}

// note writes a record.
func (c *clerk) note(p twin.Patch, mended bool) {
	c.since, c.mended = append(c.since, p), append(c.mended, mended)
	version := int64(0)
	if c.dated {
		version = c.r.Version()
	}
	c.versions = append(c.versions, version)
}

// noteMended writes down what the machine did by itself, and sees who heard.
func (c *clerk) noteMended() {
	for _, p := range c.r.Mended() {
		c.note(p, true)
	}
	for _, s := range c.r.Settled() {
		if l := c.guards[s.Ticket]; l != nil {
			l.counts = s.Err == nil
			delete(c.guards, s.Ticket)
		}
	}
}

func (c *clerk) send() {
	p, ok := c.r.Next(c.now)
	c.noteMended()
	if !ok {
		return
	}
	c.flying, c.landed = true, 0
	switch v := c.r.Demand(); {
	case v != 0 && v != c.hub.version:
		c.r.Stale(errVersion)
		c.flying = false
	case c.rnd.IntN(4) == 0:
		return // it gets lost
	default:
		c.hub.merge(decoded(p))
		c.landed = c.hub.version
	}
	c.noteMended()
}

// answer is the hub's, if it has what is flying.
func (c *clerk) answer() {
	if c.flying && c.landed > 0 {
		c.flying = false
		if c.r.Acked(c.landed) == Gap {
			c.get()
		}
	}
	c.noteMended()
}

func (c *clerk) get() {
	first := !c.r.Based()
	c.r.Synced(c.hub.properties(), c.now)
	c.flying = false
	c.noteMended()
	if first {
		c.save()
	}
}

// powerCut starts the machine anew, from what was written.
func (c *clerk) powerCut() {
	c.guards = map[Ticket]*logged{} // they are not kept, and undone if the hub has them
	c.r, c.flying = &Reported{}, false
	saved := c.saved
	saved.Unsent = written(saved.Unsent)
	c.r.Restore(saved)
	for i, p := range c.since {
		for _, step := range written([]twin.Patch{p}) {
			c.r.Redo(step, c.mended[i], c.versions[i])
		}
	}
}
