package device

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A getCall is one GetTwin that waits.
type getCall struct {
	answer chan getAnswer // capacity 1
	last   chan error     // capacity 1: the last failure of a GET made for it
	gone   bool           // its caller has; guarded by the client's mutex
}

type getAnswer struct {
	doc twin.Document
	err error
}

// failed notes why the call still waits.
func (g *getCall) failed(err error) {
	select {
	case <-g.last:
	default:
	}
	g.last <- err
}

// GetTwin asks the hub for the whole twin and returns its answer: a round
// trip, never a cache. Offline or throttled it waits, until ctx ends or, where
// ctx has no deadline, for Options.CallTimeout. Calls made at the same time
// share one request.
func (c *Client) GetTwin(ctx context.Context) (twin.Document, error) {
	if err := ctx.Err(); err != nil {
		return twin.Document{}, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	defer c.leave(ctx)()
	if err := c.awaitStart(ctx); err != nil {
		return twin.Document{}, err
	}
	call := &getCall{answer: make(chan getAnswer, 1), last: make(chan error, 1)}
	c.mu.Lock()
	err := c.usable()
	if err == nil {
		c.useTwinLocked()
		c.gets = append(c.gets, call)
	}
	c.mu.Unlock()
	if err != nil {
		return twin.Document{}, err
	}
	poke(c.work)
	select {
	case a := <-call.answer:
		return a.doc, a.err
	case <-ctx.Done():
		c.dropGet(call)
		return twin.Document{}, fmt.Errorf("device: get twin: %w", contextError(ctx, errtext.Bare("device", c.why(call))))
	}
}

// why is the failure that a call has been waiting on.
func (c *Client) why(call *getCall) error {
	select {
	case err := <-call.last:
		return err
	default:
		return c.reason()
	}
}

// UpdateReported merges a patch into the reported properties and returns once
// the hub has it, with the version of the reported properties then. A patch
// that breaks a limit is refused at once, whole, and nothing is sent; one that
// the hub refuses for good fails with its words (*transport.StatusError,
// matching transport.ErrRejected), and the device's idea of the value goes
// back to the hub's.
//
// With a Store it waits for that, too: a start that did not know of the report
// would take it for a stranger's. A store that fails is told to the logger. If
// ctx ends while the store alone is waited for, the error matches ErrNotStored:
// the hub has the report.
//
// Reports made at the same time ride together. Offline or throttled it waits;
// when ctx ends before the hub's word, or Options.CallTimeout where ctx has no
// deadline, the error matches ErrStillWanted and the context's: the waiting
// ended, the report will still be sent.
func (c *Client) UpdateReported(ctx context.Context, p twin.Patch) (version int64, err error) {
	version, err = c.report(ctx, func() (catchup.Ticket, error) {
		t, err := c.reported.Want(p)
		if err == nil && c.journal != nil {
			c.noteReport(p, nil)
		}
		return t, err
	})
	if waitingEnded(err) {
		err = fmt.Errorf("%w: %w", ErrStillWanted, errtext.Bare("device", err))
	}
	return version, err
}

// UpdateReportedIf is UpdateReported under the condition that the reported
// properties are at the version given, as a GetTwin or a report told it: a
// guard against another writer of the same identity, such as a second board.
// Where they are not, it fails with an error that matches
// transport.ErrPrecondition and changes nothing. It rides with no other report,
// and makes no room for that other writer: what this client wants, it goes on
// to want. When ctx ends first, the report is given up: the hub may have it or
// not, which GetTwin tells. One that replaces (twin.Replace) is sent only where
// the client knows what the hub has at that version.
func (c *Client) UpdateReportedIf(ctx context.Context, p twin.Patch, version int64) (int64, error) {
	now, err := c.report(ctx, func() (catchup.Ticket, error) { return c.reported.WantIf(p, version) })
	if errors.Is(err, catchup.ErrStale) {
		err = fmt.Errorf("%w: %w", transport.ErrPrecondition, err)
	}
	return now, err
}

// errWaiting marks the end of a caller's waiting.
type errWaiting struct{ error }

func (e errWaiting) Unwrap() error { return e.error }

func waitingEnded(err error) bool {
	_, ok := err.(errWaiting)
	return ok
}

// report hands a report to the machine, and waits for what becomes of it.
func (c *Client) report(ctx context.Context, want func() (catchup.Ticket, error)) (version int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	defer c.leave(ctx)()
	if err := c.awaitStart(ctx); err != nil {
		return 0, err
	}
	settled := make(chan catchup.Settlement, 1)
	var ticket catchup.Ticket
	c.with(func() {
		if err = c.usable(); err != nil {
			return
		}
		c.useTwinLocked()
		c.unchecked = c.unchecked || !c.reported.Known()
		if ticket, err = want(); err == nil {
			c.reports[ticket] = settled
		}
		c.noteDroppedLocked()
	})
	if err != nil {
		return 0, err
	}
	poke(c.work)
	select {
	case s := <-settled:
		return s.Version, s.Err
	case <-ctx.Done():
	}
	var waits bool // for the hub
	c.with(func() {
		_, waits = c.reports[ticket]
		delete(c.reports, ticket)
		c.reported.Forget(ticket)
		c.wakeDrainsLocked()
	})
	select {
	case s := <-settled: // it came in the same moment
		return s.Version, s.Err
	default:
	}
	if !waits { // but for the store: the hub has the report
		return 0, fmt.Errorf("device: the hub has the report: %w: %w", errtext.Bare("device", ErrNotStored), contextError(ctx, nil))
	}
	return 0, errWaiting{contextError(ctx, c.reason())}
}

// ReportLater merges a patch into the reported properties: nil says that the
// client wants the hub to have it, and will see to that, the line down or up,
// for as long as it lives and, with a Store, after a power cut too. A patch
// that breaks a limit is refused, whole. A later refusal by the hub is reported
// to the logger only.
//
// Without a Store it returns at once. With one it returns when the report is
// safe there. ctx, or Options.CallTimeout where it has no deadline, bounds the
// waiting: a bad flash takes seconds. An error that matches ErrNotStored says
// that the report is wanted all the same.
//
// A client that was not started takes the report, too, and sends it once it is.
// The first call then claims the Store. Where that is in use by another client,
// or belongs to another device, ReportLater returns the store's error and has
// not taken the report.
func (c *Client) ReportLater(ctx context.Context, p twin.Patch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.opts.Store != nil { // else it does not wait
		var cancel context.CancelFunc
		ctx, cancel = c.bound(ctx)
		defer cancel()
		if err := c.awaitClaim(ctx); err != nil {
			return err
		}
	}
	var err error
	var stored chan error
	c.with(func() {
		if c.life.Err() != nil {
			err = c.closedLocked()
			return
		}
		c.useTwinLocked()
		c.unchecked = c.unchecked || !c.reported.Known()
		if err = c.reported.WantLater(p); err == nil && c.journal != nil {
			stored = make(chan error, 1)
			c.noteReport(p, func(err error) { stored <- err })
		}
		c.noteDroppedLocked()
	})
	poke(c.work)
	if err != nil || stored == nil {
		return err
	}
	select {
	case err := <-stored:
		return err
	default:
	}
	defer c.leave(ctx)()
	select {
	case err := <-stored:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotStored, contextError(ctx, nil))
	}
}

