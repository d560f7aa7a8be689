package store

import (
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// A journal is the file, and what is known of it. One goroutine owns it: the
// caller of Open, then the writer. Its methods do I/O and know no lock.
type journal struct {
	disk disk
	path string
	id   auth.Identity // DeviceID is empty until the first claim
	max  int64
	lazy bool // records are acknowledged before their fsync: Options.SyncEvery

	file   file // nil only in a broken journal
	tag    tag
	next   uint32 // number of the next record
	base   int64  // where the header and the snapshot end
	end    int64  // where the log ends: all of it written whole
	synced int64  // up to where an fsync has succeeded
	broken error  // matches ErrBroken. Only a new file mends it
	stats  Stats

	// Of a lazy journal: tail is what is in the log behind synced, so that a
	// failed fsync costs none of it. since and waiting are those of Stats.
	tail    []byte
	since   time.Time
	waiting int64
	took    time.Duration // by the last fsync

	buf     []byte // frames of the batch that is being gathered
	batched uint32 // how many they are
}

// keepBuf is how much of buf outlives a batch.
const keepBuf = 16 << 10

// maxTail bounds the bytes that are acknowledged before their fsync.
const maxTail = 64 << 10

// usable returns nil if the log can be appended to.
func (j *journal) usable() error {
	if j.id.DeviceID == "" {
		return errUnclaimed
	}
	return j.broken
}

// add gathers records for the next write, all or none.
func (j *journal) add(records [][]byte) error {
	if err := j.usable(); err != nil {
		return err
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

// write hands the gathered records to the kernel, all or none, and syncs them
// unless the journal is lazy and has room in its tail.
func (j *journal) write() error {
	buf, n, begun := j.buf, j.batched, time.Now()
	if j.buf, j.batched = buf[:0], 0; cap(buf) > keepBuf {
		j.buf = nil
	}
	if n == 0 {
		return nil
	}
	done, err := j.file.WriteAt(buf, j.end)
	j.stats.Bytes += int64(done)
	if err != nil {
		err = whyNot("append", err)
		if cut := j.file.Truncate(j.end); cut != nil {
			j.broken = fmt.Errorf("%w: a partial record could not be cut off: %w", ErrBroken, cut)
			return fmt.Errorf("%w; then: %w", err, errtext.Bare("store", j.broken))
		}
		return err
	}
	j.end += int64(len(buf))
	j.next += n
	j.stats.Records += int64(n)
	if !j.lazy || len(j.tail)+len(buf) > maxTail {
		return j.sync() // an error leaves tail as it is, without buf
	}
	if j.tail = append(j.tail, buf...); j.since.IsZero() {
		j.since = begun
	}
	j.waiting += int64(len(buf))
	return nil
}

// sync makes everything written durable. After a failed fsync the kernel may
// hold pages for clean that never reached the flash, and the next fsync may
// succeed without them; so there is no next one for this file. (PostgreSQL
// learned that in 2018: https://wiki.postgresql.org/wiki/Fsync_Errors.)
func (j *journal) sync() error {
	if j.broken != nil || j.synced == j.end {
		return j.broken
	}
	begun := time.Now()
	err := j.file.Sync()
	j.stats.Syncs++
	j.took = time.Since(begun)
	if err == nil {
		j.synced = j.end
		j.allDurable()
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

// allDurable notes that no acknowledged record waits for an fsync.
func (j *journal) allDurable() {
	j.since, j.waiting = time.Time{}, 0
	if j.tail = j.tail[:0]; cap(j.tail) > keepBuf {
		j.tail = nil
	}
}

// syncBy returns when a lazy journal is to be synced, or, where it is broken,
// that it is to be mended; ok is false if there is nothing to do. The time
// that an fsync takes is taken off.
func (j *journal) syncBy(every time.Duration) (at time.Time, ok bool) {
	switch {
	case !j.lazy:
		return at, false
	case j.broken != nil:
		return at, true
	}
	return j.since.Add(every - min(j.took, every/2)), !j.since.IsZero()
}

// flush makes everything durable, by a new file if the old one is broken and
// holds acknowledged records.
func (j *journal) flush() error {
	err := j.sync()
	if err != nil && j.lazy {
		err = j.mend()
	}
	return err
}

// close ends the journal, synced if that can be.
func (j *journal) close() error {
	err := j.flush()
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
