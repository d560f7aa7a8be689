package device

import (
	"context"
	"errors"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
)

// A Store keeps what a client must not forget when the power goes: a snapshot,
// and records appended since. store.Open returns one on flash. The client
// claims it when it starts, holds the claim until Close, and does not close the
// store. A Store may also have the method
//
//	Unsynced() (bytes int64, since time.Time)
//
// for Stats: what was acknowledged and is not durable yet, and since when.
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
}

// ErrNotStored says that a report could not be kept on the store, or not in
// time: the client wants the hub to have it as before, but a power cut may
// lose it.
var ErrNotStored = errors.New("device: the report is wanted, but not safe from a power cut")

// unsynced is what the store has acknowledged and not synced yet.
func (c *Client) unsynced() (bytes int64, since time.Time) {
	if s, ok := c.opts.Store.(interface{ Unsynced() (int64, time.Time) }); ok {
		return s.Unsynced()
	}
	return 0, time.Time{}
}
