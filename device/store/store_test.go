package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadIsWhatWasAppended(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	wantLoad(t, s, "")
	mustAppend(t, s, "one", "", "three")
	mustClose(t, s)

	s = mustOpen(t, d, nil)
	wantLoad(t, s, "|one||three")
	wantLoad(t, s, "|one||three") // from the file
	mustCompact(t, s, "all three")
	mustAppend(t, s, "four")
	mustClose(t, s)

	s = mustOpen(t, d, nil)
	wantLoad(t, s, "all three|four")
	mustCompact(t, s, "")
	mustClose(t, s)

	s = mustOpen(t, d, nil)
	if snapshot, records := s.Load(); snapshot != nil || records != nil {
		t.Errorf("after an empty snapshot: got %q and %q, want nil", snapshot, records)
	}
	if err := s.Damage(); err != nil {
		t.Errorf("damage: got %v, want none", err)
	}
}

// TestAppendOfMany: in order, with one fsync, and all or none.
func TestAppendOfMany(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{MaxSize: minMaxSize})
	before := s.Stats()
	err := s.Append(t.Context(), []byte("one"), nil, []byte("three"))
	if err = errors.Join(err, s.Append(t.Context())); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Records-before.Records != 3 || st.Syncs-before.Syncs != 1 {
		t.Errorf("got %+v after %+v, want 3 records and 1 fsync more", st, before)
	}
	size := s.Size()
	wantErr(t, "too many", s.Append(t.Context(), []byte("fits"), make([]byte, minMaxSize)), ErrFull)
	if s.Size() != size {
		t.Error("a part of what did not fit is in the log")
	}
	mustClose(t, s)
	wantLoad(t, mustOpen(t, d, nil), "|one||three")
}

// TestRecordIsCopied: the caller may use its buffer again at once.
func TestRecordIsCopied(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	buf := []byte("first")
	d.mu.Lock() // the writer waits
	a := s.BeginAppend(buf)
	copy(buf, "other")
	b := s.BeginCompact(buf)
	copy(buf, "third")
	d.mu.Unlock()
	if err := errors.Join(a.Wait(t.Context()), b.Wait(t.Context())); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	wantLoad(t, mustOpen(t, d, nil), "other")
}

// gate makes every fsync of a disk wait for a turn, and tells that it does.
func gate(d *fakeDisk) (waits, turn chan struct{}) {
	waits, turn = make(chan struct{}), make(chan struct{})
	d.setFault(func(o op) (int, error) {
		if o.kind == opSync {
			d.mu.Unlock()
			waits <- struct{}{}
			<-turn
			d.mu.Lock()
		}
		return 0, nil
	})
	return waits, turn
}

// TestGroupCommit: Append returns after its fsync and not before, and all who
// wait for one share the next.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := s.Stats()
		waits, turn := gate(d)
		const n = 100
		var wg sync.WaitGroup
		returned := make(chan error, n+1)
		add := func(i int) {
			wg.Go(func() { returned <- s.Append(t.Context(), fmt.Append(nil, i)) })
		}
		add(0)
		<-waits
		for i := range n {
			add(i)
		}
		synctest.Wait()
		if len(returned) != 0 {
			t.Errorf("before the fsync: %d Appends returned, want 0", len(returned))
		}
		turn <- struct{}{}
		<-waits
		synctest.Wait()
		if len(returned) != 1 {
			t.Errorf("after the first fsync: %d Appends returned, want 1", len(returned))
		}
		turn <- struct{}{}
		wg.Wait()
		for range n + 1 {
			if err := <-returned; err != nil {
				t.Error(err)
			}
		}
		after := s.Stats()
		if got := after.Syncs - before.Syncs; got != 2 {
			t.Errorf("%d Appends took %d fsyncs, want 2", n+1, got)
		}
		if got := after.Records - before.Records; got != n+1 {
			t.Errorf("records: got %d, want %d", got, n+1)
		}
		mustClose(t, s) // nothing is left to sync
	})
}

