package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// This file is what befalls the board, its flash and its listeners.

// turnStore changes the weather of the flash for a while.
func (s *drama) turnStore() string {
	b := s.board
	d := time.Duration(s.rnd.Int64N(int64(4 * time.Minute)))
	pick := s.rnd.IntN(6)
	switch {
	case b.mem != nil && pick < 3:
		mem := b.mem
		mem.broken(syscall.EIO)
		s.sickness.Add(1)
		time.AfterFunc(d, func() { mem.broken(nil) })
		return fmt.Sprintf("for %v the store fails", d)
	case b.mem != nil:
		b.mem.delayed(time.Duration(s.rnd.Int64N(int64(3 * time.Second))))
		return "the store is slow"
	case b.flash == nil:
		return ""
	}
	w := weather{}
	what := "slow"
	switch pick {
	case 0, 1:
		w.slow = time.Duration(s.rnd.Int64N(int64(2 * time.Second)))
	case 2:
		w.lies, what = true, "lies"
		s.lies = true
	default:
		w.fails = [][]string{{"sync"}, {"write"}, {"rename"}, {"create"}, {"write", "truncate"}, {"sync", "truncate"}, {"sync", "open"}}[s.rnd.IntN(7)]
		what = fmt.Sprintf("fails at %v", w.fails)
		s.sickness.Add(1)
	}
	disk := b.flash
	disk.turn(w)
	time.AfterFunc(d, func() { disk.turn(weather{}) })
	return fmt.Sprintf("for %v the flash: %s %v", d, what, w.slow)
}

func (m *memStore) delayed(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.delay = d
}

// mayLose notes which statements a power cut may have taken: all that were not
// acknowledged, or only since a moment.
func (s *drama) mayLose(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.statements {
		if st.life != s.board.life || st.safe && (since.IsZero() || st.at.Before(since)) {
			continue
		}
		for _, k := range st.keys {
			s.fuzzy[k] = true
		}
	}
}

// loseAll notes that what the store had may be gone.
func (s *drama) loseAll() {
	s.mu.Lock()
	for k := range s.firmware {
		s.fuzzy[k] = true
	}
	for _, st := range s.statements {
		for _, k := range st.keys {
			s.fuzzy[k] = true
		}
	}
	s.guarded, s.seenLive = nil, false
	s.mu.Unlock()
}

func (s *drama) losePower() string {
	if !s.board.stored() {
		return ""
	}
	s.disturbed++
	s.board.powerCut()
	return "the power is cut"
}

// restart ends the client, and starts a new one on the same store.
func (s *drama) restart() string {
	b, c := s.board, s.board.client
	d := time.Duration(s.rnd.Int64N(int64(40 * time.Second)))
	pick := s.rnd.IntN(3)
	if !b.stored() {
		tw, err := s.hub.Device("dev1").Twin()
		if err != nil || s.anew.Load() > 0 && (tw.Reported.Version != c.Stats().ReportedVersion || s.shown.Load() != s.anew.Load()) {
			return "" // it may not know that this is another twin
		}
		pick = 2 // the others lose what the hub does not have
	}
	s.disturbed++
	b.look()
	well := b.healthy()
	what := "Close"
	switch pick {
	case 0:
		_ = s.end(what, 11*time.Second, c.Close)
	case 1:
		what = "Stop, Close"
		s.closing.Add(1) // calls may end with ErrClosed from Stop on
		before := time.Now()
		c.Stop()
		if took := time.Since(before); took > 0 {
			s.fault("returns", "Stop took %v", took)
		}
		_ = s.end(what, 11*time.Second, c.Close)
	case 2:
		what = fmt.Sprintf("Shutdown (%v)", d)
		err := s.end(what, d+11*time.Second, func() error {
			ctx, cancel := context.WithTimeout(s.Context(), d)
			defer cancel()
			return c.Shutdown(ctx)
		})
		s.judgePosted(what, err)
		if left := (*device.LeftError)(nil); !b.stored() {
			s.afterShutdown(errors.As(err, &left))
		}
	}
	if s.late() {
		s.loseAll() // a late patch looks like one that was made after what the store has
	} else if !well || !b.healthy() {
		s.mayLose(time.Time{})
	} else {
		s.eachMemory((*durableMemory).written)
	}
	b.start()
	return what + ", and a new start"
}

// afterShutdown judges the end of a client without a store.
func (s *drama) afterShutdown(left bool) {
	if left || s.late() || s.odd.Load() {
		s.mayLose(time.Time{})
		if s.anew.Load() > s.board.anew || s.board.old && s.noVersions {
			s.missing()
		}
		return
	}
	s.judgeHub("lost", "Shutdown returned nil")
}

