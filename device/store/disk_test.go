package store

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// A fakeDisk is a disk in memory that notes every change in order, so that a
// test can tell what a power cut at any moment may leave. See crash_test.go.
type fakeDisk struct {
	mu    sync.Mutex
	names map[string]*inode // as the kernel sees them
	start map[string]*inode // as at first
	ops   []op
	dead  bool // the process that used it was killed

	// fault, if not nil, is asked before each operation; for a write it may
	// also say how many bytes of it get through.
	fault func(o op) (n int, err error)
}

// An inode is a file without a name.
type inode struct {
	data  []byte // what the kernel has
	first []byte // what was durable when the disk was made
}

type opKind string

const (
	opCreate   opKind = "create" // a name for a new inode
	opRename   opKind = "rename"
	opRemove   opKind = "remove"
	opSyncDir  opKind = "syncdir"
	opOpen     opKind = "open" // for faults alone
	opWrite    opKind = "write"
	opTruncate opKind = "truncate"
	opSync     opKind = "sync"
)

// An op is one change of the disk.
type op struct {
	kind     opKind
	name, to string
	ino      *inode
	off      int64 // or the size to cut to
	data     []byte
}

// newDisk is a disk with files, all of them durable; nil for an empty one.
func newDisk(files map[string][]byte) *fakeDisk {
	d := &fakeDisk{names: map[string]*inode{}, start: map[string]*inode{}}
	for name, data := range files {
		d.names[name] = &inode{data: slices.Clone(data), first: data}
	}
	d.start = maps.Clone(d.names)
	return d
}

// diskWith is a disk with one file.
func diskWith(data []byte) *fakeDisk { return newDisk(map[string][]byte{"twin": data}) }

var errDead = errors.New("this process was killed")

// do makes a change: it asks for a fault, notes it and applies it.
func (d *fakeDisk) do(o op, apply func()) (n int, err error) {
	n = len(o.data)
	if d.dead {
		return 0, errDead
	}
	if d.fault != nil {
		if n, err = d.fault(o); err != nil {
			if o.kind != opWrite || n == 0 {
				return 0, err
			}
			o.data = o.data[:n]
		} else {
			n = len(o.data)
		}
	}
	if o.kind != opOpen {
		d.ops = append(d.ops, o)
	}
	if apply != nil {
		apply()
	}
	if o.kind == opWrite {
		o.ino.data = writeAt(o.ino.data, o.off, o.data)
	}
	return n, err
}

// writeAt is what pwrite does to a file.
func writeAt(data []byte, off int64, b []byte) []byte {
	if need := int(off) + len(b); need > len(data) {
		data = append(data, make([]byte, need-len(data))...)
	}
	copy(data[off:], b)
	return data
}

// resize is what ftruncate does to a file.
func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, int(size)-len(data))...)
}

func (d *fakeDisk) Open(name string, create bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.do(op{kind: opOpen, name: name}, nil); err != nil {
		return nil, err
	}
	ino, ok := d.names[name]
	var err error
	switch {
	case !ok && !create:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		ino = &inode{}
		_, err = d.do(op{kind: opCreate, name: name, ino: ino}, func() { d.names[name] = ino })
	case create:
		_, err = d.do(op{kind: opTruncate, name: name, ino: ino}, func() { ino.data = nil })
	}
	if err != nil {
		return nil, err
	}
	return &fakeFile{d: d, name: name, ino: ino}, nil
}

func (d *fakeDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ino, ok := d.names[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	_, err := d.do(op{kind: opRename, name: from, to: to, ino: ino}, func() {
		delete(d.names, from)
		d.names[to] = ino
	})
	return err
}

func (d *fakeDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.names[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	_, err := d.do(op{kind: opRemove, name: name}, func() { delete(d.names, name) })
	return err
}

func (d *fakeDisk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.do(op{kind: opSyncDir, name: name}, nil)
	return err
}

// kill makes the disk useless to the process that has it, and returns it for
// the next one: what was written stays written, and unsynced.
func (d *fakeDisk) kill() *fakeDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	return &fakeDisk{names: maps.Clone(d.names), start: d.start, ops: slices.Clone(d.ops)}
}

// steps is how many changes were made.
func (d *fakeDisk) steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ops)
}

// data is a file's bytes, nil for none.
func (d *fakeDisk) data(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ino, ok := d.names[name]; ok {
		return slices.Clone(ino.data)
	}
	return nil
}

// setFault sets fault while the disk may be in use.
func (d *fakeDisk) setFault(f func(op) (int, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// failing is a fault of every operation of a kind.
func failing(err error, kinds ...opKind) func(op) (int, error) {
	return func(o op) (int, error) {
		if slices.Contains(kinds, o.kind) {
			return 0, err
		}
		return 0, nil
	}
}

// fullAt is a disk with room for n more bytes of writes.
func fullAt(n int) func(op) (int, error) {
	return func(o op) (int, error) {
		if o.kind != opWrite || len(o.data) <= n {
			n -= len(o.data)
			return 0, nil
		}
		return n, syscall.ENOSPC
	}
}

// A fakeFile is an open file of a fakeDisk.
type fakeFile struct {
	d    *fakeDisk
	name string
	ino  *inode
}

func (f *fakeFile) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if off >= int64(len(f.ino.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.ino.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *fakeFile) Seek(offset int64, whence int) (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if offset != 0 || whence != io.SeekEnd {
		return 0, errors.ErrUnsupported
	}
	return int64(len(f.ino.data)), nil
}

func (f *fakeFile) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.do(op{kind: opWrite, name: f.name, ino: f.ino, off: off, data: slices.Clone(b)}, nil)
}

func (f *fakeFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	_, err := f.d.do(op{kind: opTruncate, name: f.name, ino: f.ino, off: size}, func() { f.ino.data = resize(f.ino.data, size) })
	return err
}

func (f *fakeFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	_, err := f.d.do(op{kind: opSync, name: f.name, ino: f.ino}, nil)
	return err
}

func (f *fakeFile) Close() error { return nil }
