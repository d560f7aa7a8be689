package device

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/tree"
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
	// Durable, if not empty, says that what the listener does outlives the
	// program, such as a setting that it stores, and names the listener's memory
	// on Options.Store. At a start the listener is then called only with what
	// changed since it last returned without an error. Give each listener a name
	// of its own, of at most 128 bytes, and keep it over the versions of the
	// firmware: a second listener of the same name is refused. Under another path
	// the name begins again. Without a Store, Durable makes no difference. See
	// Client.ForgetDurable.
	Durable string
	// Concurrent gives the listener a goroutine of its own while it runs, so that
	// it neither waits for other listeners nor holds them up. It never runs
	// beside itself.
	Concurrent bool
}

// A listener is one that was registered.
type listener struct {
	path       string
	durable    string
	concurrent bool
}

// OnDesired registers a listener for the desired properties at a path such as
// "fan.rpm"; "" is everything. It is called with a change of that property, of
// anything below it, and of anything above it that replaces or deletes it. It
// is called with the present value first (cause start): when the client is
// first in step with the hub, or at once when it already is. opts may be nil.
//
// Listeners run one at a time, in the order of their registration. One that
// waits in a call of a client, with the context that it was given or one made
// of that, gives its turn away meanwhile, so others may run. It has its turn
// back before the call returns. So the context of such a call bounds its work,
// not the wait for the turn. A listener that runs for longer than 30 s, calls
// of the client aside, is reported to Options.Logger by its path. If listeners
// are slow, each gets the newest value, and none has a queue. See
// ListenOptions.Concurrent, and twin.Listener for what a listener may do.
//
// remove takes the listener away. A call in progress may still finish.
// OnDesired may be called before Connect, and by a listener. It fails on a path
// with a key that no property can have ("a/b" is one key. Dots make a path), on
// a nil listener, on a durable name that another listener has, and on a closed
// client.
func (c *Client) OnDesired(path string, fn twin.Listener, opts *ListenOptions) (remove func(), err error) {
	var o ListenOptions
	if opts != nil {
		o = *opts
	}
	if o.Acknowledge && path == "" {
		return nil, fmt.Errorf("device: %w: a listener for the whole twin cannot acknowledge; listen on the property", errtext.Bare("twin", twin.ErrInvalid))
	}
	if err := checkDurableName(o.Durable); err != nil {
		return nil, err
	}
	var id catchup.ListenerID
	c.with(func() { id, err = c.listenLocked(path, fn, o) })
	if err != nil {
		return nil, err
	}
	poke(c.turn)
	return sync.OnceFunc(func() { c.with(func() { c.unlistenLocked(id) }) }), nil
}

func (c *Client) listenLocked(path string, fn twin.Listener, o ListenOptions) (catchup.ListenerID, error) {
	if c.life.Err() != nil {
		return 0, ErrClosed
	}
	if other, ok := c.memories.live[o.Durable]; ok && o.Durable != "" {
		return 0, fmt.Errorf("device: %w: the listener for path %q has the durable name %q already; give each its own",
			errtext.Bare("twin", twin.ErrInvalid), c.listeners[other].path, o.Durable)
	}
	id, err := c.desired.Listen(path, fn, catchup.ListenerOptions{Acknowledge: o.Acknowledge, Durable: o.Durable != ""})
	if err != nil {
		return 0, err
	}
	c.listeners[id] = &listener{path, o.Durable, o.Concurrent}
	c.useTwinLocked()
	if o.Durable != "" {
		c.memories.enlist(o.Durable, id)
		c.recallLocked(id)
	}
	return id, nil
}

func (c *Client) unlistenLocked(id catchup.ListenerID) {
	c.desired.Unlisten(id)
	if name := c.listeners[id].durable; name != "" {
		delete(c.memories.live, name)
		if c.journal != nil {
			c.pruneLocked()
		}
	}
	delete(c.listeners, id)
	for _, call := range c.calling {
		if call.id == id {
			call.removed = true
		}
	}
}

// dispatch calls the listeners until the client closes. It does not wait for
// them.
func (c *Client) dispatch() {
	timer := time.NewTimer(never)
	defer timer.Stop()
	for c.life.Err() == nil {
		timer.Reset(c.schedule())
		select {
		case <-c.turn:
		case <-timer.C:
		case <-c.life.Done():
		}
	}
}

