package store

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestDiskFull: an error to the caller, with its cause; the partial record is
// gone, and the store works again when there is room.
func TestDiskFull(t *testing.T) {
	for room := range 30 {
		d := newDisk(nil)
		s := mustOpen(t, d, nil)
		mustAppend(t, s, "before")
		size := s.Size()
		d.setFault(fullAt(room))
		err := s.Append(t.Context(), []byte("a record of 25 bytes, yes"))
		wantErr(t, "append to a full disk", err, ErrFull, syscall.ENOSPC)
		if errors.Is(err, ErrBroken) || s.NeedsCompaction() {
			t.Errorf("the store is broken: %v", err)
		}
		if got := int64(len(d.data("twin"))); got != size || s.Size() != size {
			t.Errorf("size: got %d, and Size says %d, want %d", got, s.Size(), size)
		}
		d.setFault(nil)
		mustAppend(t, s, "after")
		mustClose(t, s)
		wantLoad(t, mustOpen(t, d, nil), "|before|after")
	}
}

// TestDiskFullAtCompaction: the log is as it was, and goes on.
func TestDiskFullAtCompaction(t *testing.T) {
	for room := range 50 {
		d := newDisk(nil)
		s := mustOpen(t, d, nil)
		mustAppend(t, s, "before")
		d.setFault(fullAt(room))
		wantErr(t, "compact on a full disk", s.Compact(t.Context(), []byte("a snapshot")), ErrFull, syscall.ENOSPC)
		if d.data("twin.new") != nil {
			t.Error("the unfinished file is still there")
		}
		d.setFault(nil)
		mustAppend(t, s, "after")
		mustClose(t, s)
		wantLoad(t, mustOpen(t, d, nil), "|before|after")
	}
}

// TestFailedCompaction: wherever it fails before its end, the log is as it
// was before, and goes on.
func TestFailedCompaction(t *testing.T) {
	for _, kind := range []opKind{opCreate, opWrite, opSync, opRename} {
		t.Run(string(kind), func(t *testing.T) {
			d := newDisk(nil)
			s := mustOpen(t, d, nil)
			mustAppend(t, s, "before")
			d.setFault(failing(syscall.EIO, kind))
			err := s.Compact(t.Context(), []byte("snapshot"))
			wantErr(t, "compact", err, syscall.EIO)
			if errors.Is(err, ErrBroken) || errors.Is(err, ErrFull) {
				t.Errorf("got %v, which says too much", err)
			}
			d.setFault(nil)
			mustAppend(t, s, "after")
			mustClose(t, s)
			wantLoad(t, mustOpen(t, d, nil), "|before|after")
		})
	}
}

// TestBroken: where the file can't be vouched for, Append says so until a
// Compact succeeds; what was acknowledged is there all the time.
func TestBroken(t *testing.T) {
	tests := []struct {
		desc  string
		fault func(op) (int, error)
		do    func(*Store) error
		cause error
		// what is found if the process ends before a Compact succeeds
		left string
	}{
		{"a failed fsync", failing(syscall.EIO, opSync),
			func(s *Store) error { return s.Append(t.Context(), []byte("lost")) }, syscall.EIO, "|before"},
		{"a partial record that stays", func(o op) (int, error) {
			switch o.kind {
			case opWrite:
				return 5, syscall.ENOSPC
			case opTruncate:
				return 0, syscall.EROFS
			}
			return 0, nil
		}, func(s *Store) error { return s.Append(t.Context(), []byte("lost")) }, syscall.EROFS, "|before"},
		{"a folder that cannot be synced", failing(syscall.EIO, opSyncDir),
			func(s *Store) error { return s.Compact(t.Context(), []byte("new")) }, syscall.EIO, "new"},
		{"a new file that cannot be opened", func(o op) (int, error) {
			if o.kind == opOpen && o.name == "twin" {
				return 0, syscall.EMFILE
			}
			return 0, nil
		}, func(s *Store) error { return s.Compact(t.Context(), []byte("new")) }, syscall.EMFILE, "new"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			d := newDisk(nil)
			var log bytes.Buffer
			s := mustOpen(t, d, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			mustAppend(t, s, "before")
			d.setFault(tt.fault)
			wantErr(t, tt.desc, tt.do(s), ErrBroken, tt.cause)
			d.setFault(nil)
			wantErr(t, "append to a broken store", s.Append(t.Context(), []byte("no")), ErrBroken, tt.cause)
			if !s.NeedsCompaction() {
				t.Error("no compaction is due in a broken store")
			}
			dead := newDisk(map[string][]byte{"twin": d.data("twin")})
			wantLoad(t, mustOpen(t, dead, nil), tt.left)

			d.setFault(failing(syscall.EIO, opCreate))
			wantErr(t, "a Compact that fails", s.Compact(t.Context(), []byte("no")), syscall.EIO)
			d.setFault(nil)
			wantErr(t, "append after it", s.Append(t.Context(), []byte("no")), ErrBroken)
			mustCompact(t, s, "all")
			mustAppend(t, s, "after")
			mustClose(t, s)
			wantLoad(t, mustOpen(t, d, nil), "all|after")
			for _, word := range []string{"broken", tt.cause.Error(), "mended"} {
				if !strings.Contains(log.String(), word) {
					t.Errorf("the log does not say %q:\n%s", word, &log)
				}
			}
		})
	}
}

