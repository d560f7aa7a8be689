package device_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/flash"
)

// A badFlash is a disk in memory, in a weather that may change at any time. A
// power cut leaves what was synced, and any beginning of the rest.
type badFlash struct {
	mu      sync.Mutex
	names   map[string]*flashFile // as the kernel has them
	durable map[string]*flashFile
	weather weather
	lied    bool // a sync of the folder returned, and did nothing
	dead    bool
	written int // bytes
}

// weather is how a badFlash does.
type weather struct {
	slow  time.Duration // of each operation that writes
	fails []string      // operations
	lies  bool          // a sync returns nil, and does nothing
}

type flashFile struct {
	data, durable []byte
	lied          bool
}

var errFlashDead = errors.New("the power is off")

func newFlash() *badFlash {
	return &badFlash{names: map[string]*flashFile{}, durable: map[string]*flashFile{}}
}

func (d *badFlash) turn(w weather) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.weather = w
}

// do performs an operation in today's weather.
func (d *badFlash) do(op string, f func() error) error {
	d.mu.Lock()
	slow := d.weather.slow
	d.mu.Unlock()
	if slow > 0 && op != "open" && op != "read" {
		time.Sleep(slow)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dead:
		return errFlashDead
	case slices.Contains(d.weather.fails, op):
		return syscall.EIO
	}
	return f()
}

func (d *badFlash) Open(name string, create bool) (flash.File, error) {
	op := "open"
	if create {
		op = "create"
	}
	var file *openFlash
	err := d.do(op, func() error {
		f := d.names[name]
		switch {
		case f == nil && !create:
			return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		case f == nil:
			f = &flashFile{}
			d.names[name] = f
		case create:
			f.data = nil
		}
		file = &openFlash{d, f}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (d *badFlash) Rename(from, to string) error {
	return d.do("rename", func() error {
		f := d.names[from]
		if f == nil {
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		}
		delete(d.names, from)
		d.names[to] = f
		return nil
	})
}

func (d *badFlash) Remove(name string) error {
	return d.do("remove", func() error {
		if d.names[name] == nil {
			return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
		}
		delete(d.names, name)
		return nil
	})
}

func (d *badFlash) SyncDir(string) error {
	return d.do("sync", func() error {
		if d.lied = d.weather.lies; !d.lied {
			d.durable = maps.Clone(d.names)
		}
		return nil
	})
}

// cut ends the power: the disk is dead for who has it. It returns the disk as
// the next start finds it, and whether something is gone that a sync had
// promised.
func (d *badFlash) cut(rnd *rand.Rand) (next *badFlash, lied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	next = newFlash()
	next.written = d.written
	names := d.names
	if rnd.IntN(2) == 0 {
		names = d.durable
	}
	lied = d.lied
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := names[name]
		lied = lied || f.lied
		data := slices.Clone(f.durable)
		if n := len(f.data) - len(data); n > 0 && string(f.data[:len(data)]) == string(data) {
			data = slices.Clone(f.data[:len(data)+rnd.IntN(n+1)])
		}
		next.names[name] = &flashFile{data: data, durable: slices.Clone(data)}
	}
	next.durable = maps.Clone(next.names)
	return next, lied
}

func (d *badFlash) wrote() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written
}

type openFlash struct {
	d *badFlash
	f *flashFile
}

func (o *openFlash) ReadAt(b []byte, off int64) (n int, err error) {
	err = o.d.do("read", func() error {
		if off < int64(len(o.f.data)) {
			n = copy(b, o.f.data[off:])
		}
		if n < len(b) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (o *openFlash) Seek(_ int64, _ int) (n int64, err error) {
	err = o.d.do("read", func() error { n = int64(len(o.f.data)); return nil })
	return n, err
}

func (o *openFlash) WriteAt(b []byte, off int64) (int, error) {
	err := o.d.do("write", func() error {
		o.f.resize(max(off+int64(len(b)), int64(len(o.f.data))))
		copy(o.f.data[off:], b)
		o.d.written += len(b)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *flashFile) resize(size int64) {
	if n := size - int64(len(f.data)); n > 0 {
		f.data = append(f.data, make([]byte, n)...)
	}
	f.data = f.data[:size:size]
}

func (o *openFlash) Truncate(size int64) error {
	return o.d.do("truncate", func() error { o.f.resize(size); return nil })
}

func (o *openFlash) Sync() error {
	return o.d.do("sync", func() error {
		if o.f.lied = o.d.weather.lies; !o.f.lied {
			o.f.durable = slices.Clone(o.f.data)
		}
		return nil
	})
}

func (o *openFlash) Close() error { return nil }
