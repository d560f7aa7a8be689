package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/twin"
)

// An ear is a listener of a story. It keeps what it heard over restarts.
type ear struct {
	s          *drama
	name, path string
	durable    bool
	ack        bool
	concurrent bool
	slow       time.Duration // what it takes
	grows      bool          // the value must never shrink
	extra      bool          // it comes and goes

	mu      sync.Mutex // guards the rest
	life    int        // of the board, which the fields below belong to
	remove  func()
	running bool
	mood    string
	value   string // heard last
	durableMemory
	version          int64
	fresh            bool           // registered, and not called yet
	shrinks          bool           // the twin may have been created anew
	heard            map[string]int // deliveries by version, since the twin is this one
	delivered, again map[int64]int  // deliveries by version, and answers that the hub had already
	called           int            // of the reports that it makes, the latest
	sure             int            // of those, the latest that the hub has
}

// An answer is what an acknowledging listener wants at the hub.
type answer struct {
	code    int
	text    string // of the description: a part of it
	version int64
	value   string
}

// errOdd is what a listener says to every second version.
var errOdd = errors.New("an odd version")

// moods are what a listener may do in place of returning.
var moods = []string{"", "fails", "names a code", "panics", "ends its goroutine", "gets the twin", "reports", "reports later", "looks", "takes its time", "takes long"}

// register makes the listener hear the board's new client.
func (e *ear) register(c *device.Client, life int, talking *atomic.Int64) error {
	opts := &device.ListenOptions{Acknowledge: e.ack, Concurrent: e.concurrent}
	if e.durable {
		opts.Durable = "valve " + e.path
	}
	e.mu.Lock()
	e.life, e.running, e.fresh, e.version, e.heard = life, false, true, 0, map[string]int{}
	if e.value = ""; e.durable {
		e.value = e.last.is
	}
	e.mu.Unlock()
	remove, err := c.OnDesired(e.path, func(ctx context.Context, ch twin.Change) error { return e.listen(ctx, c, life, talking, ch) }, opts)
	e.mu.Lock()
	e.remove = remove
	e.mu.Unlock()
	return err
}

func (e *ear) wrong(judge, format string, args ...any) {
	e.s.fault(judge, "listener on %q: %s", e.path, fmt.Sprintf(format, args...))
}

// listen hears a change.
func (e *ear) listen(ctx context.Context, c *device.Client, life int, talking *atomic.Int64, ch twin.Change) error {
	mood, ok := e.begin(life, ch)
	if !ok {
		return nil
	}
	if !e.concurrent && talking.Add(1) > 1 && ctx.Err() == nil {
		e.wrong("beside", "it runs beside another one")
	}
	away := func() func() {
		if e.concurrent {
			return func() {}
		}
		talking.Add(-1)
		return func() { talking.Add(1) }
	}
	defer e.end(ctx, life, ch, mood)
	if !e.concurrent {
		defer talking.Add(-1)
	}
	time.Sleep(e.slow)
	switch mood {
	case "fails":
		return errOdd
	case "names a code":
		return &twin.AckError{Code: twin.AckBad, Text: "no such rpm"}
	case "panics":
		panic("a listener's own fault")
	case "ends its goroutine":
		runtime.Goexit()
	case "takes its time":
		time.Sleep(8 * time.Second)
	case "takes long":
		time.Sleep(50 * time.Second)
	case "gets the twin":
		back := away()
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		e.s.gets.Add(1)
		e.s.getCalls.Add(1)
		_, _ = c.GetTwin(short)
		e.s.gets.Add(-1)
		back()
	case "reports", "reports later":
		e.report(ctx, c, mood, away)
	case "looks":
		_, _, _, _ = c.State(), c.Stats(), c.Desired(), c.Reported()
	}
	if mood == "" && ch.Version%2 == 1 && e.path == "o" {
		return errOdd
	}
	return nil
}

// report says something of the listener's own.
func (e *ear) report(ctx context.Context, c *device.Client, mood string, away func() func()) {
	e.mu.Lock()
	e.called++
	n := e.called
	e.mu.Unlock()
	p := twin.Set(e.key(), n)
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	back := away()
	defer back()
	if mood == "reports later" {
		_ = c.ReportLater(short, p)
		return
	}
	if _, err := c.UpdateReported(short, p); err == nil && !e.s.sick(c) {
		e.mu.Lock()
		e.sure = max(e.sure, n)
		e.mu.Unlock()
	}
}

