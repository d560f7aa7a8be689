package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestSizesAreThoseOfTheDocumentation: the figures stand here as numbers.
func TestSizesAreThoseOfTheDocumentation(t *testing.T) {
	for size, good := range map[int64]bool{4<<10 - 1: false, 4 << 10: true, 256 << 20: true, 256<<20 + 1: false, -1: false} {
		s, err := openOn(newDisk(nil), &Options{MaxSize: size})
		if (err == nil) != good {
			t.Errorf("MaxSize of %d: %v", size, err)
		}
		mustClose(t, s)
	}
	s := mustOpen(t, newDisk(nil), nil)
	wantErr(t, "a snapshot of 1 MiB", s.Compact(t.Context(), make([]byte, 1<<20)), ErrFull)
	if err := s.Compact(t.Context(), make([]byte, 1<<20-100)); err != nil {
		t.Errorf("a snapshot of almost 1 MiB: %v", err)
	}
	if _, err := openOn(diskWith(make([]byte, 4*(4<<20)+1)), &Options{MaxSize: 4 << 20}); err == nil {
		t.Error("a file of more than four times MaxSize was opened")
	}
	if s, err := openOn(diskWith(make([]byte, 4*(4<<20))), &Options{MaxSize: 4 << 20}); err != nil {
		t.Errorf("a damaged file of four times MaxSize: %v", err)
	} else {
		mustClose(t, s)
	}
}

// TestRecordTakesTwelveBytesMore, is written once, and shares its fsync.
func TestRecordTakesTwelveBytesMore(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, nil)
	size, before, first := s.Size(), s.Stats(), d.steps()
	mustAppend(t, s, strings.Repeat("x", 60))
	after := s.Stats()
	if s.Size()-size != 72 || after.Bytes-before.Bytes != 72 || after.Syncs-before.Syncs != 1 || after.Records-before.Records != 1 {
		t.Errorf("a record of 60 bytes: %+v after %+v, and %d bytes more", after, before, s.Size()-size)
	}
	if n := d.steps() - first; n != 2 || d.ops[first].kind != opWrite || d.ops[first+1].kind != opSync {
		t.Errorf("the disk was changed %d times: %v", n, d.ops[first:])
	}
}

// TestCompactionIsDue at four times the snapshot and more than 64 KiB, or at three
// quarters of the room beside it.
func TestCompactionIsDue(t *testing.T) {
	for _, tt := range []struct {
		desc               string
		max                int64
		snapshot, appended int
		want               bool
	}{
		{"almost 64 KiB", 0, 0, 65_000, false},
		{"64 KiB", 0, 0, 66_000, true},
		{"almost four times the snapshot", 0, 50_000, 145_000, false},
		{"four times the snapshot", 0, 50_000, 155_000, true},
		{"almost three quarters of the room", 60_000, 20_000, 29_000, false},
		{"three quarters of the room", 60_000, 20_000, 31_000, true},
	} {
		s := mustOpen(t, newDisk(nil), &Options{MaxSize: tt.max})
		mustCompact(t, s, strings.Repeat("s", tt.snapshot))
		mustAppend(t, s, strings.Repeat("r", tt.appended))
		if got := s.NeedsCompaction(); got != tt.want {
			t.Errorf("%s: a compaction is due: %t, want %t", tt.desc, got, tt.want)
		}
	}
}

// TestUnsyncedIsAtMost64KiB, however long SyncEvery, and what is more is synced at
// once.
func TestUnsyncedIsAtMost64KiB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := openOn(newDisk(nil), &Options{SyncEvery: 1000 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var most int64
		for range 300 {
			mustAppend(t, s, strings.Repeat("x", 1000))
			bytes, since := s.inner().Unsynced()
			if st := s.Stats(); bytes != st.Unsynced || !since.Equal(st.UnsyncedSince) {
				t.Fatalf("Unsynced says %d since %v, and Stats %d since %v", bytes, since, st.Unsynced, st.UnsyncedSince)
			}
			most = max(most, bytes)
		}
		if most > 64<<10 || most < 60<<10 {
			t.Errorf("%d bytes were unsynced at most, want almost 65536", most)
		}
	})
	var none *Store
	if bytes, since := none.inner().Unsynced(); bytes != 0 || !since.IsZero() {
		t.Errorf("a nil store has %d bytes since %v", bytes, since)
	}
	s := mustOpen(t, newDisk(nil), nil)
	mustAppend(t, s, "a")
	if bytes, since := s.inner().Unsynced(); bytes != 0 || !since.IsZero() {
		t.Errorf("without SyncEvery, %d bytes are unsynced since %v", bytes, since)
	}
}

