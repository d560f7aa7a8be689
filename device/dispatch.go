package device

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/twin"
)

// ListenOptions shape one listener; nil means all defaults.
type ListenOptions struct {
	// Acknowledge sends the Plug and Play acknowledgement of each value by
	// itself once the listener returned: the value as heard with ac 200; ac
	// 400 where a typed listener's value did not decode, and ac 500 after any
	// other error or panic, with the error's text as ad. It replaces what is
	// reported at the listener's path, which must not be the whole twin. A
	// removal is not acknowledged: the last acknowledgement stays until you
	// delete it. Where another listener acknowledges the same path, or one above
	// or below it, registration fails: they would overwrite each other's answers.
	Acknowledge bool
	// Durable says that what the listener does outlives the program, such as a
	// setting that it stores. With Options.Store, it is told at a start only
	// what changed since it last returned without an error; without, it makes
	// no difference.
	// Listeners of one path share the memory.
	Durable bool
}

// OnDesired registers a listener for the desired properties at a path such as
// "fan.rpm"; "" is everything. It hears of a change of that property, of
// anything below it, and of anything above it that replaces or deletes it; and
// it is told the present value first (cause start): when the client is first
// in step with the hub, or at once when it already is. See twin.Listener for
// who calls it, and what it may do.
//
// remove takes it away; a call under way may still finish. OnDesired may be
// called before Connect, and by a listener. It fails on a path with a key that
// no property can have ("a/b" is one key; dots make a path), on a nil listener,
// and on a closed client.
func (c *Client) OnDesired(path string, listener twin.Listener) (remove func(), err error) {
	return c.Listen(path, listener, nil)
}

// Listen is OnDesired with options.
func (c *Client) Listen(path string, listener twin.Listener, opts *ListenOptions) (remove func(), err error) {
	var o ListenOptions
	if opts != nil {
		o = *opts
	}
	if o.Acknowledge && path == "" {
		return nil, fmt.Errorf("%w: a listener for the whole twin cannot acknowledge; listen on the property", twin.ErrInvalid)
	}
	var id catchup.ListenerID
	c.with(func() {
		if c.life.Err() != nil {
			err = ErrClosed
			return
		}
		id, err = c.desired.Listen(path, listener, catchup.ListenerOptions(o))
		if err == nil && o.Durable && c.journal != nil {
			if h, ok := c.journal.heard[path]; ok {
				c.desired.Recall(id, h)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	poke(c.turn)
	return sync.OnceFunc(func() { c.with(func() { c.desired.Unlisten(id) }) }), nil
}

// dispatch runs the listeners, one at a time, until the client closes.
func (c *Client) dispatch() {
	for {
		select {
		case <-c.turn:
		case <-c.life.Done():
			return
		}
		for c.life.Err() == nil {
			var d catchup.Delivery
			var ok bool
			c.with(func() { d, ok = c.desired.Next() })
			if !ok {
				break
			}
			c.deliver(d)
		}
	}
}

// deliver makes one call of one listener, and acknowledges it where asked to.
func (c *Client) deliver(d catchup.Delivery) {
	err := c.guard(func() error { return d.Listener(c.life, d.Change) })
	if err != nil {
		c.log.Warn("listener failed", "path", d.Change.Path, "version", d.Change.Version, "cause", err)
		if f := c.opts.OnListenerError; f != nil {
			if err := c.guard(func() error { f(d.Change.Path, err); return nil }); err != nil {
				c.log.Error("OnListenerError panicked", "cause", err)
			}
		}
	}
	if err := c.conclude(d, err); err != nil {
		c.log.Warn("acknowledgement could not be reported", "path", d.Change.Path, "cause", err)
	}
	poke(c.work)
}

// conclude acknowledges what a listener heard, and remembers that it did: in
// one step, and in this order, so that after a power cut between the two the
// listener runs again rather than stay silent.
func (c *Client) conclude(d catchup.Delivery, result error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.Acknowledge && d.Change.Value.Exists() {
		if c.life.Err() != nil {
			return nil // closing: the next start tells it again
		}
		code, text := ackOf(result)
		ack := d.Change.Ack(code, text)
		if err := c.reported.WantLater(ack); err != nil {
			return err
		}
		c.noteReport(ack, false)
	}
	if d.Durable && result == nil {
		c.noteHeard(d.Change) // one that failed hears it again at the next start
	}
	return nil
}

// maxAckText bounds the text of an acknowledgement, well below what a property
// may hold.
const maxAckText = 256

// ackOf says how a listener's result is acknowledged.
func ackOf(err error) (code int, text string) {
	var bad *twin.DecodeError
	switch {
	case err == nil:
		return twin.AckOK, ""
	case errors.As(err, &bad):
		code = twin.AckBad
	default:
		code = twin.AckFailed
	}
	text = err.Error()
	if len(text) > maxAckText {
		text = strings.ToValidUTF8(text[:maxAckText], "")
	}
	return code, text
}

// guard runs a user's function and contains its panic.
func (c *Client) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// tell runs OnState, one state at a time, until it has told the last.
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
			if err := c.guard(func() error { c.opts.OnState(s); return nil }); err != nil {
				c.log.Error("OnState panicked", "cause", err)
			}
			if s.Phase == Closed {
				return
			}
		}
	}
}
