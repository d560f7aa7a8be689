package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A story is a life of a store on one disk: records are numbered, a snapshot
// says how many it covers, and it is noted after how many changes of the disk
// each record was begun and acknowledged.
type story struct {
	t       *testing.T
	opts    *Options
	disk    *fakeDisk
	store   *Store
	begun   []int
	acked   []int
	waiting []*pending
}

// record is the nth; some are empty, most lie in several pages.
func record(n int) string { return strings.Repeat(strconv.Itoa(n), n*7%31) }

func newStory(t *testing.T, opts *Options) *story {
	st := &story{t: t, opts: opts, disk: newDisk(nil)}
	st.open()
	return st
}

func (st *story) open() {
	var err error
	if st.store, err = openOn(st.disk, st.opts); err != nil {
		st.t.Fatal(err)
	}
}

// begin appends n records without waiting, so that they share an fsync.
func (st *story) begin(n int) {
	st.disk.mu.Lock() // so that the writer comes too late for most
	defer st.disk.mu.Unlock()
	st.beginLocked(n)
}

func (st *story) beginLocked(n int) {
	for range n {
		st.begun = append(st.begun, len(st.disk.ops))
		st.waiting = append(st.waiting, st.store.BeginAppend([]byte(record(len(st.begun)-1))))
	}
}

// burst begins records, a compaction that covers them, and more records, all
// before the writer wakes up.
func (st *story) burst(before, after int) {
	st.disk.mu.Lock()
	st.beginLocked(before)
	compaction := st.store.BeginCompact([]byte(strconv.Itoa(len(st.begun))))
	st.beginLocked(after)
	st.disk.mu.Unlock()
	if err := compaction.Wait(context.Background()); err != nil {
		st.t.Fatal(err)
	}
	st.wait()
}

// wait waits for all that was begun.
func (st *story) wait() {
	for _, p := range st.waiting {
		if err := p.Wait(context.Background()); err != nil {
			st.t.Fatal(err)
		}
		st.acked = append(st.acked, st.disk.steps())
	}
	st.waiting = nil
}

func (st *story) append(n int) {
	for range n {
		st.begin(1)
		st.wait()
	}
}

// compact covers all that was begun; some records may still be on their way.
func (st *story) compact() {
	mustCompact(st.t, st.store, strconv.Itoa(len(st.begun)))
}

// kill ends the process, not the power, and starts another.
func (st *story) kill() {
	disk := st.disk.kill()
	_ = st.store.Close() // its disk is dead
	st.disk = disk
	st.open()
}

// bounds are how many records must and may be found after a cut.
func (st *story) bounds(k int) (must, may int) {
	synced := k
	if st.opts != nil && st.opts.SyncEvery > 0 {
		synced = 0
		for i, o := range st.disk.ops[:k] {
			if o.kind == opSync && o.name == "twin" || o.kind == opSyncDir {
				synced = i
			}
		}
	}
	for i, at := range st.begun {
		if at <= k {
			may = i + 1
		}
		if i < len(st.acked) && st.acked[i] <= synced {
			must = i + 1
		}
	}
	return must, may
}

// found opens what a cut left and returns how many records are there; they
// must be the first ones, in order.
func found(d disk) (n int, s *Store, err error) {
	if s, err = openOn(d, nil); err != nil {
		return 0, nil, err
	}
	snapshot, records := s.Load()
	if len(snapshot) > 0 {
		if n, err = strconv.Atoi(string(snapshot)); err != nil {
			return 0, s, err
		}
	}
	for _, r := range records {
		if string(r) != record(n) {
			return n, s, fmt.Errorf("record %d is %q, want %q", n, r, record(n))
		}
		n++
	}
	return n, s, nil
}

// checkImage opens one image, checks it, and goes on with it: one more record
// must be found at the next opening.
func checkImage(d *fakeDisk, must, may int) error {
	n, s, err := found(d)
	if s != nil {
		defer s.Close()
	}
	if err != nil {
		return err
	}
	if n < must || n > may {
		return fmt.Errorf("found %d records, want %d to %d", n, must, may)
	}
	err = s.Append(context.Background(), []byte(record(n)))
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	again, s2, err := found(d)
	if s2 != nil {
		defer s2.Close()
	}
	if err == nil && (again != n+1 || s2.Damage() != nil) {
		err = fmt.Errorf("found %d records after one more than %d was appended, damage: %v", again, n, s2.Damage())
	}
	return err
}

