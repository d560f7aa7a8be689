package device_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Seeds of TestChaos: go test ./device -run Chaos -chaos.first 17 -chaos.seeds 1
var (
	chaosFirst = flag.Uint64("chaos.first", 1, "first seed of TestChaos")
	chaosSeeds = flag.Uint64("chaos.seeds", 60, "number of seeds of TestChaos")
	chaosTLS   = flag.Bool("chaos.tls", false, "TestChaos over TLS")
)

// TestChaos tells random stories of a bad line, a moody hub and busy firmware,
// and asks at the end of each whether both halves of the twin converged. The
// judge keeps what firmware said in plain maps, merged by code of its own.
func TestChaos(t *testing.T) {
	for seed := *chaosFirst; seed < *chaosFirst+*chaosSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 4))
			opts := hubtest.Options{MergeRule: hubtest.MergeRule(rnd.IntN(3)), RewriteNumbers: rnd.IntN(2) == 0}
			storyAt(t, opts, func(t *testing.T, w *world) {
				if *chaosTLS {
					w.stream = transport.TLS(&transport.TLSOptions{Config: hubConfig(w.hub), Dial: w.hub.Dial})
				}
				chaos(t, w, rnd)
			})
			if t.Failed() {
				t.Logf("again: go test ./device -run TestChaos -chaos.first %d -chaos.seeds 1", seed)
			}
		})
	}
}

// A drama is one random story under way.
type drama struct {
	*world
	rnd      *rand.Rand
	exact    bool // nothing happens that could make a patch be applied twice for good reasons
	board    *board
	firmware map[string]any // what firmware said
	calls    sync.WaitGroup
	n        int   // of the latest report
	d        int   // of the latest desired change
	k        int64 // the version at which k was named last; 0 for never
}

func chaos(t *testing.T, w *world, rnd *rand.Rand) {
	key, err := auth.ParseKey(w.dev.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	lifetimes := []time.Duration{0, 2 * time.Minute, 10 * time.Minute}
	w.dev.Credential = auth.SAS(key, &auth.SASOptions{Lifetime: lifetimes[rnd.IntN(len(lifetimes))]})
	s := &drama{world: w, rnd: rnd, exact: rnd.IntN(3) == 0, firmware: map[string]any{}}
	s.board = newBoard(w, !s.exact && rnd.IntN(2) == 0)
	if s.exact {
		w.hub.Intercept(s.sentTwice, hubtest.Pass())
	}
	s.board.start(t)
	start := time.Now()
	for range 80 {
		s.event(t)
		synctest.Wait()
		time.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Second))))
	}
	s.settleDown(t)
	s.calls.Wait()
	judge(t, w, s.board.ears, s.firmware, s.k)
	minutes := int(time.Since(start)/time.Minute) + 1
	if n := w.hub.Stats("dev1"); n.Connects > 8*minutes || n.Gets > 14*minutes || n.Patches > 20*minutes {
		t.Errorf("a storm: %+v in %d minutes", n, minutes)
	}
	s.lineIsWell(t)
}

// event lets one thing happen.
func (s *drama) event(t *testing.T) {
	switch s.rnd.IntN(13) {
	case 0, 1:
		s.d++
		p := randomPatch(s.rnd, 3)
		p["d"] = s.d
		if s.rnd.IntN(2) == 0 {
			p["k"] = 7 // always the same: what is named again must be acknowledged again
		}
		if s.rnd.IntN(2) == 0 {
			p["o"] = randomPatch(s.rnd, 2) // what is acknowledged loses members, too
		}
		v, err := s.hub.SetDesired("dev1", encode(t, p))
		if err != nil {
			t.Fatal(err)
		}
		if p["k"] != nil {
			s.k = v
		}
	case 2:
		s.d++
		doc := withoutNulls(randomPatch(s.rnd, 3))
		doc["d"], doc["k"] = s.d, 7
		v, err := s.hub.ReplaceDesired("dev1", encode(t, doc))
		if err != nil {
			t.Fatal(err)
		}
		s.k = v
	case 3, 4, 5:
		s.report(t)
	case 6, 7:
		s.faults = append(s.faults, s.hub.Intercept(s.fault()))
	case 8:
		s.cut(t)
	case 9:
		s.hub.SetLine("dev1", s.rnd.IntN(3) > 0)
	case 10:
		if s.board.store != nil && s.rnd.IntN(3) == 0 {
			s.board.powerCut(t)
		}
	case 11:
		if !s.exact {
			takeover(t, s.world, time.Duration(s.rnd.Int64N(int64(10*time.Second))))
		}
	case 12:
		if !s.exact && s.rnd.IntN(4) == 0 {
			createAnew(t, s.world)
			s.k = 0
			s.board.ears["d"].mayShrink()
		}
	}
}

