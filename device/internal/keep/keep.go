// Package keep is what a client does with its store. Users open and close one, and
// meet none of this.
package keep

import (
	"context"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A Store keeps what a client must not forget when the power goes: a snapshot,
// and records appended since. The client claims it when it starts, holds the claim
// until Close, and does not close the store.
type Store interface {
	// Claim gives the store to one user, until that calls release. It fails
	// where another user has it, or where it belongs to another device. Nothing
	// is written then. An error that matches errors.ErrUnsupported says that
	// there is no store, and the client goes on without one. release waits until
	// all that was begun is durable, or ctx ends, and ends the claim in any case.
	Claim(ctx context.Context, id auth.Identity) (release func(ctx context.Context) error, err error)
	// Load returns the last snapshot, nil for none, and the records appended
	// since, in order.
	Load() (snapshot []byte, records [][]byte)
	// AppendFunc appends records. It decides their place before it returns, does
	// no I/O, and calls done later from another goroutine: with nil when the
	// records are durable, and in the order of the calls. If AppendFunc returns
	// an error, nothing was begun and done is not called.
	AppendFunc(done func(error), records ...[]byte) error
	// CompactFunc replaces all that was begun before it by a snapshot, under the
	// rules of AppendFunc.
	CompactFunc(done func(error), snapshot []byte) error
	// NeedsCompaction reports whether it is time for CompactFunc.
	NeedsCompaction() bool
	// Unsynced returns how many bytes were acknowledged and are not durable yet,
	// and since when.
	Unsynced() (bytes int64, since time.Time)
}