// missing notes what the hub does not have as firmware said it, at the end of a
// client that has no store and could not know or bring it: the twin was created
// anew in this life, and Shutdown says that something is left, or a GET without a
// version was old, and what the client made of it is not seen before the next
// GET. What the hub had confirmed before is lost with the process, too.
func (s *drama) missing() {
	tw, err := s.hub.Device("dev1").Twin()
	if err != nil {
		s.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(tw.Reported.JSON, &doc); err != nil {
		s.Fatal(err)
	}
	for _, e := range s.board.ears {
		e.mu.Lock()
		n, _ := doc[e.key()].(float64)
		e.sure = min(e.sure, int(n))
		e.mu.Unlock()
	}
	has, said := ofFirmware(withoutNulls(doc)), withoutNulls(s.firmware)
	all := maps.Clone(has)
	maps.Copy(all, said)
	for key := range all {
		if encode(s.T, map[string]any{"": has[key]}) != encode(s.T, map[string]any{"": said[key]}) {
			s.fuzzy[key] = true
		}
	}
}

// mood has a listener behave otherwise from now on.
func (s *drama) mood() string {
	paths := slices.Sorted(maps.Keys(s.board.ears))
	e := s.board.ears[paths[s.rnd.IntN(len(paths))]]
	mood := moods[s.rnd.IntN(len(moods))]
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mood = mood
	return fmt.Sprintf("the listener on %q from now on: %s", e.path, mood)
}

// comeAndGo adds a listener, or removes one and perhaps adds it again.
func (s *drama) comeAndGo() string {
	b := s.board
	path := []string{"b", "a", "m", "k", "c"}[s.rnd.IntN(5)]
	name := path
	if path == "a" || path == "b" {
		name += " (another)"
	}
	e := b.ears[name]
	if e == nil {
		e = &ear{s: s, name: name, path: path, extra: true, concurrent: s.rnd.IntN(2) == 0, delivered: map[int64]int{}, durableMemory: newMemory()}
		b.ears[name] = e
		if err := e.register(b.client, b.life, b.talking); err != nil {
			s.fault("truth", "OnDesired: %v", err)
		}
		return fmt.Sprintf("another listener on %q", path)
	}
	e.mu.Lock()
	remove, running := e.remove, e.running
	e.mu.Unlock()
	if running {
		return "" // it may finish later
	}
	remove()
	remove()
	if e.extra && s.rnd.IntN(2) == 0 {
		delete(b.ears, name)
		return fmt.Sprintf("the listener on %q goes", path)
	}
	if e.durable && s.rnd.IntN(2) == 0 {
		b.client.ForgetDurable("valve " + path)
		e.mu.Lock()
		e.last.set("")
		e.mu.Unlock()
	}
	if err := e.register(b.client, b.life, b.talking); err != nil {
		s.fault("truth", "OnDesired: %v", err)
	}
	return fmt.Sprintf("the listener on %q goes and comes back", path)
}

// A mate is another device on the same connection.
type mate struct {
	id     string
	client *device.Client

	mu    sync.Mutex // guards the rest
	n, d  int
	heard int
}

func newMate(s *drama, i int, line transport.Dialer) *mate {
	m := &mate{id: fmt.Sprint("mate", i)}
	dev, err := s.hub.AddDevice(m.id)
	if err != nil {
		s.Fatal(err)
	}
	m.client = device.New(dev.Identity, dev.Credential, line, &device.Options{RequestTimeout: 20 * time.Second})
	_, err = m.client.OnDesired("d", twin.Typed(func(_ context.Context, d int, _ twin.Change) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if d < m.heard {
			s.fault("back", "%s heard %d after %d", m.id, d, m.heard)
		}
		m.heard = d
		return nil
	}), nil)
	if err != nil {
		s.Fatal(err)
	}
	soon, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	_ = m.client.Connect(soon)
	s.Cleanup(func() { _ = m.client.Close() })
	return m
}

// mateEvent has another device on the connection do something.
func (s *drama) mateEvent() string {
	if len(s.mates) == 0 {
		return ""
	}
	m := s.mates[s.rnd.IntN(len(s.mates))]
	switch s.rnd.IntN(4) {
	case 0:
		m.d++
		if _, err := s.hub.Device(m.id).SetDesired(fmt.Sprintf(`{"d":%d}`, m.d)); err != nil {
			s.Fatal(err)
		}
	case 1:
		_ = s.hub.Device(m.id).Cut() // it may be offline
	case 2:
		_ = m.client.Renew()
	default:
		m.n++
		if err := m.client.ReportLater(s.Context(), twin.Set("n", m.n)); err != nil {
			s.fault("truth", "ReportLater of %s: %v", m.id, err)
		}
	}
	return m.id + " does something"
}

// judgeMates asks whether the other devices are in step.
func (s *drama) judgeMates() {
	for _, m := range s.mates {
		tw, err := s.hub.Device(m.id).Twin()
		if err != nil {
			s.Fatal(err)
		}
		var doc struct{ N int }
		_ = json.Unmarshal(tw.Reported.JSON, &doc)
		m.mu.Lock()
		if doc.N != m.n || m.heard != m.d {
			s.fault("lost", "%s reported %d and should hear %d, the hub has %d, it heard %d", m.id, m.n, m.d, doc.N, m.heard)
		}
		m.mu.Unlock()
	}
}
