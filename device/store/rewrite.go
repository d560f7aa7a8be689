package store

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// claim writes the ids of the first claim into a new file, and compares those
// of later ones.
func (j *journal) claim(id auth.Identity) error {
	if j.id.DeviceID != "" {
		return checkOwner(j.id, id)
	}
	j.id = auth.Identity{DeviceID: id.DeviceID, ModuleID: id.ModuleID}
	err := j.rewrite(nil, nil)
	if err != nil && j.broken == nil {
		j.id = auth.Identity{} // the new file did not get its name
	}
	return err
}

// compact replaces the file by one that holds the snapshot alone.
func (j *journal) compact(snapshot []byte) error {
	if j.id.DeviceID == "" {
		return errUnclaimed
	}
	if headerSize(j.id)+frameLen+int64(len(snapshot)) > j.max {
		return fmt.Errorf("%w: a snapshot of %d bytes would pass Options.MaxSize, %d", ErrFull, len(snapshot), j.max)
	}
	err := j.rewrite(snapshot, nil)
	if err == nil {
		j.stats.Compactions++
	}
	return err
}

// mend replaces the file of a broken journal by one with the same contents,
// including the records that were acknowledged and never synced.
func (j *journal) mend() error {
	was := j.broken
	c, err := j.contents()
	if err == nil {
		err = j.rewrite(c.snapshot, c.records)
	}
	if err != nil {
		err = fmt.Errorf("%w; then: %w", was, errtext.Bare("store", err))
	}
	return err
}

// contents reads the log back.
func (j *journal) contents() (contents, error) {
	if j.id.DeviceID == "" {
		return contents{}, nil
	}
	b, err := readHead(j.disk, j.path, j.synced, len(j.tail))
	if err != nil {
		return contents{}, fmt.Errorf("read back: %w", err)
	}
	c, err := parse(append(b, j.tail...), j.id)
	switch {
	case err != nil:
	case c.damage != nil:
		err = fmt.Errorf("at byte %d: %w", c.good, c.damage)
	case c.tag != j.tag:
		err = errors.New("another file has its name")
	}
	if err != nil {
		return contents{}, fmt.Errorf("read back %s: %w", j.path, err)
	}
	return c, nil
}

// readHead reads the first n bytes of a file, into a slice with room for more.
func readHead(d disk, name string, n int64, more int) ([]byte, error) {
	f, err := d.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, n, n+int64(more))
	_, err = io.ReadFull(io.NewSectionReader(f, 0, n), b)
	return b, err
}

// rewrite replaces the file by one that holds a snapshot and records.
func (j *journal) rewrite(snapshot []byte, records [][]byte) error {
	head, t := appendHeader(nil, j.id, rand.Uint64())
	base := int64(len(head) + frameLen + len(snapshot))
	size := base + framed(records)
	renamed, err := j.replace(j.path, frames(head, t, snapshot, records))
	if renamed {
		j.tag, j.next = t, uint32(len(records))+1
		j.base, j.end, j.synced = base, size, size
		j.tail = nil
	}
	if err != nil {
		return err
	}
	j.allDurable()
	return j.reopen()
}

// frames yields the bytes of a file, in parts of some size.
func frames(head []byte, t tag, snapshot []byte, records [][]byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !yield(appendFrame(head, t, 0, snapshot)) || !yield(snapshot) {
			return
		}
		var buf []byte
		for i, r := range records {
			buf = append(appendFrame(buf, t, uint32(i)+1, r), r...)
			if len(buf) >= keepBuf {
				if !yield(buf) {
					return
				}
				buf = buf[:0]
			}
		}
		if len(buf) > 0 {
			yield(buf)
		}
	}
}

// reopen gets hold of the file that now has the name, whose end is known.
// Without it the journal is broken.
func (j *journal) reopen() (err error) {
	j.broken = nil
	if j.file, err = j.disk.Open(j.path, false); err != nil {
		j.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return j.broken
}

// replace writes a new file and gives it a name, atomically: whatever has that
// name before stays whole until the new file is whole and on flash. The
// journal's own file is closed for it, as Windows renames over no open file.
// renamed reports whether the kernel has the new file under the name.
func (j *journal) replace(name string, parts iter.Seq[[]byte]) (renamed bool, err error) {
	tmp := j.path + newSuffix
	if err = j.writeFile(tmp, parts); err != nil {
		_ = j.disk.Remove(tmp) // else Open does
		return false, whyNot("write "+tmp, err)
	}
	own := name == j.path && j.file != nil
	if own {
		_ = j.file.Close() // what of it is not synced, the new file covers
		j.file = nil
	}
	if err = j.disk.Rename(tmp, name); err != nil {
		_ = j.disk.Remove(tmp) // else Open does
		err = whyNot("rename "+tmp, err)
		if own && j.broken == nil {
			err = errors.Join(err, j.reopen())
		}
		return false, err
	}
	err = j.disk.SyncDir(name)
	j.stats.Syncs++
	if err == nil {
		return true, nil
	}
	// After a power cut either file may have the name. Both are good, but
	// nothing that is appended to the new one is safe.
	err = whyNot("fsync of the folder", err)
	if name == j.path {
		err = fmt.Errorf("%w: %w", ErrBroken, err)
		j.broken = err
	}
	return true, err
}

// writeFile writes a file and syncs it.
func (j *journal) writeFile(name string, parts iter.Seq[[]byte]) error {
	f, err := j.disk.Open(name, true)
	if err != nil {
		return err
	}
	off := int64(0)
	for b := range parts {
		if _, err = f.WriteAt(b, off); err != nil {
			break
		}
		off += int64(len(b))
	}
	if err == nil {
		j.stats.Bytes += off
		j.stats.Syncs++
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// whyNot wraps an error of the file system, and says whether the disk is full.
func whyNot(what string, err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %s: %w", ErrFull, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
