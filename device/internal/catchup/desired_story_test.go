package catchup

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// A desiredWorld is a hub, a line that loses, doubles, delays and reorders, and
// a driver of the machine that makes the GETs that are owed.
type desiredWorld struct {
	rnd  *rand.Rand
	hub  *modelHub
	rule mergeRule
	unordered,
	recreates,
	big bool // patches so large that few can be kept

	d         Desired
	wire      []notification
	answer    *twin.Properties // of the GET in flight, once the hub made it
	fetching  bool
	owed      bool
	recreated bool // at least once
	heard     map[string]string
	version   map[string]int64
	wrong     string
}

type notification struct {
	patch   twin.Patch
	version int64
}

var storyPaths = []string{"", "a", "b", "a.b", "a.b.c", "c.a"}

func newDesiredWorld(rnd *rand.Rand) *desiredWorld {
	w := &desiredWorld{rnd: rnd, rule: mergeRule(rnd.IntN(int(mergeRules))), heard: map[string]string{}, version: map[string]int64{}}
	w.unordered, w.recreates, w.big = rnd.IntN(2) == 0, rnd.IntN(2) == 0, rnd.IntN(4) == 0
	w.hub = newModelHub(w.rule)
	for _, p := range storyPaths {
		if _, err := w.d.Listen(p, w.listener, ListenerOptions{Acknowledge: p == "a.b"}); err != nil {
			w.wrong = err.Error()
		}
	}
	return w
}

// listener judges what each listener hears.
func (w *desiredWorld) listener(_ context.Context, c twin.Change) error {
	at := c.Path
	if old := w.heard[at]; string(c.Old.JSON()) != old && c.Old.Exists() || !c.Old.Exists() && old != "" {
		w.wrong = fmt.Sprintf("listener on %q got old %v, but heard %q before", at, c.Old, old)
	}
	if c.Version < w.version[at] && c.Cause != twin.CauseNewTwin {
		w.wrong = fmt.Sprintf("listener on %q went from v%d to v%d by %v", at, w.version[at], c.Version, c.Cause)
	}
	if c.Cause == twin.CauseNewTwin && !w.recreated {
		w.wrong = fmt.Sprintf("listener on %q heard of another twin, at v%d, and there is only one", at, c.Version)
	}
	w.heard[at], w.version[at] = string(c.Value.JSON()), c.Version
	return nil
}

func (w *desiredWorld) drain() {
	for del, ok := w.d.Next(); ok; del, ok = w.d.Next() {
		_ = del.Listener(context.Background(), del.Change)
	}
}

func (w *desiredWorld) took(o Outcome) { w.owed = w.owed || o == Gap }

// change is the back end's, and what the hub sends of it.
func (w *desiredWorld) change(copies int) {
	p := collidingPatch(w.rnd, 3)
	if w.big {
		p["pad"] = strings.Repeat("x", 24<<10)
	}
	w.hub.merge(p)
	for range copies {
		w.wire = append(w.wire, notification{patchFromMap(p), w.hub.version})
	}
}

// arrive brings one notification to the machine.
func (w *desiredWorld) arrive() {
	if len(w.wire) == 0 {
		return
	}
	k := 0
	if w.unordered && w.rnd.IntN(3) == 0 {
		k = w.rnd.IntN(len(w.wire))
	}
	m := w.wire[k]
	w.wire = slices.Delete(w.wire, k, k+1)
	w.took(w.d.Notify(m.patch, m.version))
}

func (w *desiredWorld) fetch() {
	if !w.fetching {
		w.d.Fetching()
		w.fetching, w.owed = true, false
	}
}

// answers lets the hub make the answer. It may be long on its way.
func (w *desiredWorld) answers() {
	if w.fetching && w.answer == nil {
		now := w.hub.properties()
		w.answer = &now
	}
}

func (w *desiredWorld) fetched() {
	if w.answer != nil {
		w.took(w.d.Fetched(*w.answer, twin.CauseGap))
		w.fetching, w.answer = false, nil
	}
}

func (w *desiredWorld) fails(cut bool) {
	if w.fetching {
		w.took(w.d.FetchFailed())
		w.fetching, w.answer = false, nil
		w.owed = true
	}
	if cut {
		w.wire, w.owed = nil, true
	}
}

// createAgain deletes the device and creates it again. A hub cuts the line then.
// A gateway may not.
func (w *desiredWorld) createAgain() {
	w.hub, w.recreated = newModelHub(w.rule), true
	for range w.rnd.IntN(4) {
		w.change(0)
	}
	if w.rnd.IntN(2) == 0 {
		w.fails(true)
	}
}

// settle makes the GETs that are owed, and says how many.
func (w *desiredWorld) settle() (gets int) {
	for ; w.owed && gets < 10; gets++ {
		w.fetch()
		w.answers()
		w.fetched()
	}
	w.drain()
	return gets
}

func (w *desiredWorld) inStep() string {
	if w.wrong != "" {
		return w.wrong
	}
	if got, want := w.d.Properties(), w.hub.properties(); !got.Equal(want) || got.Version() != want.Version() {
		return fmt.Sprintf("document is %v, the hub's %v", got, want)
	}
	for _, p := range storyPaths {
		if want := string(w.hub.properties().At(p).JSON()); w.heard[p] != want {
			return fmt.Sprintf("listener on %q heard last %q, the hub has %q", p, w.heard[p], want)
		}
	}
	return ""
}

