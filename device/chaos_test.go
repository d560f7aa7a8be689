package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Seeds of TestChaos: go test ./device -run Chaos -chaos.first 17 -chaos.seeds 1
var (
	chaosFirst = flag.Uint64("chaos.first", 1, "first seed of TestChaos")
	chaosSeeds = flag.Uint64("chaos.seeds", 60, "number of seeds of TestChaos")
)

// TestChaos tells random stories of a bad line, a moody hub and busy firmware,
// and asks at the end of each whether both halves of the twin converged. The
// judge keeps what firmware said in plain maps, merged by code of its own.
func TestChaos(t *testing.T) {
	for seed := *chaosFirst; seed < *chaosFirst+*chaosSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 4))
			opts := hubtest.Options{MergeRule: hubtest.MergeRule(rnd.IntN(3)), RewriteNumbers: rnd.IntN(2) == 0}
			storyAt(t, opts, func(t *testing.T, w *world) { chaos(t, w, rnd) })
			if t.Failed() {
				t.Logf("again: go test ./device -run TestChaos -chaos.first %d -chaos.seeds 1", seed)
			}
		})
	}
}

func chaos(t *testing.T, w *world, rnd *rand.Rand) {
	board := newBoard(w, rnd.IntN(2) == 0)
	board.start(t)
	firmware := map[string]any{}
	var calls sync.WaitGroup
	start := time.Now()
	for range 80 {
		c := board.client
		switch rnd.IntN(11) {
		case 0, 1:
			w.setDesired(encode(t, randomPatch(rnd, 3)))
		case 2:
			if _, err := w.hub.ReplaceDesired("dev1", encode(t, withoutNulls(randomPatch(rnd, 3)))); err != nil {
				t.Fatal(err)
			}
		case 3, 4, 5:
			p := randomPatch(rnd, 3)
			merge(firmware, p)
			patch, err := twin.ParsePatch([]byte(encode(t, p)))
			if err != nil {
				t.Fatal(err)
			}
			report(t, c, &calls, patch, board.store == nil && rnd.IntN(2) == 0)
		case 6, 7:
			w.faults = append(w.faults, w.hub.Intercept(randomMatch(rnd), randomAction(rnd)))
		case 8:
			if err := w.hub.Cut("dev1"); err != nil && !errors.Is(err, hubtest.ErrOffline) {
				t.Fatal(err)
			}
		case 9:
			w.hub.SetLine("dev1", rnd.IntN(3) > 0)
		case 10:
			if board.store != nil && rnd.IntN(3) == 0 {
				board.powerCut(t)
			}
		}
		synctest.Wait()
		time.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Second))))
	}
	settleDown(t, w, board.client)
	calls.Wait()
	judge(t, w, board.ears, firmware)
	minutes := int(time.Since(start)/time.Minute) + 1
	if s := w.hub.Stats("dev1"); s.Connects > 8*minutes || s.Gets > 14*minutes || s.Patches > 20*minutes {
		t.Errorf("a storm: %+v in %d minutes", s, minutes)
	}
}

// A board is one device that may lose its power.
type board struct {
	w      *world
	store  *memStore // nil for none
	client *device.Client
	ears   map[string]*lastHeard
}

func newBoard(w *world, stored bool) *board {
	b := &board{w: w, ears: map[string]*lastHeard{"": {}, "a": {}, "a.b": {}, "b.c": {durable: stored}}}
	if stored {
		b.store = &memStore{delay: 20 * time.Millisecond}
	}
	return b
}

