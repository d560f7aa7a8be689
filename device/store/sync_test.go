package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A weather is how a disk does: each operation takes a while, and those of
// some kinds fail.
type weather struct {
	slow  time.Duration
	fails []opKind
}

// exposed puts a disk into a weather, which may change at any time.
func exposed(d *fakeDisk, w *atomic.Pointer[weather]) {
	d.setFault(func(o op) (int, error) {
		now := w.Load()
		if now.slow > 0 && o.kind != opOpen {
			d.mu.Unlock()
			time.Sleep(now.slow)
			d.mu.Lock()
		}
		return failing(syscall.EIO, now.fails...)(o)
	})
}

// durable yields the disks with nothing on them but what was synced, under the
// durable names and under those that the kernel has.
func (c *crash) durable() (disks []*fakeDisk) {
	for _, names := range []map[string]*inode{c.names, c.kernelNames()} {
		files := map[string][]byte{}
		for name, ino := range names {
			files[name] = c.files[ino].durable
		}
		disks = append(disks, newDisk(files))
	}
	return disks
}

// cut is a power cut now.
func (d *fakeDisk) cut() []*fakeDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashAt(len(d.ops)).durable()
}

// A lazyStory is the life of a store with SyncEvery on a disk in changing
// weather. Records are numbered as in story.
type lazyStory struct {
	t       *testing.T
	rng     *rand.Rand
	every   time.Duration
	disk    *fakeDisk
	store   *Store
	acked   []time.Time
	weather atomic.Pointer[weather]
	changed time.Time // the weather
	harm    map[string]int
}

func (st *lazyStory) open() {
	var err error
	if st.store, err = openOn(st.disk, &Options{SyncEvery: st.every}); err != nil {
		st.t.Fatal(err)
	}
}

func (st *lazyStory) turn(w weather) {
	st.weather.Store(&w)
	st.changed = time.Now()
}

// act does one thing at random.
func (st *lazyStory) act() {
	switch st.rng.IntN(10) {
	case 0:
		st.turn(weather{})
	case 1:
		st.turn(weather{slow: 1 + time.Duration(st.rng.Int64N(int64(st.every/8)))})
	case 2:
		st.turn(weather{fails: [][]opKind{{opSync}, {opSyncDir}, {opRename}, {opCreate}, {opWrite, opTruncate},
			{opSync, opTruncate}, {opSync, opOpen}, {opWrite}}[st.rng.IntN(8)]})
	case 3:
		if err := st.store.Compact(st.t.Context(), []byte(strconv.Itoa(len(st.acked)))); err != nil {
			st.harm["compact"]++
		}
	case 4:
		st.reopen()
	case 5, 6:
		time.Sleep(time.Duration(st.rng.Int64N(int64(2 * st.every))))
	default:
		var records [][]byte
		for i := range 1 + st.rng.IntN(3) {
			records = append(records, []byte(record(len(st.acked)+i)))
		}
		if err := st.store.Append(st.t.Context(), records...); err != nil {
			st.harm["append"]++
			return
		}
		for range records {
			st.acked = append(st.acked, time.Now())
		}
	}
}

// reopen closes the store and opens it in good weather. Where Close failed,
// what was not durable is gone.
func (st *lazyStory) reopen() {
	must := st.must()
	err := st.store.Close()
	if err == nil {
		must = len(st.acked)
	} else {
		st.harm["close"]++
	}
	st.turn(weather{})
	n, s, loadErr := found(st.disk)
	if loadErr != nil || n < must || n > len(st.acked)+3 {
		st.t.Fatalf("opened after Close (%v): found %d records, want %d to %d (%v)", err, n, must, len(st.acked), loadErr)
	}
	mustClose(st.t, s)
	for len(st.acked) < n { // of an Append that failed
		st.acked = append(st.acked, time.Now())
	}
	st.acked = st.acked[:n]
	st.open()
}

// must is how many records are durable, by the store's own word.
func (st *lazyStory) must() int {
	since := st.store.Stats().UnsyncedSince
	if since.IsZero() {
		return len(st.acked)
	}
	n := slices.IndexFunc(st.acked, func(at time.Time) bool { return !at.Before(since) })
	if n < 0 {
		n = len(st.acked)
	}
	return n
}

