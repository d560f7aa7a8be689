package store

import (
	"fmt"
	"io"
	"os"

	"github.com/devicetwin/devicetwin-go/device/internal/flash"
)

// A disk is what the store asks of a file system; tests have one that loses
// and tears what was not synced.
type (
	disk = flash.Disk
	file = flash.File
	seam = flash.Seam
)

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) Open(name string, create bool) (file, error) {
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

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) Remove(name string) error     { return os.Remove(name) }
func (osDisk) SyncDir(name string) error    { return syncDir(name) }

// readFile reads a file that may have limit bytes at most.
func readFile(d disk, name string, limit int64) ([]byte, error) {
	f, err := d.Open(name, false)
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