func (s *drama) cut(t *testing.T) {
	if err := s.hub.Cut("dev1"); err != nil && !errors.Is(err, hubtest.ErrOffline) {
		t.Fatal(err)
	}
}

// sentTwice looks at every patch before it is performed: in an exact story,
// none may bring the report that the hub has as its latest. It is no fault, so
// it never matches.
func (s *drama) sentTwice(m hubtest.Message) bool {
	if !hubtest.FromDevice("dev1", hubtest.PatchReported)(m) {
		return false
	}
	tw, err := s.hub.Twin("dev1")
	if err != nil {
		s.Error(err)
		return false
	}
	var had, brings struct{ N int }
	if json.Unmarshal(tw.Reported.JSON, &had) != nil || json.Unmarshal(m.Body, &brings) != nil {
		s.Errorf("a twin or a patch without n: %s, %s", tw.Reported.JSON, m.Body)
	}
	if brings.N != 0 && brings.N == had.N {
		s.Errorf("patch %s was sent twice, version %d", m.Body, tw.Reported.Version)
	}
	return false
}

// fault is something that befalls a message.
func (s *drama) fault() (func(hubtest.Message) bool, hubtest.Action) {
	ops := []hubtest.Op{hubtest.GetTwin, hubtest.PatchReported, hubtest.PatchReported, hubtest.Desired, hubtest.Subscribe, hubtest.Connect}
	op, fromHub := ops[s.rnd.IntN(len(ops))], s.rnd.IntN(2) == 0
	delay := time.Duration(s.rnd.Int64N(int64(time.Minute)))
	actions := []hubtest.Action{
		hubtest.Drop(), hubtest.Cut(), hubtest.CutAfter(), hubtest.Fail(503001), hubtest.Fail(500001),
		hubtest.Duplicate(), hubtest.Delay(delay), hubtest.Late(delay), hubtest.Fail(429001),
	}
	if s.exact && op == hubtest.PatchReported {
		actions = actions[:5] // the others may have a patch applied that the client must send again
	}
	match := func(m hubtest.Message) bool { return m.Op == op && (m.FromHub == fromHub || op == hubtest.Desired) }
	return match, actions[s.rnd.IntN(len(actions))].Times(1 + s.rnd.IntN(3))
}

// report lets firmware say something: each time a larger n.
func (s *drama) report(t *testing.T) {
	s.n++
	p := randomPatch(s.rnd, 3)
	p["n"] = s.n
	merge(s.firmware, p)
	patch, err := twin.ParsePatch([]byte(encode(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	patch = s.replace(patch)
	c := s.board.client
	if s.board.store != nil || s.rnd.IntN(2) == 0 {
		if err := c.ReportLater(t.Context(), patch); err != nil {
			t.Errorf("ReportLater: %v", err)
		}
		return
	}
	s.calls.Go(func() {
		_, err := c.UpdateReported(t.Context(), patch)
		if err != nil && !(errors.Is(err, transport.ErrUnsupported) && errors.Is(err, device.ErrStillWanted)) {
			t.Errorf("UpdateReported(%v): %v", patch, err)
		}
	})
	synctest.Wait() // it has said what it wants, in the order of the story
}

// replace lets a report replace something, too, now and then.
func (s *drama) replace(patch twin.Patch) twin.Patch {
	key, v := string(rune('a'+s.rnd.IntN(3))), randomPatch(s.rnd, 2)
	switch s.rnd.IntN(6) {
	case 0:
		s.firmware[key] = withoutNulls(v)
		return patch.Replace(key, v)
	case 1:
		below := patch.Replace(key+".b", v)
		if below.Err() != nil {
			return patch // something else than an object stands above
		}
		for _, b := range []any{nil, withoutNulls(v)} {
			merge(s.firmware, map[string]any{key: map[string]any{"b": b}})
		}
		return below
	}
	return patch
}

// settleDown ends the chaos: the line stays up, nothing is intercepted, and
// one last cut lets the client find what was lost without a trace.
func (s *drama) settleDown(t *testing.T) {
	s.hub.SetLine("dev1", true)
	for _, remove := range s.faults {
		remove()
	}
	time.Sleep(10 * time.Minute)
	s.cut(t)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if got := s.board.client.State(); got.Phase != device.Online {
		t.Errorf("at the end the client is %v: %v", got.Phase, got.Err)
	}
}

// lineIsWell asks whether the last connection hears of changes by itself.
func (s *drama) lineIsWell(t *testing.T) {
	time.Sleep(time.Minute)
	gets := s.hub.Stats("dev1").Gets
	s.setDesired(`{"well":true}`)
	time.Sleep(3 * time.Second)
	synctest.Wait()
	if got := s.board.ears["well"].value; got != "true" {
		t.Errorf("a change on a line that is well was heard as %q", got)
	}
	if got := s.hub.Stats("dev1").Gets; got != gets {
		t.Errorf("it took %d GETs", got-gets)
	}
}
