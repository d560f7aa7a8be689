package device_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
)

// A board is one device that may lose its power.
type board struct {
	s       *drama
	mem     *memStore // nil for none
	flash   *badFlash // nil for none
	real    *store.Store
	every   time.Duration // SyncEvery of the real store
	client  *device.Client
	life    int
	live    time.Time // when the desired half was first seen live in this life
	knows   bool      // the store has had the time to keep the desired half
	awaits  bool      // the store knew it, and is not claimed yet in this life
	anew    int64     // twins before this life
	tells   bool      // this life has OnState
	old     bool      // a GET of this life may have been old
	ears    map[string]*ear
	talking *atomic.Int64 // listeners of this life that run, but for concurrent ones
}

func newBoard(s *drama, kind string) *board {
	b := &board{s: s, ears: map[string]*ear{}}
	stored := kind != "none"
	for _, e := range []*ear{
		{path: ""}, {path: "a", slow: 100 * time.Millisecond}, {path: "a.b"}, {path: "b.c", durable: stored, slow: time.Second},
		{path: "d", grows: true}, {path: "well"}, {path: "k", ack: true, durable: stored && s.rnd.IntN(2) == 0},
		{path: "o", ack: true}, {path: "m", ack: true, concurrent: true}, {path: "c", concurrent: true},
	} {
		e.name, e.s, e.delivered, e.again, e.durableMemory = e.path, s, map[int64]int{}, map[int64]int{}, newMemory()
		b.ears[e.path] = e
	}
	switch kind {
	case "memory":
		b.mem = &memStore{delay: 20 * time.Millisecond}
	case "flash":
		b.flash = newFlash()
		b.every = []time.Duration{0, 0, 5 * time.Second}[s.rnd.IntN(3)]
		b.open()
	}
	return b
}

// open opens the real store.
func (b *board) open() {
	o := &store.Options{SyncEvery: b.every, MaxSize: 128 << 10}
	o.Disk = b.flash
	st, err := store.Open("twin", b.s.dev.Identity, o)
	if err != nil {
		b.s.Fatal(err)
	}
	b.real = st
	b.s.Cleanup(func() { _ = st.Close() })
}

func (b *board) stored() bool { return b.mem != nil || b.real != nil }

// requestTimeout is the board's, for an answer of the hub.
const requestTimeout = 20 * time.Second

// start boots the firmware. It does not wait for the line.
func (b *board) start() {
	s := b.s
	s.mu.Lock() // hear reads it
	b.life++
	s.mu.Unlock()
	b.talking = &atomic.Int64{}
	b.anew, b.old = s.anew.Load(), false
	s.eachMemory((*durableMemory).boot)
	s.whims.repeat(0) // of a client that knows nothing, the first GET is all
	s.cred.set("")    // a credential that gives nothing ends a client that never logged in
	opts := &device.Options{RequestTimeout: requestTimeout, CallTimeout: 24 * time.Hour}
	if s.rnd.IntN(2) == 0 {
		life := b.life
		opts.OnState = func(st device.State) { s.hear(life, st); s.onState(st) }
	}
	s.mu.Lock()
	b.tells, s.pulse = opts.OnState != nil, pulse{}
	s.mu.Unlock()
	switch {
	case b.mem != nil:
		opts.Store = b.mem
	case b.real != nil:
		opts.Store = b.real
	}
	opts.Telemetry = s.mail.opts
	s.mail.board(b.life)
	if s.asleep.Load() {
		opts.Logger = slog.New(slog.NewTextHandler(s.log, nil))
		b.client = s.bare(opts)
	} else {
		b.client = s.client(opts)
		b.listen()
	}
	b.awaits = b.knows || b.awaits
	b.live, b.knows = time.Time{}, false
	err := b.connect()
	if errors.Is(err, syscall.EIO) { // the store could not be claimed; it can once the flash is well
		b.flash.turn(weather{})
		err = b.connect()
	}
	b.look()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && s.tempers == 0 {
		s.fault("ends", "Connect: %v", err)
	}
}

// listen makes the listeners hear the client.
func (b *board) listen() {
	for _, path := range slices.Sorted(maps.Keys(b.ears)) {
		if err := b.ears[path].register(b.client, b.life, b.talking); err != nil {
			b.s.Fatal(err)
		}
	}
}

func (b *board) connect() error {
	soon, cancel := context.WithTimeout(b.s.Context(), time.Second)
	defer cancel()
	before := time.Now()
	err := b.client.Connect(soon)
	if took := time.Since(before); took > time.Second {
		b.s.fault("returns", "Connect took %v with a context of 1 s", took)
	}
	return err
}

// look asks whether the desired half is known that the store knew, and notes
// whether it must be known at the next start. A flash that is slow, as it writes
// what the last client left, is claimed after Connect has returned.
func (b *board) look() {
	if b.s.asleep.Load() {
		return
	}
	if b.awaits && b.client.Kept().Claimed {
		b.awaits = false
		if !b.s.lies && b.client.Desired().Source == device.SourceNone {
			b.s.fault("lost", "after a restart nothing is known of the desired half")
		}
	}
	if b.stored() && b.healthy() {
		b.s.eachMemory((*durableMemory).written)
	}
	switch {
	case !b.stored() || b.s.lies || b.client.Desired().Source != device.SourceLive:
	case b.live.IsZero():
		b.live = time.Now()
	case time.Since(b.live) > 3*time.Second && b.healthy():
		b.knows = true // from now on it has some version of it
	}
}

// healthy reports whether the store has all that it was given.
func (b *board) healthy() bool {
	k := b.client.Kept()
	if b.stored() && !k.Claimed {
		return false
	}
	if b.real != nil {
		if b.real.Stats().Unsynced > 0 {
			return false
		}
	}
	return k.Writes == 0 && !k.StoreFailed
}

// powerCut ends the firmware, and boots it with what the store holds then.
func (b *board) powerCut() {
	synctest.Wait()
	s := b.s
	lied := false
	b.look()
	if s.late() {
		s.loseAll()
	}
	if !b.healthy() {
		var since time.Time
		if b.real != nil {
			since = b.real.Stats().UnsyncedSince
		}
		s.mayLose(since)
	}
	old := b.client
	switch {
	case b.mem != nil:
		b.mem = b.mem.powerCut()
	case b.real != nil:
		b.flash, lied = b.flash.cut(s.rnd)
		defer func(st *store.Store) { _ = st.Close() }(b.real)
		b.open()
		if lied || b.real.Damage() != nil && s.lies {
			s.loseAll()
			s.eachMemory((*durableMemory).lied)
		} else if b.real.Damage() != nil && !errorsTorn(b.real.Damage()) {
			s.fault("lost", "the store is damaged after an honest power cut: %v", b.real.Damage())
		}
	}
	s.end("Close", 11*time.Second, old.Close)
	b.start()
}

func errorsTorn(err error) bool {
	var bad *store.DamageError
	return errors.As(err, &bad) && bad.Torn
}
