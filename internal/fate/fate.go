// Package fate is what the connections of every protocol have in common: one end,
// one cause of it, one writer at a time, and what IDs their frames bear.
package fate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A Fate is the end of one connection, and the turns of its writers. Any number
// of goroutines may use it.
type Fate struct {
	turn    chan struct{} // holds a token while somebody writes
	dead    chan struct{}
	closing chan struct{}

	mu     sync.Mutex // guards the rest; nothing waits while it is held
	ending bool       // this side closes
	cause  error      // why the connection is dead
}

// New is the fate of a connection that lives.
func New() *Fate {
	return &Fate{turn: make(chan struct{}, 1), dead: make(chan struct{}), closing: make(chan struct{})}
}

// Dead is closed once the connection is of no use.
func (f *Fate) Dead() <-chan struct{} { return f.dead }

// Closing is closed when this side begins to close.
func (f *Fate) Closing() <-chan struct{} { return f.closing }

// Close notes that this side closes, and reports whether that is new.
func (f *Fate) Close() (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first = !f.ending
	f.ending = true
	if first {
		close(f.closing)
	}
	return first
}

// End notes why the connection has ended: the first cause stands. It reports
// whether this is the one. Once this side closes it is transport.ErrClosed,
// whatever is said: a hub hangs up when it is told goodbye, and that is not news.
func (f *Fate) End(cause error) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause != nil {
		return false
	}
	if f.ending {
		cause = transport.ErrClosed
	}
	f.cause = cause
	close(f.dead)
	return true
}

// Err says why the connection is of no use, or nil. It matches
// transport.ErrClosed once this side closes.
func (f *Fate) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.ending:
		return f.cause
	case f.cause == nil:
		return transport.ErrClosed
	case errors.Is(f.cause, transport.ErrClosed):
		return f.cause
	}
	return fmt.Errorf("%w; it had ended before: %w", transport.ErrClosed, errtext.Bare("transport", f.cause))
}

// TakeTurn waits until nobody else writes; after nil, PassTurn ends the turn. It
// is a channel and no mutex, so that ctx ends the wait, and so that virtual time
// goes on meanwhile.
func (f *Fate) TakeTurn(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("transport: send: %w", ctx.Err())
	case <-f.closing:
		return f.Err()
	case <-f.dead:
		return f.Err()
	}
	// More than one may have been ready: a turn is no use to the late.
	err := f.Err()
	if end := ctx.Err(); err == nil && end != nil {
		err = fmt.Errorf("transport: send: %w", end)
	}
	if err != nil {
		f.PassTurn()
	}
	return err
}

// TakeLast waits for the last turn, that of saying goodbye, and reports whether
// there is one: a dead connection has none.
func (f *Fate) TakeLast() bool {
	select {
	case <-f.dead:
		return false
	case f.turn <- struct{}{}:
		return true
	}
}

// PassTurn ends a turn.
func (f *Fate) PassTurn() { <-f.turn }

// Abort ends a stream without a farewell: TLS would try for 5 s to say goodbye
// on a line that may be dead.
func Abort(stream net.Conn) {
	if t, ok := stream.(*tls.Conn); ok {
		stream = t.NetConn()
	}
	_ = stream.Close() // that it was closed already is no news
}
