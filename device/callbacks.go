package device

import (
	"errors"
	"runtime/debug"
)

// errGoexit is the error of a callback that ended its goroutine, as t.FailNow
// does.
var errGoexit = errors.New("device: the callback ended its goroutine by runtime.Goexit; let it return instead")

// contain runs a user's function, and then what follows with its error: also
// after a panic, and where the function ends the goroutine.
func contain(f func() error, then func(error)) {
	err := errGoexit
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
		then(err)
	}()
	err = f()
}

// apart runs a user's function on a goroutine of its own, waits for it and
// returns its error, so that nothing that it does can end the caller.
func apart(f func() error) error {
	over := make(chan error, 1)
	go contain(f, func(err error) { over <- err })
	return <-over
}

// tell calls OnState, one state at a time, until it has heard the last.
func (c *Client) tell() {
	for range c.news {
		for {
			var s State
			var ok bool
			c.with(func() {
				if ok = len(c.states) > 0; ok {
					s, c.states = c.states[0], c.states[1:]
				}
			})
			if !ok {
				break
			}
			if err := apart(func() error { c.opts.OnState(s); return nil }); err != nil {
				c.log.Error("OnState failed", "cause", err)
			}
			if s.Phase == Closed {
				return
			}
		}
	}
}
