package device_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// A drama is one random story under way.
type drama struct {
	*world
	seed  uint64
	keep  []int
	rnd   *rand.Rand // of the present event
	start time.Time
	words []string // what happened. Guarded by mu

	// The cast.
	exact      bool // nothing happens that could make a patch be applied twice for good reasons
	noVersions bool
	lifetime   time.Duration
	cred       *moodyCredential
	whims      *whims
	board      *board
	acks       map[string]*ear // those that acknowledge
	mates      []*mate         // other devices on the same connection
	mail       *mail
	wakeAt     int // the event before which the twin is used first

	// What firmware and the back end said. The goroutine of the story owns these.
	firmware  map[string]any
	fuzzy     map[string]bool // keys of which nobody knows what the hub should have
	n         int             // of the latest report
	d         int             // of the latest desired change
	guards    int
	disturbed int // what may cost a connection
	changes   int // what may cost bytes of flash
	tempers   int // moods of the credential so far
	lies      bool
	saved     []byte
	savedAt   int64 // its version of the reported half
	seenLive  bool

	asleep   atomic.Bool  // the twin is not used yet
	odd      atomic.Bool  // the hub's versions, or the order of its words, may go back
	gets     atomic.Int64 // GetTwin calls of the story that wait
	getCalls atomic.Int64 // all of them so far
	closing  atomic.Int64 // clients that were ended
	anew     atomic.Int64 // twins before this one
	shown    atomic.Int64 // anew, at the last GET that had an answer
	lateAt   atomic.Int64 // when the hub took a patch that it may apply too late, after the start; 0 for never
	refusals atomic.Int64 // faults by which the hub refuses for good
	denials  atomic.Int64 // answers that put off what the hub has applied
	sickness atomic.Int64 // times that the store became unwell
	slowTell atomic.Int64 // nanoseconds that OnState takes
	calls    sync.WaitGroup

	mu         sync.Mutex // guards the rest
	verdicts   []verdict
	statements []*statement
	guarding   bool
	pulse      pulse
	flying     map[string]map[string]any // patches without an answer, by request
	guarded    map[float64]bool          // values of g that the hub may have
}

