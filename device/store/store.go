package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A Store is a file on flash that device.Options.Store takes. A client writes it.
// All methods may be called concurrently. A Store has one goroutine, from Open to
// Close. The methods of a nil *Store return zero.
type Store struct{ log *logStore }

// ForClient returns what a client does with the store.
func (s *Store) ForClient(own.Key) keep.Store { return s.inner() }

// inner is nil for a nil Store.
func (s *Store) inner() *logStore {
	if s == nil {
		return nil
	}
	return s.log
}

// Damage is what Open found wrong with the file, a *DamageError, or nil.
func (s *Store) Damage() error { return s.inner().Damage() }

// Size is the size of the file in bytes.
func (s *Store) Size() int64 { return s.inner().Size() }

// Stats counts what was done since Open, Open included.
func (s *Store) Stats() Stats { return s.inner().Stats() }

// Close finishes what was begun, syncs, unlocks, and waits for the store's
// goroutine. It takes as long as the flash does. Its error says that the last
// fsync failed, or that the store was broken. Every call of Close returns the
// same. Close the clients that use the store first. A nil *Store is closed already.
func (s *Store) Close() error { return s.inner().Close() }

// A logStore is a log of records on flash, and the snapshot that it begins with.
// All methods may be called concurrently. Those of a nil *logStore return
// errNoStore, or zero.
type logStore struct {
	path    string
	every   time.Duration
	max     int64
	log     *slog.Logger
	damage  error // set by Open
	lock    io.Closer
	journal *journal      // the writer's
	wake    chan struct{} // capacity 1: the queue has something, or Close was called
	done    chan struct{} // closed when the writer has ended

	mu       sync.Mutex    // held for moments, never across I/O
	found    *contents     // for Load, or nil once Load was called, or something was written
	unread   error         // of a Load that failed: what is there must not be overwritten
	owner    auth.Identity // as in the file. DeviceID is empty before the first claim
	claim    *claim        // nil if nobody holds one
	queue    []*pending    // in the order of the log
	queued   int64         // bytes in queue and in the writer's hands
	compacts int           // compactions among them
	closing  bool
	state    view
	closeErr error // set before done is closed
}

// A view is what the writer last told of the journal.
type view struct {
	size  int64
	needs bool
	stats Stats
}

// Stats count what a store did since Open: wear of the flash, above all.
type Stats struct {
	// Records is the number of records written.
	Records int64
	// Bytes is the number of bytes written to files: records with their
	// frames, snapshots, headers, and copies of damaged files. A flash writes
	// whole pages, and a file system its own notes: count a page or two for
	// each of Syncs beside it.
	Bytes int64
	// Syncs is the number of calls of fsync, for files and folders.
	Syncs int64
	// Compactions is the number of successful Compacts.
	Compactions int64
	// UnsyncedSince is when the oldest of the acknowledged records was written
	// that are not durable yet, and Unsynced counts the bytes of all of them.
	// Both are zero where Options.SyncEvery is. Where UnsyncedSince is longer
	// ago than SyncEvery the disk is slow or failing.
	UnsyncedSince time.Time
	Unsynced      int64
}

// Open opens the store at a path, or makes it, with mode 0600; the folder must
// exist and be writable. Beside path it uses path+".lock", ".new" and
// ".corrupt". The store is the identity's device's and module's own; the host
// may change. Options may be nil.
//
// The zero Identity is for a device that is yet to be provisioned: the store
// has the ids that its file holds, or those of its first client, before which
// it makes no file.
//
// Open returns when all that it found is durable, cut to what is whole: see
// Damage. Its errors match ErrLocked, ErrForeign or ErrNewer, or say
// what the file system said, and leave the store's file as it was found, but
// for what the damage made necessary. A client can go on without a store after
// any of them.
func Open(path string, id auth.Identity, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, errtext.Bare("store", err))
	}
	if o.Disk != nil {
		s, err := open(o.Disk, path, id, o)
		if err != nil {
			return nil, err
		}
		return &Store{s}, nil
	}
	if path, err = wholePath(path); err != nil {
		return nil, openError(path, err)
	}
	lock, err := lockFile(path + lockSuffix)
	if err != nil {
		return nil, openError(path, err)
	}
	s, err := open(osDisk{}, path, id, o)
	if err != nil {
		_ = lock.Close() // nothing was written to it
		return nil, err
	}
	s.lock = lock
	return &Store{s}, nil
}

// wholePath is a path that stays right when the program changes its folder,
// and at which rename replaces the file and not a link to it.
func wholePath(path string) (string, error) {
	if path == "" {
		return path, errors.New("the path is empty")
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return path, errors.New("it is a folder or a device, and no file")
	}
	return filepath.Abs(path)
}

// checkID checks the lengths of the ids. Its error matches auth.ErrInvalid.
func checkID(id auth.Identity) error {
	if id.DeviceID == "" || len(id.DeviceID) > maxID || len(id.ModuleID) > maxID {
		return fmt.Errorf("store: %w: a device id has 1 to %d bytes, a module id %d at most", errtext.Bare("auth", auth.ErrInvalid), maxID, maxID)
	}
	return nil
}

// open is Open on any disk, without a lock. o has its defaults.
func open(d disk, path string, id auth.Identity, o Options) (*logStore, error) {
	if err := checkID(id); err != nil && id != (auth.Identity{}) {
		return nil, openError(path, err)
	}
	j, found, damage, err := openJournal(d, path, id, o.MaxSize)
	if err != nil {
		if j != nil && j.file != nil {
			_ = j.file.Close() // the first error counts
		}
		return nil, openError(path, err)
	}
	s := &logStore{
		path: path, every: o.SyncEvery, max: o.MaxSize, log: o.Logger.With("store", path),
		journal: j, wake: make(chan struct{}, 1), done: make(chan struct{}),
		found: &found, owner: j.id,
	}
	j.lazy = o.SyncEvery > 0
	if damage != nil {
		s.damage = damage
		s.log.Warn("the store was damaged; what was whole is in use", "torn", damage.Torn, "offset", damage.Offset,
			"dropped", damage.Dropped, "kept", damage.Kept, "err", damage.Err)
	}
	s.publish()
	go s.run()
	return s, nil
}

// Damage is what Open found wrong with the file, a *DamageError, or nil.
func (s *logStore) Damage() error {
	if s == nil {
		return nil
	}
	return s.damage
}

// Size is the size of the file in bytes.
func (s *logStore) Size() int64 { return s.view().size }

// NeedsCompaction reports whether a Compact is due: the file is larger than
// 64 KiB and than four times its snapshot, or three quarters of the room that
// Options.MaxSize leaves beside the snapshot are taken, or the store is broken.
// While a Compact is under way no other is due.
func (s *logStore) NeedsCompaction() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.needs && s.compacts == 0
}

// Stats counts what was done since Open, Open included.
func (s *logStore) Stats() Stats { return s.view().stats }

func (s *logStore) view() view {
	if s == nil {
		return view{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Close finishes what was begun, syncs, unlocks, and waits for the store's
// goroutine; what is begun later fails with errClosed. It takes as long as the
// flash does. Its error says that the last fsync failed, or that the store was
// broken. Every call of Close returns the same. Close the clients that use the
// store first. A nil *Store is closed already.
func (s *logStore) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.poke()
	<-s.done
	return s.closeErr
}