// TestBrokenClose: Close tells, each time.
func TestBrokenClose(t *testing.T) {
	d := newDisk(nil)
	s := mustOpen(t, d, &Options{SyncEvery: time.Hour})
	mustAppend(t, s, "a")
	d.setFault(failing(syscall.EIO, opSync))
	wantErr(t, "close", s.Close(), ErrBroken, syscall.EIO)
	wantErr(t, "close again", s.Close(), ErrBroken, syscall.EIO)
}

// TestSyncEveryFails: after an fsync that nobody waits for failed, Append
// fails, and Compact succeeds once the disk does. See TestMendsItself.
func TestSyncEveryFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(nil)
		s, err := openOn(d, &Options{SyncEvery: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, "a")
		time.Sleep(time.Minute)
		mustAppend(t, s, "b")
		d.setFault(failing(syscall.EIO, opSync))
		time.Sleep(time.Minute)
		d.setFault(nil)
		if !s.NeedsCompaction() {
			t.Error("no compaction is due")
		}
		wantErr(t, "append", s.Append(t.Context(), []byte("c")), ErrBroken, syscall.EIO)
		dead := newDisk(map[string][]byte{"twin": d.data("twin")})
		if n, s, err := loadAll(dead); err != nil || n != "|a" {
			t.Errorf("had the process ended here: got %q, %v, want |a", n, err)
		} else {
			mustClose(t, s)
		}
		mustCompact(t, s, "abc")
		mustClose(t, s)
	})
}

func loadAll(d disk) (string, *Store, error) {
	s, err := openOn(d, nil)
	if err != nil {
		return "", nil, err
	}
	snapshot, records := s.Load()
	return string(bytes.Join(append([][]byte{snapshot}, records...), []byte("|"))), s, nil
}

// TestOpenFails: whatever fails in Open is told, nothing is left open, and
// the next Open finds all.
func TestOpenFails(t *testing.T) {
	torn := image(dev1(), 1, "s", "a", "b")
	torn = torn[:len(torn)-1]
	corrupt := image(dev1(), 1, "s", "a", "b", "c")
	corrupt[len(corrupt)-14]++ // in b
	for _, tt := range []struct {
		desc string
		file []byte
		want string
	}{
		{"new", nil, ""},
		{"torn", torn, "s|a"},
		{"corrupt", corrupt, "s|a"},
	} {
		for _, kind := range []opKind{opOpen, opCreate, opRename, opTruncate, opSync, opSyncDir} {
			d := newDisk(nil)
			if tt.file != nil {
				d = diskWith(tt.file)
			}
			d.setFault(failing(syscall.EIO, kind))
			s, err := openOn(d, nil)
			if err == nil { // it was not needed, or only for the copy
				mustClose(t, s)
			} else {
				wantErr(t, tt.desc+", no "+string(kind), err, syscall.EIO)
			}
			d.setFault(nil)
			wantLoad(t, mustOpen(t, d, nil), tt.want)
		}
	}
}

// TestReadOnly: the error says what it needs.
func TestReadOnly(t *testing.T) {
	for _, cause := range []error{syscall.EROFS, syscall.EACCES} {
		d := newDisk(nil)
		d.setFault(failing(cause, opOpen))
		_, err := openOn(d, nil)
		wantErr(t, "open", err, cause)
		if err != nil && !strings.Contains(err.Error(), "it needs") {
			t.Errorf("got %q, which does not say what to do", err)
		}
	}
}
