package store

import (
	"fmt"
	"io"
	"os"
)

// A disk is what the store asks of a file system; tests have one that loses
// and tears what was not synced.
type disk interface {
	// open opens a file to read and write, and makes it with mode 0600, empty,
	// if create is set.
	open(name string, create bool) (file, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes the names in the folder of a file durable.
	syncDir(name string) error
}

// A file is the part of *os.File that the store uses.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker // to its end, for its size
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) open(name string, create bool) (file, error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) remove(name string) error     { return os.Remove(name) }
func (osDisk) syncDir(name string) error    { return syncDir(name) }

// readFile reads a file that may have limit bytes at most.
func readFile(d disk, name string, limit int64) ([]byte, error) {
	f, err := d.open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, which is more than four times Options.MaxSize; raise that, or move the file away", name, size)
	}
	b := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, size), b)
	return b, err
}