// noteDroppedLocked logs deletions that were forgotten before the first GET.
func (c *Client) noteDroppedLocked() {
	all := c.reported.Dropped()
	if count := all - c.dropped; count > 0 {
		c.dropped = all
		c.noteLocked(func() {
			c.log.Warn("reported deletions were forgotten: too much waits for the first GET", "count", count, "sum", all)
		})
	}
}

// awaitClaim claims the store, if it is not claimed.
func (c *Client) awaitClaim(ctx context.Context) error {
	var a *claim
	var err error
	c.with(func() {
		if c.life.Err() != nil {
			err = c.closedLocked()
			return
		}
		a = c.claimLocked()
	})
	if err != nil {
		return err
	}
	return a.wait(ctx)
}

// bound gives a context without a deadline the default one.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok || c.opts.CallTimeout < 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, c.opts.CallTimeout, callTimeout(c.opts.CallTimeout))
}

// nextPatch is what the reported machine has to send, and the version that it
// demands. Reports that it finds to be too late are told to their callers, and so
// are those that were made before the first GET and break a limit with what that
// brought.
func (c *Client) nextPatch(now time.Duration) (patch twin.Patch, demand int64, ok bool) {
	for range maxUnchecked {
		var wrong error
		c.with(func() {
			patch, ok = c.reported.Next(now)
			demand = c.reported.Demand()
			if !ok || !c.unchecked || !c.reported.Known() {
				return
			}
			if wrong = twin.Validate(c.reported.Confirmed(), patch); wrong != nil {
				c.reported.Refused(wrong, now)
				ok = false
			}
		})
		c.settle()
		if wrong == nil {
			break
		}
		c.log.Warn("a report breaks a limit with what the hub has", "cause", wrong)
		poke(c.work) // the rest of it
	}
	return patch, demand, ok
}

// maxUnchecked bounds the parts of a patch that are looked at in one turn.
const maxUnchecked = 16

// settle tells waiting callers what became of their reports.
func (c *Client) settle() {
	c.with(func() {
		c.noteMended()
		for _, s := range c.reported.Settled() {
			ch := c.reports[s.Ticket]
			if ch == nil {
				continue
			}
			delete(c.reports, s.Ticket)
			if s.Err != nil {
				ch <- s
				continue
			}
			// Reported only once the records are safe: a start without them would take
			// a value that its caller knows at the hub for an old one.
			c.barrierLocked(func() { ch <- s })
		}
		c.unchecked = c.unchecked && c.reported.Outstanding()
		c.wakeDrainsLocked()
	})
}

// wakeDrainsLocked has each Shutdown look whether the hub has everything.
func (c *Client) wakeDrainsLocked() {
	if c.settled != nil {
		close(c.settled)
		c.settled = nil
	}
}

// synced takes a whole twin into both machines.
func (c *Client) synced(doc twin.Document, cause twin.Cause) (outcome catchup.Outcome) {
	var readBack []string
	now := c.opts.Elapsed()
	c.with(func() {
		outcome = c.desired.Fetched(doc.Desired, cause)
		if c.journal != nil {
			c.pruneLocked() // also of names that an earlier firmware used
		}
		readBack = c.reported.Synced(doc.Reported, now)
		c.noteRebased()
	})
	if len(readBack) > 0 {
		c.log.Warn("hub reads back reported values different from what it acknowledged", "keys", readBack)
	}
	c.settle()
	return outcome
}

// takeGets hands over the GetTwin calls that wait; ok when a GET is to be made
// for them, or is owed.
func (c *Client) takeGets(owed bool) (calls []*getCall, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls, c.gets = c.gets, nil
	return calls, owed || len(calls) > 0
}

// putBack returns calls to the front of the line.
func (c *Client) putBack(calls []*getCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls = slices.DeleteFunc(calls, func(g *getCall) bool { return g.gone })
	c.gets = append(calls, c.gets...)
}

// dropGet forgets a call that no longer waits.
func (c *Client) dropGet(call *getCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.gone = true
	for i, g := range c.gets {
		if g == call {
			c.gets = append(c.gets[:i], c.gets[i+1:]...)
			return
		}
	}
}