// TestManyGoroutines appends and compacts from all sides, for the race
// detector; each goroutine's records stay in order.
func TestManyGoroutines(t *testing.T) {
	s, path := tempStore(t, nil)
	var wg sync.WaitGroup
	const writers, each = 8, 30
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(t.Context(), fmt.Appendf(nil, "%d %d", w, i)); err != nil {
					t.Error(err)
				}
				_, _, _ = s.Size(), s.NeedsCompaction(), s.Stats()
			}
		})
	}
	wg.Wait()
	mustClose(t, s)
	again, err := Open(path, dev1(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	_, records := again.Load()
	var next [writers]int
	for _, r := range records {
		var w, i int
		if _, err := fmt.Sscanf(string(r), "%d %d", &w, &i); err != nil || i != next[w] {
			t.Fatalf("got record %q, want %d of this writer (%v)", r, next[w], err)
		}
		next[w]++
	}
	if len(records) != writers*each {
		t.Errorf("got %d records, want %d", len(records), writers*each)
	}
}

// TestSyncEvery: Append returns before the fsync, which follows in time, once
// for all, and not at all where nothing was appended; Close syncs.
func TestSyncEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, &Options{SyncEvery: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		opened := s.Stats().Syncs
		wantSyncs := func(when string, want int64) {
			t.Helper()
			synctest.Wait()
			if got := s.Stats().Syncs - opened; got != want {
				t.Errorf("%s: got %d fsyncs, want %d", when, got, want)
			}
		}
		mustAppend(t, s, "a")
		time.Sleep(59 * time.Second)
		mustAppend(t, s, "b")
		wantSyncs("after 59 s", 0)
		time.Sleep(time.Second)
		wantSyncs("after a minute", 1)
		time.Sleep(time.Hour)
		wantSyncs("after an idle hour", 1)
		for range 90 { // a stream of records puts nothing off
			mustAppend(t, s, "c")
			time.Sleep(time.Second)
		}
		wantSyncs("after a busy minute and a half", 2)
		mustCompact(t, s, "all")
		wantSyncs("after a compaction", 4) // file and folder
		time.Sleep(time.Hour)
		wantSyncs("an idle hour later", 4)
		mustAppend(t, s, "d")
		mustClose(t, s)
		if got := s.Stats().Syncs - opened; got != 5 {
			t.Errorf("after Close: got %d fsyncs, want 5", got)
		}
	})
}

// TestContextBoundsTheWaiting: what was begun goes on.
func TestContextBoundsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		waits, turn := gate(d)
		why := errors.New("the watchdog barks")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		returned := make(chan error)
		go func() { returned <- s.Append(ctx, []byte("slow")) }()
		<-waits
		wantErr(t, "append on slow flash", <-returned, context.DeadlineExceeded, why)
		wantErr(t, "append in a context that has ended", s.Append(ctx, []byte("never")), context.DeadlineExceeded)
		wantErr(t, "compact in a context that has ended", s.Compact(ctx, []byte("never")), context.DeadlineExceeded)
		p := s.BeginAppend([]byte("begun"))
		wantErr(t, "wait in a context that has ended", p.Wait(ctx), context.DeadlineExceeded)
		turn <- struct{}{}
		<-waits
		turn <- struct{}{}
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := p.Wait(ctx); err != nil {
			t.Errorf("waiting for what is durable: got %v, want nil", err)
		}
		d.setFault(nil)
		mustClose(t, s)
		s, err = openOn(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wantLoad(t, s, "|slow|begun")
	})
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, newDisk(nil), nil)
	p := s.BeginAppend([]byte("a"))
	mustClose(t, s)
	mustClose(t, s)
	if err := p.Wait(t.Context()); err != nil {
		t.Errorf("what was begun before Close: %v", err)
	}
	wantErr(t, "append", s.Append(t.Context(), nil), errClosed)
	wantErr(t, "compact", s.Compact(t.Context(), nil), errClosed)
}

// TestMaxSize: the file stays within its bound, and Compact makes room.
func TestMaxSize(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{MaxSize: 4 << 10})
	r := strings.Repeat("x", 100)
	var err error
	n := 0
	for err == nil {
		if err = s.Append(t.Context(), []byte(r)); err == nil {
			n++
		}
		if due, want := s.NeedsCompaction(), s.Size() > 3090; due != want && s.Size() > 3200 {
			t.Errorf("compaction due at %d bytes: got %v, want %v", s.Size(), due, want)
		}
	}
	wantErr(t, "append to a full log", err, ErrFull)
	if got := len(d.data("twin")); got > 4<<10 || got < 4<<10-112 || int64(got) != s.Size() {
		t.Errorf("size: got %d, and Size says %d, want almost 4096", got, s.Size())
	}
	wantErr(t, "too large a snapshot", s.Compact(t.Context(), make([]byte, 4<<10)), ErrFull)
	mustCompact(t, s, "s")
	mustAppend(t, s, r)
	wantErr(t, "too large a record", s.Append(t.Context(), make([]byte, 4<<10)), ErrFull)
	mustClose(t, s)
	wantLoad(t, mustOpen(t, d, nil), "s|"+r)
	if want := (4<<10 - 46) / 112; n != want {
		t.Errorf("got %d records into the log, want %d", n, want)
	}
}

