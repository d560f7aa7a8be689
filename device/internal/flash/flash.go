// Package flash is what package device/store asks of a file system. The tests of
// package device have a store on a disk of their own, which loses what was not
// synced.
package flash

import "io"

// A Disk has files.
type Disk interface {
	// Open opens a file to read and write. If create is set, it makes the file
	// with mode 0600 and empty.
	Open(name string, create bool) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in the folder of a file durable.
	SyncDir(name string) error
}

// A File is the part of *os.File that a store uses.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker // to its end, for its size
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// A Seam is the part of store.Options that only tests set.
type Seam struct {
	// Disk, if not nil, is used in place of the operating system's, without a
	// lock.
	Disk Disk
}