// schedule calls each listener that may be called now, does what else is due,
// and returns how long nothing more is.
func (c *Client) schedule() (wait time.Duration) {
	var slow []string
	c.with(func() {
		for {
			d, ok := c.desired.NextOf(c.mayCallLocked)
			if !ok {
				break
			}
			c.callLocked(d)
		}
		slow, wait = c.slowLocked()
		wait = min(wait, c.seenDueLocked())
	})
	for _, path := range slow {
		c.log.Warn("a listener runs for long; others wait for it, unless it is concurrent", "path", path, "longerThan", slowListener)
	}
	return wait
}

// callLocked makes one call of one listener, on a goroutine of its own.
func (c *Client) callLocked(d catchup.Delivery) {
	l := c.listeners[d.ID]
	call := &listenerCall{client: c, id: d.ID, path: l.path, concurrent: l.concurrent, since: time.Now(), durable: l.durable}
	c.calling = append(c.calling, call)
	if !call.concurrent {
		c.holder = call
	}
	c.calls.Go(func() {
		ctx := context.WithValue(c.life, callKey{}, call)
		contain(func() error { return d.Listener(ctx, d.Change) }, func(err error) {
			if err != nil && !isAnswer(err) {
				c.listenerFailed(d.Change, err)
			}
			if err != nil && isAnswer(err) {
				c.with(func() { call.answered = true })
			}
			if err := c.conclude(d, call, err); err != nil {
				c.listenerFailed(d.Change, fmt.Errorf("device: the acknowledgement could not be reported: %w", errtext.Bare("device", err)))
			}
			c.with(call.endLocked)
			poke(c.work)
		})
	})
}

// isAnswer reports whether an error only names the code of an acknowledgement,
// and no failure.
func isAnswer(err error) bool {
	good := false
	_ = apart(func() error {
		answer, ok := errs.As[*twin.AckError](err)
		good = ok && answer.Code < 300
		return nil
	})
	return good
}

// listenerFailed reports the error of a listener.
func (c *Client) listenerFailed(ch twin.Change, err error) {
	_ = apart(func() error { // a user's error may panic in its text
		c.log.Warn("listener failed", "path", ch.Path, "version", ch.Version, "cause", err)
		return nil
	})
	if f := c.opts.OnListenerError; f != nil {
		if err := apart(func() error { f(ch, err); return nil }); err != nil {
			c.log.Error("OnListenerError failed", "cause", err)
		}
	}
}

// conclude acknowledges what a listener heard, and remembers that it did: in
// one step, and in this order, so that after a power cut between the two the
// listener runs again rather than stay silent. An acknowledgement that the half
// has no room for is answered by one without the value.
func (c *Client) conclude(d catchup.Delivery, call *listenerCall, result error) error {
	if !d.Acknowledge || !d.Change.Value.Exists() {
		c.with(func() { c.heardLocked(d, call, result) })
		return nil
	}
	var refused, err error
	for range 2 {
		var ack twin.Patch
		// A user's error may panic in its methods.
		if err := apart(func() error { ack = twin.AckOf(tree.Key{}, d.Change, result, refused); return nil }); err != nil {
			ack = twin.AckOf(tree.Key{}, d.Change, err, refused)
		}
		c.with(func() {
			if c.life.Err() != nil {
				err = nil
				return // closing: the next start delivers it again
			}
			if c.answeredLocked(d, call) {
				err = nil
				return
			}
			if err = c.reported.WantLater(ack); err != nil {
				return
			}
			if c.journal != nil {
				c.noteReport(ack, nil)
			}
			c.heardLocked(d, call, result)
		})
		if err == nil {
			break
		}
		refused = err
	}
	if err != nil {
		c.with(func() { c.heardLocked(d, call, result) }) // its effect is there all the same
	}
	return err
}

// heardLocked remembers what a durable listener heard. One that failed hears it
// again at the next start.
func (c *Client) heardLocked(d catchup.Delivery, call *listenerCall, result error) {
	if call.durable == "" || result != nil && !call.answered {
		return
	}
	if id, live := c.memories.live[call.durable]; live && id != d.ID {
		return // the name belongs to another listener now
	}
	c.noteHeardLocked(call.durable, d.Change)
	if call.removed {
		c.pruneLocked()
	}
}

// answeredLocked reports whether a listener that was removed while it ran would
// answer an older version than what is reported.
func (c *Client) answeredLocked(d catchup.Delivery, call *listenerCall) bool {
	var version int64
	err := c.reported.Wanted().At(d.Change.Path + ".av").Decode(&version)
	return call.removed && err == nil && version > d.Change.Version
}
