package store

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A journal is the file, and what is known of it. One goroutine owns it: the
// caller of Open, then the writer. Its methods do I/O and know no lock.
type journal struct {
	disk disk
	path string
	id   auth.Identity
	max  int64

	file   file // nil only in a broken journal
	tag    tag
	next   uint32 // number of the next record
	base   int64  // where the header and the snapshot end
	end    int64  // where the log ends: all of it written whole
	synced int64  // up to where an fsync has succeeded
	broken error  // matches ErrBroken; only compact mends it
	stats  Stats

	buf     []byte // frames of the batch that is being gathered
	batched uint32 // how many they are
}

// keepBuf is how much of buf outlives a batch.
const keepBuf = 16 << 10

// add gathers records for the next write, all or none.
func (j *journal) add(records [][]byte) error {
	if j.broken != nil {
		return j.broken
	}
	if size := framed(records); j.end+int64(len(j.buf))+size > j.max {
		return fmt.Errorf("%w: %d bytes more would pass Options.MaxSize, %d; Compact first", ErrFull, size, j.max)
	}
	for _, r := range records {
		j.buf = appendFrame(j.buf, j.tag, j.next+j.batched, r)
		j.buf = append(j.buf, r...)
		j.batched++
	}
	return nil
}

// framed is what records take in the log.
func framed(records [][]byte) (size int64) {
	for _, r := range records {
		size += int64(frameLen + len(r))
	}
	return size
}

// write hands what was gathered to the kernel, all of it or none.
func (j *journal) write() error {
	buf, n := j.buf, j.batched
	if j.buf, j.batched = buf[:0], 0; cap(buf) > keepBuf {
		j.buf = nil
	}
	if n == 0 {
		return nil
	}
	done, err := j.file.WriteAt(buf, j.end)
	j.stats.Bytes += int64(done)
	if err == nil {
		j.end += int64(len(buf))
		j.next += n
		j.stats.Records += int64(n)
		return nil
	}
	err = whyNot("append", err)
	if cut := j.file.Truncate(j.end); cut != nil {
		j.broken = fmt.Errorf("%w: a partial record could not be cut off: %w", ErrBroken, cut)
		return fmt.Errorf("%w; then: %w", err, j.broken)
	}
	return err
}

// sync makes everything written durable. After a failed fsync the kernel may
// hold pages for clean that never reached the flash, and the next fsync may
// succeed without them; so there is no next one for this file. (PostgreSQL
// learned that in 2018: https://wiki.postgresql.org/wiki/Fsync_Errors.)
func (j *journal) sync() error {
	if j.broken != nil || j.synced == j.end {
		return j.broken
	}
	err := j.file.Sync()
	j.stats.Syncs++
	if err == nil {
		j.synced = j.end
		return nil
	}
	j.broken = fmt.Errorf("%w: fsync: %w", ErrBroken, err)
	// Should the process end before a Compact, its successor must not build
	// upon pages that are perhaps in the cache only. As good as we can.
	if j.file.Truncate(j.synced) == nil {
		j.end = j.synced
	}
	return j.broken
}

// compact replaces the file by one that holds the snapshot alone.
func (j *journal) compact(snapshot []byte) error {
	head, t := appendHeader(nil, j.id, rand.Uint64())
	head = appendFrame(head, t, 0, snapshot)
	size := int64(len(head) + len(snapshot))
	if size > j.max {
		return fmt.Errorf("%w: a snapshot of %d bytes would pass Options.MaxSize, %d", ErrFull, len(snapshot), j.max)
	}
	if err := j.replace(j.path, head, snapshot); err != nil {
		return err
	}
	j.tag, j.next = t, 1
	j.base, j.end, j.synced = size, size, size
	j.stats.Compactions++
	return j.reopen()
}

// reopen gets hold of the file that now has the name, whose end is known.
// Without it the journal is broken.
func (j *journal) reopen() (err error) {
	j.broken = nil
	if j.file, err = j.disk.open(j.path, false); err != nil {
		j.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return j.broken
}

// replace writes a new file and gives it a name, atomically: whatever has that
// name before stays whole until the new file is whole and on flash. The
// journal's own file is closed for it, as Windows renames over no open file.
func (j *journal) replace(name string, parts ...[]byte) error {
	tmp := j.path + newSuffix
	err := j.writeFile(tmp, parts)
	if err != nil {
		_ = j.disk.remove(tmp) // else Open does
		return whyNot("write "+tmp, err)
	}
	own := name == j.path && j.file != nil
	if own {
		_ = j.file.Close() // what of it is not synced, the new file covers
		j.file = nil
	}
	if err = j.disk.rename(tmp, name); err != nil {
		_ = j.disk.remove(tmp) // else Open does
		err = whyNot("rename "+tmp, err)
		if own && j.broken == nil {
			return errors.Join(err, j.reopen())
		}
		return err
	}
	err = j.disk.syncDir(name)
	j.stats.Syncs++
	if err == nil {
		return nil
	}
	// After a power cut either file may have the name. Both are good, but
	// nothing that is appended to the new one is safe.
	err = whyNot("fsync of the folder", err)
	if name == j.path {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
		j.broken = err
	}
	return err
}

// writeFile writes a file and syncs it.
func (j *journal) writeFile(name string, parts [][]byte) error {
	f, err := j.disk.open(name, true)
	if err != nil {
		return err
	}
	off := int64(0)
	for _, b := range parts {
		if err == nil {
			_, err = f.WriteAt(b, off)
			off += int64(len(b))
		}
	}
	if err == nil {
		j.stats.Bytes += off
		j.stats.Syncs++
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// close ends the journal, synced if that can be.
func (j *journal) close() error {
	err := j.sync()
	if j.file != nil {
		if e := j.file.Close(); err == nil && e != nil {
			err = fmt.Errorf("close: %w", e)
		}
		j.file = nil
	}
	return err
}

// needsCompaction reports whether the log has grown past what is sensible.
func (j *journal) needsCompaction() bool {
	const little = 64 << 10 // not worth the wear of a new file
	used, room := j.end-j.base, j.max-j.base
	return j.broken != nil || j.end > max(little, 4*j.base) || used > room/4*3
}

// whyNot wraps an error of the file system, and says whether the disk is full.
func whyNot(what string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %s: %w", ErrFull, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
