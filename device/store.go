package device

import (
	"errors"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/keep"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

// A Store keeps what a client must not forget when the power goes. It is what
// store.Open of package device/store returns, and nothing else.
type Store interface {
	// ForClient returns what the client does with it.
	ForClient(own.Key) keep.Store
}

// ErrNotStored says that a report could not be kept on the store, or not in
// time: the client wants the hub to have it as before, but a power cut may
// lose it.
var ErrNotStored = errors.New("device: the report is wanted, but not safe from a power cut")

// unsynced is what the store has acknowledged and not synced yet.
func (c *Client) unsynced() (bytes int64, since time.Time) {
	if c.opts.Store == nil {
		return 0, time.Time{}
	}
	return c.opts.Store.ForClient(own.Key{}).Unsynced()
}