// TestFlashThatHangs: what waits for it is bounded.
func TestFlashThatHangs(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{MaxSize: 4 << 10})
	d.mu.Lock()
	var pending []*pending
	for range 100 {
		pending = append(pending, s.BeginAppend(make([]byte, 1000)))
	}
	s.log.mu.Lock()
	held := s.log.queued
	s.log.mu.Unlock()
	d.mu.Unlock()
	if held > 8<<10 {
		t.Errorf("%d bytes wait, want at most twice MaxSize", held)
	}
	wantErr(t, "the last", pending[99].Wait(t.Context()), ErrFull)
	if err := pending[0].Wait(t.Context()); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// TestOneCompactionIsEnough: of many who might, one is asked to compact.
func TestOneCompactionIsEnough(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	mustAppend(t, s, strings.Repeat("r", 70_000))
	if !s.NeedsCompaction() {
		t.Error("no compaction is due")
	}
	d.mu.Lock()
	p := s.BeginCompact([]byte("s"))
	if s.NeedsCompaction() {
		t.Error("a second compaction is due while one is under way")
	}
	d.mu.Unlock()
	if err := p.Wait(t.Context()); err != nil || s.NeedsCompaction() {
		t.Errorf("after it: got %v, due %v", err, s.NeedsCompaction())
	}
	mustAppend(t, s, strings.Repeat("r", 70_000))
	d.setFault(failing(syscall.EIO, opCreate))
	wantErr(t, "compact", s.Compact(t.Context(), nil), syscall.EIO)
	if !s.NeedsCompaction() {
		t.Error("no compaction is due after one that failed")
	}
}

// TestNeedsCompaction: not for a little log, nor twice for a large snapshot.
func TestNeedsCompaction(t *testing.T) {
	for _, tt := range []struct {
		desc     string
		max      int64
		snapshot int
		appended int // bytes, in records of 1000
		want     bool
	}{
		{"empty", 0, 0, 0, false},
		{"60 KB of records", 0, 100, 60_000, false},
		{"70 KB of records", 0, 100, 70_000, true},
		{"as much as the snapshot", 0, 100_000, 100_000, false},
		{"more than three times the snapshot", 0, 100_000, 310_000, true},
		{"a large snapshot, just written", 100_000, 95_000, 0, false},
		{"a large snapshot, and no more room", 100_000, 95_000, 4_000, true},
		{"a small bound", 16 << 10, 0, 14_000, true},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			s := mustOpen(t, newDisk(nil), &Options{MaxSize: tt.max})
			mustCompact(t, s, strings.Repeat("s", tt.snapshot))
			for range tt.appended / 1000 {
				mustAppend(t, s, strings.Repeat("r", 1000-frameLen))
			}
			if got := s.NeedsCompaction(); got != tt.want {
				t.Errorf("got %v, want %v, at %d bytes", got, tt.want, s.Size())
			}
		})
	}
}

func TestStats(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	head := int64(len(image(dev1(), 0, "")))
	if got, want := s.Stats(), (Stats{Bytes: head, Syncs: 2}); got != want {
		t.Errorf("after the first Open: got %+v, want %+v", got, want)
	}
	mustAppend(t, s, "12345", "678")
	mustCompact(t, s, "sum")
	want := Stats{Records: 2, Bytes: head + 17 + 15 + head + 3, Syncs: 2 + 2 + 2, Compactions: 1}
	if got := s.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	mustClose(t, s)
	if got, want := mustOpen(t, d, nil).Stats(), (Stats{Syncs: 2}); got != want {
		t.Errorf("after the second Open: got %+v, want %+v", got, want)
	}
}

// TestSaltsDiffer: no two files share their checksums.
func TestSaltsDiffer(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	mustCompact(t, s, "same")
	a := d.data("twin")
	mustCompact(t, s, "same")
	if b := d.data("twin"); bytes.Equal(a, b) {
		t.Error("two files with the same contents are the same; stale blocks of one pass for the other's")
	}
}