// start boots the firmware; it does not wait for the line.
func (b *board) start(t *testing.T) {
	opts := &device.Options{RequestTimeout: 20 * time.Second, CallTimeout: 24 * time.Hour}
	if b.store != nil {
		opts.Store = b.store
	}
	b.client = b.w.client(opts)
	for path, e := range b.ears {
		if !e.durable {
			e.value = ""
		}
		if _, err := b.client.Listen(path, e.listener, &device.ListenOptions{Durable: e.durable}); err != nil {
			t.Fatal(err)
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := b.client.Connect(soon); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

// powerCut ends the firmware, and boots it with what the store holds then.
func (b *board) powerCut(t *testing.T) {
	synctest.Wait()
	b.store = b.store.powerCut()
	if err := b.client.Close(); err != nil {
		t.Fatal(err)
	}
	b.start(t)
}

// settleDown ends the chaos: the line stays up, nothing is intercepted, and
// one last cut lets the client find what was lost without a trace.
func settleDown(t *testing.T, w *world, c *device.Client) {
	w.hub.SetLine("dev1", true)
	for _, remove := range w.faults {
		remove()
	}
	time.Sleep(10 * time.Minute)
	if err := w.hub.Cut("dev1"); err != nil && !errors.Is(err, hubtest.ErrOffline) {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if got := c.State(); got.Phase != device.Online {
		t.Errorf("at the end the client is %v: %v", got.Phase, got.Err)
	}
}

func judge(t *testing.T, w *world, ears map[string]*lastHeard, firmware map[string]any) {
	tw, err := w.hub.Twin("dev1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := visible(t, tw.Reported.JSON), encode(t, firmware); got != want {
		t.Errorf("the hub has %s\nfirmware said %s", got, want)
	}
	desired, err := twin.ParsePatch([]byte(visible(t, tw.Desired.JSON)))
	if err != nil {
		t.Fatal(err)
	}
	for path, e := range ears {
		want := desired.At(path).String()
		if path == "" && want == "" {
			want = "{}"
		}
		if e.value != want {
			t.Errorf("listener on %q heard last %q, the hub has %q", path, e.value, want)
		}
		if e.wrong != "" {
			t.Error(e.wrong)
		}
	}
}

// visible is a section without the nulls that some hubs keep: nobody else
// tells them from nothing.
func visible(t *testing.T, section []byte) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(section, &m); err != nil {
		t.Fatal(err)
	}
	return encode(t, withoutNulls(m))
}

func report(t *testing.T, c *device.Client, calls *sync.WaitGroup, p twin.Patch, wait bool) {
	if !wait {
		if err := c.ReportLater(t.Context(), p); err != nil {
			t.Errorf("ReportLater: %v", err)
		}
		return
	}
	started := make(chan struct{})
	calls.Go(func() {
		close(started)
		if _, err := c.UpdateReported(t.Context(), p); err != nil {
			t.Errorf("UpdateReported(%v): %v", p, err)
		}
	})
	<-started
	synctest.Wait() // it has said what it wants, in the order of the story
}

// lastHeard keeps what a listener heard last, and checks that each change
// starts where the one before ended.
type lastHeard struct {
	value   string
	wrong   string
	durable bool
}

func (l *lastHeard) listener(_ context.Context, c twin.Change) error {
	if c.Old.String() != l.value && c.Cause != twin.CauseStart {
		l.wrong = fmt.Sprintf("listener on %q: old is %v, heard before was %q", c.Path, c.Old, l.value)
	}
	l.value = c.Value.String()
	return nil
}

func randomMatch(rnd *rand.Rand) func(hubtest.Message) bool {
	ops := []hubtest.Op{hubtest.GetTwin, hubtest.PatchReported, hubtest.PatchReported, hubtest.Desired, hubtest.Subscribe, hubtest.Connect}
	op, fromHub := ops[rnd.IntN(len(ops))], rnd.IntN(2) == 0
	return func(m hubtest.Message) bool { return m.Op == op && (m.FromHub == fromHub || op == hubtest.Desired) }
}

func randomAction(rnd *rand.Rand) hubtest.Action {
	delay := time.Duration(rnd.Int64N(int64(time.Minute)))
	actions := []hubtest.Action{
		hubtest.Drop(), hubtest.Duplicate(), hubtest.Delay(delay), hubtest.Late(delay), hubtest.Cut(), hubtest.CutAfter(),
		hubtest.Fail(429001), hubtest.Fail(503001), hubtest.Fail(500001),
	}
	return actions[rnd.IntN(len(actions))].Times(1 + rnd.IntN(3))
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// merge is RFC 7396 on plain maps.
func merge(doc, patch map[string]any) {
	for k, v := range patch {
		sub, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(doc, k)
		case isMap:
			old, ok := doc[k].(map[string]any)
			if !ok {
				old = map[string]any{}
				doc[k] = old
			}
			merge(old, sub)
		default:
			doc[k] = v
		}
	}
}

// withoutNulls is what a patch makes of nothing.
func withoutNulls(patch map[string]any) map[string]any {
	doc := map[string]any{}
	merge(doc, patch)
	return doc
}

// randomPatch is a merge patch over few keys, so that much collides.
func randomPatch(rnd *rand.Rand, depth int) map[string]any {
	p := map[string]any{}
	for range 1 + rnd.IntN(2) {
		key := string(rune('a' + rnd.IntN(3)))
		switch n := rnd.IntN(10); {
		case n < 4 && depth > 1:
			p[key] = randomPatch(rnd, depth-1)
		case n < 6:
			p[key] = nil
		case n == 6:
			p[key] = map[string]any{}
		case n == 7:
			p[key] = []any{rnd.IntN(2)}
		default:
			p[key] = rnd.IntN(3)
		}
	}
	return p
}