// TestDesiredConverges runs random stories: patches that arrive, are lost,
// doubled, late or overtaken, GETs that answer at once, late or never, a device
// created again. No listener goes back but in another twin, and one GET and the
// one that it may owe bring the machine in step. Plain maps, merged by other
// code, are the judge.
func TestDesiredConverges(t *testing.T) {
	for seed := range uint64(*stories) {
		w := newDesiredWorld(rand.New(rand.NewPCG(seed, 1)))
		if msg := w.tell(); msg != "" {
			t.Fatalf("seed %d: %s", seed, msg)
		}
	}
}

func (w *desiredWorld) tell() string {
	w.owed = true
	for range 60 {
		switch w.rnd.IntN(12) {
		case 0, 1, 2:
			w.change(w.rnd.IntN(3))
		case 3, 4, 5:
			w.arrive()
		case 6:
			if w.owed || w.rnd.IntN(3) == 0 {
				w.fetch()
			}
		case 7:
			w.answers()
		case 8:
			w.fetched()
		case 9:
			if w.rnd.IntN(3) == 0 {
				w.fails(w.rnd.IntN(2) == 0)
			}
		case 10:
			if w.recreates && w.rnd.IntN(5) == 0 {
				w.createAgain()
			}
		case 11:
			w.drain()
		}
		if w.wrong != "" {
			return w.wrong
		}
	}
	for len(w.wire) > 0 {
		w.arrive()
	}
	w.answers()
	w.fetched()
	if !w.recreated { // the last patch arrives, so all that is missing is owed
		w.change(1)
		w.arrive()
	} else {
		w.owed = true
	}
	if gets := w.settle(); gets > 2 {
		return fmt.Sprintf("%d GETs after quiet", gets)
	}
	return w.inStep()
}

// TestGetChangesNothingInStep holds that GETs at any time, late or not, call no
// listener, an acknowledging one least of all, where no patch was lost.
func TestGetChangesNothingInStep(t *testing.T) {
	for seed := range uint64(*stories) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		versioned := rnd.IntN(2) == 0
		hub := newModelHub(mergeRFC7396)
		half := func() twin.Properties {
			if p := hub.properties(); versioned {
				return p
			}
			return hub.properties().WithVersion(0)
		}
		var with, without Desired
		for _, d := range []*Desired{&with, &without} {
			for _, p := range storyPaths {
				if _, err := d.Listen(p, nothing, ListenerOptions{Acknowledge: p == "a.b" || p == "c.a"}); err != nil {
					t.Fatal(err)
				}
			}
			d.Fetching()
			d.Fetched(half(), twin.CauseReconnect)
		}
		var wire []notification
		var answer *twin.Properties
		fetching, before := false, 0 // notifications that left before the answer, and arrive before it
		arrive := func() {
			m := wire[0]
			wire, before = wire[1:], max(before-1, 0)
			a, b := with.Notify(m.patch, m.version), without.Notify(m.patch, m.version)
			if !fetching && a != b {
				t.Fatalf("seed %d: %v with GETs, %v without", seed, a, b)
			}
		}
		for range 60 {
			switch rnd.IntN(7) {
			case 0, 1:
				p := collidingPatch(rnd, 3)
				hub.merge(p)
				wire = append(wire, notification{patchFromMap(p), half().Version()})
			case 2, 3:
				if len(wire) > 0 {
					arrive()
				}
			case 4:
				if !fetching {
					with.Fetching()
					fetching = true
				}
			case 5:
				switch {
				case !fetching:
				case answer == nil:
					now := half()
					answer, before = &now, len(wire)
				default:
					for before > 0 {
						arrive()
					}
					with.Fetched(*answer, twin.CauseGap)
					fetching, answer = false, nil
				}
			case 6:
				if got, want := heard(&with), heard(&without); !slices.Equal(got, want) {
					t.Fatalf("seed %d, versions %t:\n%s\nwithout GETs:\n%s", seed, versioned, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		}
	}
}

// TestChangePatchLaw holds that Change.Patch, applied to Old, makes Value: over
// slow listeners, GETs that found gaps, and other twins.
func TestChangePatchLaw(t *testing.T) {
	for seed := range uint64(*stories) {
		rnd := rand.New(rand.NewPCG(seed, 99))
		w := &desiredWorld{rnd: rnd, rule: mergeRule(rnd.IntN(int(mergeRules)))}
		w.hub = newModelHub(w.rule)
		law := func(_ context.Context, c twin.Change) error {
			old := twin.Properties{}
			if c.Old.Exists() {
				old = twin.Apply(old, twin.Replace(c.Path, c.Old))
			}
			if got := twin.Apply(old, c.Patch()).At(c.Path); !got.Equal(c.Value) {
				w.wrong = fmt.Sprintf("at %q old %v, patch %v makes %v, value is %v", c.Path, c.Old, c.Patch(), got, c.Value)
			}
			return nil
		}
		for _, p := range []string{"", "a", "a.b", "a.b.c"} {
			if _, err := w.d.Listen(p, law, ListenerOptions{Acknowledge: p == "a.b"}); err != nil {
				t.Fatal(err)
			}
		}
		w.fetch()
		w.answers()
		w.fetched()
		for range 30 {
			switch rnd.IntN(8) {
			case 0, 1, 2, 3:
				w.change(min(1, rnd.IntN(8)))
				w.arrive()
			case 4:
				w.fetch()
			case 5:
				w.answers()
			case 6:
				w.fetched()
			case 7:
				w.drain()
				if rnd.IntN(20) == 0 {
					w.createAgain()
				}
			}
			if w.wrong != "" {
				t.Fatalf("seed %d: %s", seed, w.wrong)
			}
		}
	}
}