// key is the reported property of the listener's own.
func (e *ear) key() string { return "by-" + strings.NewReplacer(".", "-", " ", "-").Replace(e.name) }

// begin judges a delivery. It returns false for one to a client of an earlier life.
func (e *ear) begin(life int, ch twin.Change) (mood string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if life != e.life {
		return "", false
	}
	if e.running {
		e.wrong("beside", "it runs beside itself")
	}
	e.running = true
	mood = e.mood
	another := ch.Cause == twin.CauseNewTwin
	switch old := string(ch.Old.JSON()); {
	case e.durable && e.last.maybe != nil:
		if !slices.Contains(e.last.maybe, old) {
			e.wrong("chain", "old is %v, the store may have any of %q", ch.Old, e.last.maybe)
		}
		e.last.shown(old)
	case old != e.value && (e.durable || ch.Cause != twin.CauseStart):
		e.wrong("chain", "old is %v, heard before was %q", ch.Old, e.value)
	}
	if another || ch.Cause == twin.CauseStart {
		e.heard = map[string]int{}
	}
	if ch.Version < e.version && !another && ch.Version > 0 {
		e.wrong("back", "version %d after %d, cause %v", ch.Version, e.version, ch.Cause)
	}
	if was, is := len(e.value), len(string(ch.Value.JSON())); e.grows && !another && !e.shrinks && !e.s.odd.Load() && (is < was || is == was && string(ch.Value.JSON()) < e.value) {
		e.wrong("back", "from %s to %v, cause %v", e.value, ch.Value, ch.Cause)
	}
	if another {
		e.shrinks = false
	}
	what := fmt.Sprint(ch.Version, ch.Value)
	if e.heard[what]++; e.ack && e.heard[what] > 1 && ch.Version > 0 {
		e.wrong("twice", "version %d was delivered %d times with %v, now by cause %v", ch.Version, e.heard[what], ch.Value, ch.Cause)
	}
	e.delivered[ch.Version]++
	e.law(ch)
	return mood, true
}

// law asks whether Patch of a change, applied to Old, makes Value.
func (e *ear) law(ch twin.Change) {
	if !ch.Old.Exists() || !ch.Value.Exists() || len(ch.Value.JSON()) > 4<<10 {
		return
	}
	var old, value, patch any
	if json.Unmarshal(ch.Old.JSON(), &old) != nil || json.Unmarshal(ch.Value.JSON(), &value) != nil || json.Unmarshal(ch.Patch().JSON(), &patch) != nil {
		e.wrong("law", "Old, Value or Patch is no JSON: %v, %v, %v", ch.Old, ch.Value, ch.Patch())
		return
	}
	var keys []string
	if e.path != "" {
		keys = strings.Split(e.path, ".")
	}
	for i := len(keys) - 1; i >= 0; i-- {
		old, value = map[string]any{keys[i]: old}, map[string]any{keys[i]: value}
	}
	doc, ok := old.(map[string]any)
	p, ok2 := patch.(map[string]any)
	if !ok || !ok2 {
		return
	}
	if merge(doc, p); !reflect.DeepEqual(doc, value) {
		e.wrong("law", "old %v, patch %v, value %v", ch.Old, ch.Patch(), ch.Value)
	}
}

// end notes what was heard, and the answer that is due.
func (e *ear) end(ctx context.Context, life int, ch twin.Change, mood string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if life != e.life {
		return
	}
	e.running, e.fresh = false, false
	e.value, e.version = string(ch.Value.JSON()), ch.Version
	if e.ack && ch.Value.Exists() && ctx.Err() != nil {
		return // no answer, and so no memory, at the end of a client. A deletion has no answer
	}
	odd := mood == "" && ch.Version%2 == 1 && e.path == "o"
	if !odd && !slices.Contains([]string{"fails", "names a code", "panics", "ends its goroutine"}, mood) {
		e.last.set(e.value)
	}
	if !e.ack || !ch.Value.Exists() {
		return
	}
	a := &answer{code: twin.AckOK, version: ch.Version, value: string(ch.Value.JSON())}
	switch {
	case mood == "fails", odd:
		a.code, a.text = twin.AckFailed, errOdd.Error()
	case mood == "names a code":
		a.code, a.text = twin.AckBad, "no such rpm"
	case mood == "panics":
		a.code, a.text = twin.AckFailed, "a listener's own fault"
	case mood == "ends its goroutine":
		a.code, a.text = twin.AckFailed, "Goexit"
	}
	e.answered.set(a)
}

func (e *ear) mayShrink() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shrinks = true
}