// check holds the store to its word, and to the promise of SyncEvery.
func (st *lazyStory) check() error {
	synctest.Wait()
	stats, must := st.store.Stats(), st.must()
	if stats.UnsyncedSince.IsZero() != (stats.Unsynced == 0) {
		return fmt.Errorf("%d bytes are unsynced since %v", stats.Unsynced, stats.UnsyncedSince)
	}
	for _, d := range st.disk.cut() {
		n, s, err := found(d)
		if s != nil {
			defer s.Close()
		}
		if err != nil || n < must {
			return fmt.Errorf("after a power cut: found %d records, want %d of %d, unsynced since %v (%v)",
				n, must, len(st.acked), stats.UnsyncedSince, err)
		}
	}
	w := st.weather.Load()
	if len(w.fails) > 0 || time.Since(st.changed) <= st.every+10*w.slow {
		return nil
	}
	if since := stats.UnsyncedSince; !since.IsZero() && time.Since(since) > st.every+10*w.slow {
		return fmt.Errorf("on a good disk (%v for an operation) %d bytes are unsynced for %v", w.slow, stats.Unsynced, time.Since(since))
	}
	return nil
}

// TestSyncEveryStories: in any weather, with compactions, failures and
// restarts in between, the store says what is durable, and everything is
// within SyncEvery of the disk's recovery.
func TestSyncEveryStories(t *testing.T) {
	harm := map[string]int{}
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			st := &lazyStory{t: t, rng: rand.New(rand.NewPCG(seed, 1)), disk: newDisk(nil), harm: harm}
			st.every = []time.Duration{20 * time.Millisecond, time.Second, time.Minute, time.Hour}[st.rng.IntN(4)]
			st.turn(weather{})
			exposed(st.disk, &st.weather)
			st.open()
			defer func() { _ = st.store.Close() }() // perhaps in bad weather
			for i := range 120 {
				st.act()
				if err := st.check(); err != nil {
					t.Fatalf("seed %d, after %d steps, SyncEvery %v: %v", seed, i+1, st.every, err)
				}
			}
			st.turn(weather{})
			time.Sleep(st.every + 1)
			if err := st.check(); err != nil || !st.store.Stats().UnsyncedSince.IsZero() {
				t.Fatalf("seed %d, SyncEvery after the recovery: unsynced since %v (%v)", seed, st.store.Stats().UnsyncedSince, err)
			}
			if err := st.store.Append(t.Context(), []byte("more")); err != nil {
				t.Errorf("seed %d: append after the recovery: %v", seed, err)
			}
		})
	}
	t.Logf("failed: %v", harm)
	for _, what := range []string{"append", "compact", "close"} {
		if harm[what] < 20 {
			t.Errorf("%s failed %d times; the weather is too good", what, harm[what])
		}
	}
}

// TestSyncEveryGoesOn: a record that is written right after a slow fsync gets
// an fsync of its own, for as long as records come.
func TestSyncEveryGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, &Options{SyncEvery: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var w atomic.Pointer[weather]
		w.Store(&weather{slow: 100 * time.Millisecond})
		exposed(d, &w)
		mustAppend(t, s, "a")
		time.Sleep(time.Minute - 50*time.Millisecond) // the fsync of a is under way
		mustAppend(t, s, "b")
		before := s.Stats().Syncs
		for range 600 {
			mustAppend(t, s, "c")
			time.Sleep(time.Minute)
		}
		if got := s.Stats().Syncs - before; got < 590 {
			t.Errorf("in ten hours there were %d fsyncs, want about 600", got)
		}
		least := 602
		d.mu.Lock()
		images := maps.Collect(d.crashAt(len(d.ops)).images())
		d.mu.Unlock()
		for _, files := range images {
			dead := newDisk(files)
			s, err := openOn(dead, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, records := s.Load()
			least = min(least, len(records))
			mustClose(t, s)
		}
		if least < 600 {
			t.Errorf("after ten hours %d of 602 records are safe from a power cut", least)
		}
	})
}

// TestSyncEveryOnAFile: the same on a real file, where fsync takes its time.
func TestSyncEveryOnAFile(t *testing.T) {
	s, _ := tempStore(t, &Options{SyncEvery: 2 * time.Millisecond})
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end) && s.Size() < 800<<10; {
		mustAppend(t, s, "record")
	}
	before := s.Stats()
	for end := time.Now().Add(10 * time.Second); s.Stats().Syncs-before.Syncs < 20; {
		mustAppend(t, s, "record")
		if time.Now().After(end) || s.NeedsCompaction() && s.Compact(t.Context(), nil) != nil {
			t.Fatalf("after %+v: %+v", before, s.Stats())
		}
	}
}

