// Package owner lets many goroutines use a device that bears one at a time,
// such as a TPM or a session of an HSM, and that does not know of contexts.
package owner

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrClosed says that the device was closed.
var ErrClosed = errors.New("the device was closed; open it anew")

// A Device says how a device is opened and closed. Its funcs are called one at
// a time, all by the same goroutine.
type Device[S any] struct {
	// Open opens the device: at the first call, and at the next one after the
	// device broke. Its errors are the caller's; the next call tries again.
	Open func() (S, error)
	// Close closes what Open opened.
	Close func(S)
	// Broken reports whether after this error of a call the device has to be
	// opened anew.
	Broken func(error) bool
}

// An Owner is a goroutine that has a device to itself. Close ends it.
type Owner[S any] struct {
	device Device[S]
	jobs   chan func(S, error) error
	once   sync.Once
	end    chan struct{} // closed by Close
	ended  chan struct{} // closed by the goroutine as the last thing
}

// New starts an owner. The device is not opened before the first call.
func New[S any](device Device[S]) *Owner[S] {
	o := &Owner[S]{
		device: device, jobs: make(chan func(S, error) error),
		end: make(chan struct{}), ended: make(chan struct{}),
	}
	go o.run()
	return o
}

// run serves one caller after the other.
func (o *Owner[S]) run() {
	defer close(o.ended)
	var (
		device S
		open   bool
	)
	defer func() {
		if open {
			o.device.Close(device)
		}
	}()
	for {
		select {
		case <-o.end:
			return
		case job := <-o.jobs:
			var err error
			if !open {
				device, err = o.device.Open()
				open = err == nil
			}
			if err = job(device, err); open && err != nil && o.device.Broken(err) {
				o.device.Close(device)
				open = false
			}
		}
	}
}

// Close closes the device when the call under way has come back, and waits for
// that. It may be called again, and concurrently.
func (o *Owner[S]) Close() {
	o.once.Do(func() { close(o.end) })
	<-o.ended
}

// Do uses the device when its turn has come. It returns when ctx ends, too, and
// then with an error that matches the context's: a call that has begun goes on
// without its caller, and the next one waits for it.
func Do[S, T any](ctx context.Context, o *Owner[S], use func(S) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	job := func(device S, err error) error {
		r := result{err: err}
		if err == nil {
			r.value, r.err = use(device)
		}
		done <- r
		return r.err
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	select {
	case o.jobs <- job:
	case <-o.ended:
		return none, ErrClosed
	case <-ctx.Done():
		return none, fmt.Errorf("the device is busy with another call: %w", ctx.Err())
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, fmt.Errorf("the device did not answer in time; the call may still be done: %w", ctx.Err())
	}
}
