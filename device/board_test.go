package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A board is one device that may lose its power.
type board struct {
	w      *world
	store  *memStore // nil for none
	client *device.Client
	ears   map[string]*lastHeard
}

func newBoard(w *world, stored bool) *board {
	b := &board{w: w, ears: map[string]*lastHeard{
		"": {}, "a": {slow: 100 * time.Millisecond}, "a.b": {}, "b.c": {durable: stored, slow: time.Second},
		"d": {grows: true}, "well": {}, "k": {ack: true}, "o": {ack: true, odd: errOdd},
	}}
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
		if _, err := b.client.Listen(path, e.listener, &device.ListenOptions{Durable: e.durable, Acknowledge: e.ack}); err != nil {
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

// takeover lets another board with the same identity connect for a while.
func takeover(t *testing.T, w *world, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	token, err := w.dev.Credential.Token(ctx, w.dev.Identity.Audience(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.dial().Dial(ctx, transport.Login{Identity: w.dev.Identity, Token: token, KeepAlive: time.Minute})
	if err != nil {
		return // the line is down, or the hub is moody
	}
	time.Sleep(d)
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

// createAnew deletes the device at the hub and creates it again, with its key.
func createAnew(t *testing.T, w *world) {
	if err := w.hub.RemoveDevice("dev1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.AddDevice("dev1"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.SetKeys("dev1", w.dev.PrimaryKey, w.dev.SecondaryKey); err != nil {
		t.Fatal(err)
	}
}

func judge(t *testing.T, w *world, ears map[string]*lastHeard, firmware map[string]any, k int64) {
	tw, err := w.hub.Twin("dev1")
	if err != nil {
		t.Fatal(err)
	}
	reported := tw.Reported.JSON
	if ack, err := twin.ParsePatch(reported); err != nil {
		t.Error(err)
	} else if k > 0 {
		var av int64
		if err := ack.At("k.av").Decode(&av); err != nil || av < k {
			t.Errorf("k was named at version %d, and acknowledged at %d (%v)", k, av, err)
		}
	}
	if got, want := visible(t, reported, "k", "o"), encode(t, firmware); got != want {
		t.Errorf("the hub has %s\nfirmware said %s", got, want)
	}
	desired, err := twin.ParsePatch([]byte(visible(t, tw.Desired.JSON)))
	if err != nil {
		t.Fatal(err)
	}
	judgeAck(t, reported, desired.At("o"))
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

// judgeAck asks whether what is desired is acknowledged to the letter: nothing
// is left of any acknowledgement before.
func judgeAck(t *testing.T, reported []byte, desired twin.Value) {
	t.Helper()
	var got struct{ O map[string]any }
	if err := json.Unmarshal([]byte(visible(t, reported)), &got); err != nil {
		t.Fatal(err)
	}
	if !desired.Exists() {
		return // the last acknowledgement stays
	}
	av, _ := got.O["av"].(float64)
	want := map[string]any{"ac": twin.AckOK, "av": av, "value": json.RawMessage(desired.JSON())}
	if int64(av)%2 == 1 {
		want["ac"], want["ad"] = twin.AckFailed, errOdd.Error()
	}
	if got, want := encode(t, got.O), encode(t, want); got != want {
		t.Errorf("o is acknowledged by %s, want %s", got, want)
	}
}

// errOdd is what a listener says to every second version.
var errOdd = errors.New("an odd version")

// visible is a section without the nulls that some hubs keep: nobody else
// tells them from nothing.
func visible(t *testing.T, section []byte, but ...string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(section, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range but {
		delete(m, key)
	}
	return encode(t, withoutNulls(m))
}

// lastHeard keeps what a listener heard last, and checks that each change
// starts where the one before ended.
type lastHeard struct {
	value   string
	wrong   string
	durable bool
	slow    time.Duration // what it takes
	ack     bool
	odd     error // what it returns at every second version
	mu      sync.Mutex
	grows   bool // the value must never shrink
}

func (l *lastHeard) mayShrink() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grows = false
}

func (l *lastHeard) listener(_ context.Context, c twin.Change) error {
	time.Sleep(l.slow)
	if c.Old.String() != l.value && c.Cause != twin.CauseStart && !(l.durable && c.Cause == twin.CauseNewTwin) {
		l.wrong = fmt.Sprintf("listener on %q: old is %v, heard before was %q", c.Path, c.Old, l.value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, is := len(l.value), len(c.Value.String()); l.grows && (is < was || is == was && c.Value.String() < l.value) {
		l.wrong = fmt.Sprintf("%q went back from %s to %v", c.Path, l.value, c.Value)
	}
	l.value = c.Value.String()
	if c.Version%2 == 1 {
		return l.odd
	}
	return nil
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
