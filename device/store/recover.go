package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

// The names beside the store's own.
const (
	lockSuffix    = ".lock"    // what is locked; empty, and never removed
	newSuffix     = ".new"     // being written, to replace a file
	corruptSuffix = ".corrupt" // the last file found damaged
)

// openJournal opens the file, or makes it, and deals with what the end of the
// last process or a power cut left behind. A power cut in the midst of that
// leaves no other work to the next. With the zero Identity the file's own ids
// count, and where there are none no file is made.
func openJournal(d disk, path string, id auth.Identity, limit int64) (*journal, contents, *DamageError, error) {
	j := &journal{disk: d, path: path, id: id, max: limit}
	b, err := readFile(d, path, 4*limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, contents{}, nil, err
	}
	if len(b) == 0 { // new, or power failed before our time
		return j, contents{}, nil, j.create()
	}
	c, err := parse(b, id)
	if err != nil {
		return nil, contents{}, nil, err
	}
	if err := d.Remove(path + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, contents{}, nil, err
	}
	if id.DeviceID == "" {
		j.id = c.owner
	}
	damage := j.setAside(c, b)
	if c.good == 0 {
		return j, contents{}, damage, j.create()
	}
	return j, c, damage, j.resume(c)
}

// create makes an empty store, or leaves that to the first claim.
func (j *journal) create() error {
	if j.id.DeviceID == "" {
		return nil
	}
	return j.rewrite(nil, nil)
}

// setAside tells of damage, if there is any, and keeps a copy of a file in
// which it is more than a torn end. A full disk must not end a device's memory,
// so it goes on without a copy, and says so.
func (j *journal) setAside(c contents, b []byte) *DamageError {
	if c.damage == nil {
		return nil
	}
	damage := &DamageError{Path: j.path, Offset: c.good, Dropped: int64(len(b)) - c.good, Torn: c.torn, Err: c.damage}
	if c.torn {
		return damage
	}
	if _, err := j.replace(j.path+corruptSuffix, slices.Values([][]byte{b})); err != nil {
		damage.Err = fmt.Errorf("%w (and no copy could be kept: %w)", c.damage, err)
		return damage
	}
	damage.Kept = j.path + corruptSuffix
	return damage
}

// resume goes on with a file that was read. What is in it may be in the
// kernel's memory only, where the last process was killed, and so may its
// name: from here on both count as durable, so they are made so.
func (j *journal) resume(c contents) error {
	f, err := j.disk.Open(j.path, false)
	if err != nil {
		return err
	}
	j.file, j.tag, j.next = f, c.tag, uint32(len(c.records))+1
	j.base = c.header + frameLen + int64(len(c.snapshot))
	j.end = c.good
	if c.damage != nil {
		if err := f.Truncate(c.good); err != nil {
			return err
		}
	}
	j.stats.Syncs += 2
	if err := f.Sync(); err != nil {
		return fmt.Errorf("fsync: %w", err)
	}
	j.synced = j.end
	return j.disk.SyncDir(j.path)
}

// openError wraps an error of Open, with what to do about the likely ones.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("store: open %s: %w; it needs a folder that can be written to", path, errtext.Bare("store", err))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("store: open %s: %w; it needs to read, write and rename files in that folder", path, errtext.Bare("store", err))
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: open %s: %w; the folder must exist", path, errtext.Bare("store", err))
	}
	return fmt.Errorf("store: open %s: %w", path, errtext.Bare("store", err))
}