// check cuts the power after each change of the disk, opens each of the disks
// that may be found then, and cuts the power again in the midst of that.
func (st *story) check() {
	t := st.t
	images, again := 0, 0
	for k := range len(st.disk.ops) + 1 {
		must, may := st.bounds(k)
		for what, files := range st.disk.crashAt(k).images() {
			images++
			d := newDisk(files)
			if err := checkImage(d, must, may); err != nil {
				t.Fatalf("cut after %d of %d changes, %s: %v", k, len(st.disk.ops), what, err)
			}
			if images%11 != 0 { // twice is slow; 11 meets all kinds
				continue
			}
			for k2 := range len(d.ops) {
				for what2, files2 := range d.crashAt(k2).images() {
					again++
					if err := checkImage(newDisk(files2), must, may+1); err != nil {
						t.Fatalf("cut after %d of %d changes, %s; then after %d of recovery, %s: %v", k, len(st.disk.ops), what, k2, what2, err)
					}
				}
			}
		}
	}
	t.Logf("%d changes of the disk, %d disks after one cut, %d after two", len(st.disk.ops), images, again)
	if images < 8*len(st.disk.ops) {
		t.Errorf("got only %d images of %d changes; the model does not bite", images, len(st.disk.ops))
	}
}

// TestPowerCut: a record whose Append returned is found after a power cut at
// any moment, in order, and nothing is found that was never begun.
func TestPowerCut(t *testing.T) {
	t.Run("appends", func(t *testing.T) {
		st := newStory(t, nil)
		st.append(12)
		mustClose(t, st.store)
		st.check()
	})
	t.Run("appends that share an fsync", func(t *testing.T) {
		st := newStory(t, nil)
		st.begin(5)
		st.wait()
		st.begin(4)
		st.wait()
		mustClose(t, st.store)
		st.check()
	})
	t.Run("compactions", func(t *testing.T) {
		st := newStory(t, nil)
		st.append(4)
		st.compact()
		st.append(3)
		st.compact()
		st.compact()
		st.append(2)
		mustClose(t, st.store)
		st.check()
	})
	t.Run("compactions among appends", func(t *testing.T) {
		st := newStory(t, nil)
		st.begin(4)
		st.compact()
		st.begin(3)
		st.wait()
		st.begin(2)
		st.compact()
		st.wait()
		st.burst(2, 3)
		mustClose(t, st.store)
		st.check()
	})
	t.Run("killed before, and opened again", func(t *testing.T) {
		st := newStory(t, nil)
		st.append(2)
		st.kill()
		st.append(2)
		st.compact()
		st.kill()
		st.append(1)
		st.kill()
		st.compact()
		st.append(2)
		mustClose(t, st.store)
		st.check()
	})
}

// TestPowerCutSyncEvery: what was synced is found, and what was not is lost
// from the end.
func TestPowerCutSyncEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStory(t, &Options{SyncEvery: time.Second})
		st.append(4)
		time.Sleep(2 * time.Second)
		st.append(3)
		st.compact()
		st.append(3)
		st.kill()
		st.append(3)
		time.Sleep(2 * time.Second)
		st.append(1)
		mustClose(t, st.store)
		st.check()
	})
}

// TestPowerCutWhileMending: the same where the store writes a new file, after
// an fsync that failed, of what it holds in memory and in the old one.
func TestPowerCutWhileMending(t *testing.T) {
	for _, more := range []opKind{opSync, opTruncate} {
		synctest.Test(t, func(t *testing.T) {
			st := newStory(t, &Options{SyncEvery: time.Second})
			st.compact()
			st.append(3)
			st.disk.setFault(func(o op) (int, error) {
				if o.name == "twin" && (o.kind == opSync || o.kind == more) {
					return 0, syscall.EIO
				}
				return 0, nil
			})
			time.Sleep(2 * time.Second)
			if st.store.Stats().Unsynced != 0 {
				t.Error("the store is not mended")
			}
			st.disk.setFault(nil)
			st.append(2)
			mustClose(t, st.store)
			st.check()
		})
	}
}

// TestPowerCutAfterKill: a process that was killed between rename and the
// fsync of the folder, or between write and fsync, leaves the next one a file
// that is only in the kernel; what the next one appends is safe all the same.
func TestPowerCutAfterKill(t *testing.T) {
	first := newStory(t, nil)
	first.append(3)
	first.compact()
	first.append(2)
	mustClose(t, first.store)
	for k := range len(first.disk.ops) {
		t.Run(fmt.Sprintf("killed after %d changes", k), func(t *testing.T) {
			d := newDisk(nil)
			d.names, d.ops = first.disk.namesAt(k), first.disk.ops[:k:k]
			n, s, err := found(d)
			if err != nil {
				t.Fatal(err)
			}
			opened := len(d.ops) // the next process knows of n records
			mustAppend(t, s, record(n))
			done := len(d.ops)
			mustClose(t, s)
			for _, at := range []struct{ k, must int }{{opened, n}, {done, n + 1}} {
				for what, files := range d.crashAt(at.k).images() {
					if err := checkImage(newDisk(files), at.must, n+1); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
				}
			}
		})
	}
}

// namesAt is the folder as the kernel had it after k changes, with the files
// as they were then; the changes so far speak of these files.
func (d *fakeDisk) namesAt(k int) map[string]*inode {
	c := d.crashAt(k)
	names := c.kernelNames()
	for _, ino := range names {
		ino.data = c.files[ino].kernel()
	}
	return names
}