// TestLogSaysWhatIsDamaged, and nothing of what records hold.
func TestLogSaysWhatIsDamaged(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	whole := image(dev1(), salt, "secret-snapshot", "secret-one", "secret-two", "secret-three")
	s := mustOpen(t, diskWith(flip(whole, len(whole)-40)), &Options{Logger: logger})
	if s.Damage() == nil || !strings.Contains(log.String(), "damaged") || !strings.Contains(log.String(), "twin.corrupt") {
		t.Errorf("damage %v, and the log says %s", s.Damage(), &log)
	}
	d := newDisk(nil)
	s = mustOpen(t, d, &Options{Logger: logger})
	d.setFault(failing(syscall.EIO, opSync))
	wantErr(t, "append", s.Append(t.Context(), []byte("secret-four")), ErrBroken)
	d.setFault(nil)
	mustCompact(t, s, "secret-all")
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log holds a record: %s", &log)
	}
	own := &bytes.Buffer{} // the program's own
	was := slog.Default()
	defer slog.SetDefault(was)
	slog.SetDefault(slog.New(slog.NewTextHandler(own, nil)))
	mustOpen(t, diskWith(flip(whole, len(whole)-40)), nil)
	if own.Len() > 0 {
		t.Errorf("without a Logger the program's own has %s", own)
	}
}

// TestNoCopyCouldBeMade: Kept is empty then, and the store goes on.
func TestNoCopyCouldBeMade(t *testing.T) {
	whole := image(dev1(), salt, "s", "a", "b", "c")
	d := diskWith(flip(whole, len(whole)-14)) // in b
	d.setFault(failing(syscall.ENOSPC, opCreate))
	s := mustOpen(t, d, nil)
	d.setFault(nil)
	var damage *DamageError
	if !errors.As(s.Damage(), &damage) || damage.Kept != "" || damage.Torn || damage.Offset == 0 || damage.Unwrap() == nil {
		t.Errorf("damage: %+v", s.Damage())
	}
	if text := damage.Error(); !strings.Contains(text, fmt.Sprint(damage.Offset)) || !strings.Contains(text, damage.Err.Error()) {
		t.Errorf("it says %q", text)
	}
	wantLoad(t, s, "s|a")
	if d.data("twin.corrupt") != nil {
		t.Error("there is a copy")
	}
	none := diskWith(flip(whole, 40))
	s = mustOpen(t, none, nil)
	if !errors.As(s.Damage(), &damage) || damage.Offset != 0 {
		t.Errorf("a damaged snapshot: %+v", s.Damage())
	}
	wantLoad(t, s, "")
}

// TestFailedAppendLeavesTheLogAsItWas, whatever keeps it from being written, and a
// Compact that covers the record makes up for it.
func TestFailedAppendLeavesTheLogAsItWas(t *testing.T) {
	for name, fault := range map[string]func(op) (int, error){
		"no room":        fullAt(5),
		"over the quota": failing(syscall.EDQUOT, opWrite),
		"an I/O error":   failing(syscall.EIO, opWrite),
		"no permission":  failing(fs.ErrPermission, opWrite),
	} {
		d := newDisk(nil)
		s := mustOpen(t, d, nil)
		mustAppend(t, s, "before")
		was := d.data("twin")
		d.setFault(fault)
		err := s.Append(t.Context(), []byte("a record that does not fit"))
		d.setFault(nil)
		if full := name == "no room" || name == "over the quota"; err == nil || errors.Is(err, ErrFull) != full || errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
		if got := d.data("twin"); !bytes.Equal(got, was) {
			t.Errorf("%s: the file was %q and is %q", name, was, got)
		}
		mustCompact(t, s, "covers it")
		mustClose(t, s)
		wantLoad(t, mustOpen(t, d, nil), "covers it")
	}
}

// TestManyWaitForOne: any number of goroutines may wait for what was begun.
func TestManyWaitForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		waits, turn := gate(d)
		p := s.BeginAppend([]byte("a"))
		told := make(chan error, 8)
		for range cap(told) {
			go func() { told <- p.Wait(t.Context()) }()
		}
		<-waits
		synctest.Wait()
		if len(told) > 0 {
			t.Errorf("%d heard of it before the fsync", len(told))
		}
		turn <- struct{}{}
		for range cap(told) {
			if err := <-told; err != nil {
				t.Error(err)
			}
		}
		d.setFault(nil)
	})
}

// TestLoadAfterClose returns nil.
func TestLoadAfterClose(t *testing.T) {
	s := mustOpen(t, diskWith(image(dev1(), salt, "snap", "one")), nil)
	wantLoad(t, s, "snap|one")
	mustClose(t, s)
	if snapshot, records := s.Load(); snapshot != nil || records != nil {
		t.Errorf("got %q and %q", snapshot, records)
	}
}