func newDrama(t *testing.T, w *world, seed uint64, keep []int, rnd *rand.Rand) *drama {
	key, err := auth.ParseKey(w.dev.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	s := &drama{world: w, seed: seed, keep: keep, rnd: rnd, start: time.Now(), firmware: map[string]any{}, fuzzy: map[string]bool{}, guarded: map[float64]bool{0: true}, flying: map[string]map[string]any{}}
	s.lifetime = []time.Duration{time.Hour, 2 * time.Minute, 10 * time.Minute}[rnd.IntN(3)]
	s.cred = &moodyCredential{Credential: auth.SAS(key, &auth.SASOptions{Lifetime: s.lifetime})}
	s.exact = rnd.IntN(3) == 0
	s.noVersions = !s.exact && rnd.IntN(8) == 0
	s.odd.Store(s.noVersions)
	w.dev.Credential, w.broken, w.quotes = s.cred, true, true
	line := w.dial()
	s.whims = &whims{Dialer: line, noVersions: s.noVersions, dialed: s.dialed}
	w.dialer = s.whims
	if *over == "amqp-pool" {
		s.mates = []*mate{newMate(s, 0, line), newMate(s, 1, line)}
	}
	kind := []string{"none", "memory", "flash"}[rnd.IntN(3)]
	if s.exact {
		kind = "none"
	}
	s.asleep.Store(kind == "none" && rnd.IntN(3) == 0)
	s.wakeAt = rnd.IntN(30)
	s.board = newBoard(s, kind)
	s.mail = newMail(s)
	s.whims.mail = s.mail
	s.acks = map[string]*ear{"k": s.board.ears["k"], "o": s.board.ears["o"], "m": s.board.ears["m"]}
	w.hub.Intercept(s.watch, hubtest.Pass())
	s.words = append(s.words, fmt.Sprintf("store %s, exact %v, versions %v, tokens live %v, twin at once %v, %+v", kind, s.exact, !s.noVersions, s.lifetime, !s.asleep.Load(), s.mail.opts))
	return s
}

// play lets the events of the story happen, and then judges.
func (s *drama) play() {
	s.board.start()
	synctest.Wait() // a listener that begins is not removed before
	for _, i := range s.keep {
		s.rnd = rand.New(rand.NewPCG(s.seed, 100+uint64(i)))
		gap := time.Duration(s.rnd.Int64N(int64(20 * time.Second)))
		if s.asleep.Load() && i >= s.wakeAt {
			s.wake()
		}
		name, do := s.draw()
		at := time.Since(s.start)
		what := ""
		if !s.asleep.Load() || wakeful[name] {
			what = do()
		}
		if what == "" {
			what = "nothing: " + name
		}
		s.mu.Lock()
		s.words = append(s.words, fmt.Sprintf("%3d %12v  %s", i, at.Round(time.Millisecond), what))
		s.mu.Unlock()
		synctest.Wait()
		s.judgeMemory()
		s.judgeMail()
		time.Sleep(gap)
	}
	s.rnd = rand.New(rand.NewPCG(s.seed, 99))
	if s.asleep.Load() {
		s.wake()
	}
	s.settleDown()
	s.judge()
	s.over()
}

// draw picks what happens.
func (s *drama) draw() (string, func() string) {
	table := []struct {
		weight int
		name   string
		do     func() string
	}{
		{10, "desired", s.desire}, {4, "replace desired", s.replaceDesired}, {18, "report", s.report},
		{5, "guarded report", s.guard}, {6, "get", s.get}, {2, "look", s.look}, {3, "renew", s.renew},
		{10, "fault", s.befall}, {5, "key fault", s.poison}, {3, "throttle", s.throttle}, {5, "cut", s.cutLine},
		{5, "line", s.setLine}, {4, "takeover", s.takenOver}, {2, "created anew", s.createdAnew}, {2, "rolled back", s.rolledBack},
		{2, "old GET", s.oldGet}, {4, "credential", s.temper}, {6, "store", s.turnStore}, {3, "power", s.losePower},
		{4, "restart", s.restart}, {9, "mood", s.mood}, {4, "listeners", s.comeAndGo}, {1, "slow OnState", s.slowState},
		{3, "probe", s.probe}, {1, "siege", s.siege}, {4, "mate", s.mateEvent},
		{16, "message", s.post}, {8, "message fault", s.losePost}, {3, "bad message", s.refusePost}, {2, "hold", s.holdPost},
	}
	sum := 0
	for _, e := range table {
		sum += e.weight
	}
	pick := s.rnd.IntN(sum)
	for _, e := range table {
		if pick -= e.weight; pick < 0 {
			return e.name, e.do
		}
	}
	panic("unreachable")
}

// sick reports whether what the hub has may be unknown to the store.
func (s *drama) sick(c *device.Client) bool {
	k := c.Kept()
	return k.Writes > 0 || k.StoreFailed || c.Stats().Unsynced > 0 || s.odd.Load()
}

// late reports whether the hub may still apply a patch after others that were
// made later.
func (s *drama) late() bool {
	at := time.Duration(s.lateAt.Load())
	return at > 0 && time.Since(s.start)-at < 2*time.Minute
}

func (s *drama) onState(device.State) {
	if d := s.slowTell.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
}

func (s *drama) slowState() string {
	d := time.Duration(s.rnd.Int64N(int64(2 * time.Minute)))
	s.slowTell.Store(int64(d))
	time.AfterFunc(3*time.Minute, func() { s.slowTell.Store(0) })
	return fmt.Sprintf("OnState takes %v for a while", d)
}

func (s *drama) desire() string {
	s.d++
	s.changes++
	p := randomPatch(s.rnd, 3)
	p["d"] = s.d
	for _, key := range []string{"k", "o", "m"} {
		if s.rnd.IntN(2) == 0 {
			p[key] = map[string]any{"k": 7, "m": map[string]any{"x": s.rnd.IntN(3)}, "o": randomPatch(s.rnd, 2)}[key]
		} else if key == "m" && s.rnd.IntN(4) == 0 {
			p[key] = nil
		}
	}
	text := encode(s.T, p)
	if _, err := s.hub.Device("dev1").SetDesired(text); err != nil {
		s.Fatal(err)
	}
	return "desired " + text
}

func (s *drama) replaceDesired() string {
	s.d++
	s.changes++
	doc := withoutNulls(randomPatch(s.rnd, 3))
	doc["d"], doc["k"] = s.d, 7
	text := encode(s.T, doc)
	if _, err := s.hub.Device("dev1").ReplaceDesired(text); err != nil {
		s.Fatal(err)
	}
	return "desired becomes " + text
}

// befall has something happen to some messages.
func (s *drama) befall() string {
	ops := []hubtest.Op{hubtest.GetTwin, hubtest.PatchReported, hubtest.PatchReported, hubtest.Desired, hubtest.Desired, hubtest.Subscribe, hubtest.Connect}
	op, fromHub := ops[s.rnd.IntN(len(ops))], s.rnd.IntN(2) == 0
	delay := time.Duration(s.rnd.Int64N(int64(time.Minute)))
	acts := []struct {
		name string
		do   hubtest.Action
		late bool // a patch may be applied after others that the device made later
	}{
		{"is lost", hubtest.Drop(), false}, {"ends the line", hubtest.Cut(), false}, {"ends the line after it", hubtest.CutAfter(), false},
		{"is answered with 503", hubtest.Fail(503001), false}, {"is answered with 500", hubtest.Fail(500001), false},
		{"comes twice", hubtest.Duplicate(), true}, {"takes " + delay.String(), hubtest.Delay(delay), true},
		{"is performed after " + delay.String(), hubtest.Late(delay), true},
		{"is answered with 429", hubtest.Fail(429001), false}, {"makes the line half-open", hubtest.Freeze(), false},
	}
	if s.exact && op == hubtest.PatchReported {
		acts = acts[:5] // the others may have a patch applied that the client must send again
	} else if s.exact && op == hubtest.GetTwin {
		acts = acts[:3] // to a hub that refuses GETs a report may be sent twice
	}
	act := acts[s.rnd.IntN(len(acts))]
	late := op == hubtest.PatchReported && act.late
	denies := op == hubtest.PatchReported && fromHub && strings.HasSuffix(act.name, "429")
	times := 1 + s.rnd.IntN(3)
	match := func(m hubtest.Message) bool {
		fits := m.Op == op && m.Device == "dev1" && (m.FromHub == fromHub || op == hubtest.Desired)
		if fits && late {
			s.lateAt.Store(int64(time.Since(s.start)))
		}
		if fits && denies {
			s.denials.Add(1)
		}
		return fits
	}
	s.faults = append(s.faults, s.hub.Intercept(match, act.do.Times(times)))
	s.disturbed += 2 * times
	return fmt.Sprintf("%d times %v (from the hub: %v) %s", times, op, fromHub, act.name)
}

// forAWhile has the hub do something until some minutes have passed.
func (s *drama) forAWhile(match func(hubtest.Message) bool, do hubtest.Action) time.Duration {
	remove := s.hub.Intercept(match, do.Times(-1))
	d := time.Minute + time.Duration(s.rnd.Int64N(int64(12*time.Minute)))
	time.AfterFunc(d, remove)
	s.faults = append(s.faults, remove)
	s.disturbed += 20
	return d
}

func (s *drama) cutLine() string {
	if err := s.hub.Device("dev1").Cut(); err != nil && !errors.Is(err, hubtest.ErrOffline) {
		s.Fatal(err)
	}
	s.disturbed++
	return "the line is cut"
}

func (s *drama) setLine() string {
	up := s.rnd.IntN(3) > 0
	if err := s.hub.Device("dev1").SetLine(up); err != nil {
		s.Fatal(err)
	}
	s.disturbed++
	return fmt.Sprintf("the line is up: %v", up)
}

func (s *drama) takenOver() string {
	if s.exact {
		return ""
	}
	d := time.Duration(s.rnd.Int64N(int64(10 * time.Second)))
	s.disturbed += 2
	w := *s.world
	w.dev.Credential, w.dialer = s.cred.Credential, s.whims.Dialer
	takeover(s.T, &w, d)
	return fmt.Sprintf("another board with the same identity takes over for %v", d)
}

// knows reports whether the client can bring everything back to an empty hub.
func (s *drama) knows() bool {
	return s.board.client.Reported().Source == device.SourceLive && len(s.fuzzy) == 0
}

func (s *drama) anotherTwin() {
	s.anew.Add(1)
	s.disturbed++
	s.board.ears["d"].mayShrink()
	s.mu.Lock()
	s.guarded = nil // not judged any more
	s.mu.Unlock()
}

func (s *drama) createdAnew() string {
	if s.exact || s.rnd.IntN(2) == 0 || !s.knows() {
		return ""
	}
	s.anotherTwin()
	createAnew(s.T, s.world)
	return "the device is created anew"
}

// rolledBack saves the hub's state, or has the hub fall back to it.
func (s *drama) rolledBack() string {
	if s.exact || len(s.mates) > 0 {
		return ""
	}
	tw, err := s.hub.Device("dev1").Twin()
	if err != nil {
		s.Fatal(err)
	}
	known := s.board.client.Stats().ReportedVersion
	switch {
	case s.saved == nil || !s.knows():
		s.saved, s.savedAt = s.hub.State(), tw.Reported.Version
		return "the hub is saved"
	case max(known, s.savedAt)-min(known, s.savedAt) < 2:
		return "" // by the version alone it would be the same twin, with values that the hub has rewritten
	}
	s.anotherTwin()
	if err := s.hub.Device("dev1").Remove(); err != nil {
		s.Fatal(err)
	}
	if err := s.hub.Restore(s.saved); err != nil {
		s.Fatal(err)
	}
	s.saved = nil
	return "the hub falls back"
}

func (s *drama) oldGet() string {
	if s.exact || s.board.client.Reported().Source != device.SourceLive {
		return ""
	}
	n := 1 + s.rnd.IntN(2)
	s.whims.repeat(n)
	s.odd.Store(true)
	s.board.old = true
	s.disturbed += n
	s.mu.Lock()
	s.guarded = nil // an old GET may say that the hub does not have what it has
	s.mu.Unlock()
	return fmt.Sprintf("the next %d GETs are old", n)
}

func (s *drama) temper() string {
	mood := []string{"fails", "rubbish", "hangs", "empty", "ended"}[s.rnd.IntN(5)]
	d := time.Duration(s.rnd.Int64N(int64(5 * time.Minute)))
	if mood == "empty" && s.board.client.Stats().Connects == 0 {
		return "" // it ends a client that never logged in
	}
	s.cred.set(mood)
	s.tempers++
	time.AfterFunc(d, func() { s.cred.set("") })
	return fmt.Sprintf("for %v the credential: %s", d, mood)
}