// TestMendsItself: a store with SyncEvery whose fsync failed says since when,
// takes nothing more, and has all on flash within SyncEvery of the disk's
// recovery, though nobody calls it.
func TestMendsItself(t *testing.T) {
	for _, fails := range [][]opKind{{opSync}, {opSync, opTruncate}, {opSync, opCreate}, {opSync, opOpen}} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk(nil)
			s, err := openOn(d, &Options{SyncEvery: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			mustCompact(t, s, "snapshot")
			mustAppend(t, s, "a")
			begun := time.Now()
			mustAppend(t, s, "b", "c")
			var w atomic.Pointer[weather]
			w.Store(&weather{fails: fails})
			exposed(d, &w)
			for range 10 {
				time.Sleep(7 * time.Minute)
				st := s.Stats()
				if !st.UnsyncedSince.Equal(begun) || st.Unsynced != 3*(frameLen+1) || !s.NeedsCompaction() {
					t.Errorf("%v fail: got %+v, want 39 bytes unsynced since %v", fails, st, begun)
				}
				snapshot, records := s.Load()
				wantErr(t, "append", s.Append(t.Context(), []byte("no")), syscall.EIO)
				if slices.Contains(fails, opOpen) {
					if snapshot != nil || records != nil {
						t.Errorf("loaded %q and %q from a file that cannot be read", snapshot, records)
					}
				} else if string(snapshot) != "snapshot" || len(records) != 3 {
					t.Errorf("loaded %q and %q, want the records that are in memory, too", snapshot, records)
				}
			}
			w.Store(&weather{})
			time.Sleep(time.Minute)
			if st := s.Stats(); !st.UnsyncedSince.IsZero() || st.Unsynced != 0 || s.NeedsCompaction() {
				t.Errorf("%v failed: a minute after the recovery: got %+v", fails, st)
			}
			for _, dead := range d.cut() {
				got, s, err := loadAll(dead)
				if err != nil || got != "snapshot|a|b|c" {
					t.Errorf("%v failed: after a power cut: got %q, %v", fails, got, err)
				}
				mustClose(t, s)
			}
			wantLoad(t, s, "snapshot|a|b|c")
			mustAppend(t, s, "d")
		})
	}
}

// TestCloseMends: what an fsync failed at is on flash when Close returns nil.
func TestCloseMends(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{SyncEvery: time.Hour})
	mustAppend(t, s, "a", "b")
	failed := false
	d.setFault(func(o op) (int, error) {
		if o.kind == opSync && !failed {
			failed = true
			return 0, syscall.EIO
		}
		return 0, nil
	})
	mustClose(t, s)
	d.setFault(nil)
	for _, dead := range d.cut() {
		wantLoad(t, mustOpen(t, dead, nil), "|a|b")
	}
}

// TestUnsyncedIsBounded: however long SyncEvery, what a power cut takes is
// bounded, and so is the memory that the store needs for it. A batch that
// doesn't fit is synced at once, and fails alone where that fails.
func TestUnsyncedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, &Options{SyncEvery: 1000 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := make([]byte, 1000)
		for range 500 {
			if err := s.Append(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if st := s.Stats(); st.Unsynced > maxTail || int(st.Unsynced) != len(s.log.journal.tail) {
				t.Fatalf("%d bytes are unsynced, want at most %d", st.Unsynced, maxTail)
			}
		}
		if got := s.Stats().Syncs; got < 7 || got > 12 {
			t.Errorf("got %d fsyncs for 500 KB, want one for every 64", got)
		}
		mustCompact(t, s, "all")
		mustAppend(t, s, "small")
		d.setFault(failing(syscall.EIO, opSync))
		wantErr(t, "a large append", s.Append(t.Context(), make([]byte, maxTail)), ErrBroken, syscall.EIO)
		d.setFault(nil)
		time.Sleep(1000 * time.Hour)
		wantLoad(t, s, "all|small")
	})
}

// TestSyncEveryAmongCompactions: a compaction that takes long and fails, or a
// queue of them, puts off no fsync longer than one of them takes.
func TestSyncEveryAmongCompactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, &Options{SyncEvery: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var w atomic.Pointer[weather]
		w.Store(&weather{slow: 20 * time.Second, fails: []opKind{opRename}})
		exposed(d, &w)
		mustAppend(t, s, "a")
		var last *pending
		for range 20 {
			last = s.BeginCompact(nil)
		}
		time.Sleep(4 * time.Minute)
		if st := s.Stats(); !st.UnsyncedSince.IsZero() {
			t.Errorf("after four minutes: unsynced for %v", time.Since(st.UnsyncedSince))
		}
		if err := last.Wait(context.Background()); !errors.Is(err, syscall.EIO) {
			t.Errorf("the last compaction: got %v, want %v", err, syscall.EIO)
		}
	})
}
