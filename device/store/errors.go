package store

import (
	"errors"
	"fmt"
)

// What Open can meet besides the errors of the file system.
var (
	// ErrLocked says that the store is open already, in another process or in
	// this one.
	ErrLocked = errors.New("store: open elsewhere; close the other user, or give each its own path")
	// ErrForeign says that the file belongs to another device or module, or is
	// no store at all. It was not touched. A client's Connect returns it, too.
	ErrForeign = errors.New("store: the file is not this device's store; give each device its own path, or remove the file if it is not wanted")
	// ErrNewer says that a newer version of this library wrote the file, as
	// after an A/B rollback of the firmware. It was not touched: go on without
	// a store, and the newer firmware will find its own again.
	ErrNewer = errors.New("store: written by a newer version; go on without it, and it stays as it is")
)

// What a client can meet when it starts, besides ErrForeign and the errors of the file system.
var (
	// ErrInUse says that another user holds the claim on the store.
	ErrInUse = errors.New("store: in use; release it first, or give each client its own store")
	// errNoStore is the error of a nil *Store. It matches
	// errors.ErrUnsupported, by which a client knows that it has no store.
	errNoStore = fmt.Errorf("store: there is no store, only a nil *Store; use what Open returned without an error: %w", errors.ErrUnsupported)
)

// What a write can meet. A client matches device.ErrNotStored, too, where a report
// is concerned.
var (
	// ErrFull says that there is no room: the record would pass
	// Options.MaxSize, or the disk is full or over its quota, and then the
	// file system's error is matched, too. The log is as it was before.
	// The client's next snapshot makes room in the first case; in the second it may.
	ErrFull = errors.New("store: full")
	// ErrBroken says that the store cannot vouch for its file: an fsync
	// failed, after which nobody knows which pages are on flash, or a partial
	// record could not be cut off. Everything whose Append had returned nil is
	// still there. A Compact that succeeds mends the store, for it writes a new
	// file. With Options.SyncEvery the store tries to write one by itself.
	ErrBroken = errors.New("store: broken until a new file is written")
	// errUnclaimed says that a store that was opened with the zero Identity
	// does not know its device yet. The first Claim gives it one.
	errUnclaimed = errors.New("store: no device yet; claim it first")
	// errClosed says that the store was closed.
	errClosed = errors.New("store: closed")
)

// A DamageError tells of damage that Open found in the file and survived.
type DamageError struct {
	// Path is the file.
	Path string
	// Offset is where the damage begins, in bytes. What stood before it is in
	// use; 0 means that nothing was usable and the store began anew.
	Offset int64
	// Dropped is the number of bytes from Offset to the end of the file: they
	// are no longer in it.
	Dropped int64
	// Torn says that no good record follows the damage, as where power failed
	// while the last records were being written. Their Append hadn't returned,
	// or Options.SyncEvery was set. False means that good records follow or
	// that the beginning of the file is damaged.
	Torn bool
	// Kept is the file that holds a copy of the damaged one, where Torn is
	// false; empty if none could be made.
	Kept string
	// Err is what is wrong at Offset.
	Err error
}

// Error tells it for a person.
func (e *DamageError) Error() string {
	what := "corrupt"
	if e.Torn {
		what = "torn"
	}
	s := fmt.Sprintf("store: %s is %s at byte %d: %v; %d bytes dropped", e.Path, what, e.Offset, e.Err, e.Dropped)
	if e.Kept != "" {
		s += ", a copy is in " + e.Kept
	}
	return s
}

// Unwrap gives Err.
func (e *DamageError) Unwrap() error { return e.Err }
