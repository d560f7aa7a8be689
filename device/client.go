package device

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A Client keeps one device's twin in step with its hub, for as long as it
// lives: it connects, and connects again, subscribes, catches up with what
// changed meanwhile, and sends what was reported. Make one with New and keep
// it for the life of the program. All methods may be called concurrently.
type Client struct {
	id     auth.Identity
	cred   auth.Credential
	dialer transport.Dialer
	opts   Options
	log    *slog.Logger

	life  context.Context // ends at Stop. Listeners see it
	end   context.CancelFunc
	begun chan struct{}  // closed when the client has started
	ended chan struct{}  // closed when all is over, but for callbacks that still run
	done  chan struct{}  // closed when every goroutine has ended
	owned sync.WaitGroup // the client's own goroutines and timers. Add under mu
	calls sync.WaitGroup // the goroutines that run callbacks

	work chan struct{} // capacity 1: the session has something to send
	turn chan struct{} // capacity 1: the dispatcher has something to do
	news chan struct{} // capacity 1: OnState has something to hear

	renew chan struct{} // capacity 1: Renew was called

	// The supervisor's own.
	token      auth.Token             // of the last login
	tokenAt    time.Time              // when the credential first gave it; wall clock alone
	sessions   tls.ClientSessionCache // of its credential
	leaf       []byte                 // the certificate that these belong to
	loggedIn   bool                   // the hub accepted a login
	tidied     bool                   // a connection has sent its first GET
	sleeper    *sleeper
	moreLanes  func() []lane // nil but in tests
	features   [2]featureMemory
	getPace    pacer // what the hub wished outlives a connection
	patchPace  pacer
	getTrouble int // of GETs in a row that failed, see maxGetTrouble

	readAt time.Time // when recent has read the clock

	ownClock bool // Options.Elapsed was nil
	made     time.Time
	slept    atomic.Int64 // what the elapsed clock was ahead of time.Since(made), when it was read last

	trouble atomic.Pointer[trouble] // what a session that is up suffers from

	mu        sync.Mutex // held for moments, never across I/O or a callback
	notes     []func()   // to be called once mu is free. See with
	wanted    bool       // the client is to start as soon as its store is claimed
	started   bool
	running   bool   // main has its goroutine
	claim     *claim // of the store, under way or made, or nil before
	desired   catchup.Desired
	reported  catchup.Reported
	reports   map[catchup.Ticket]chan catchup.Settlement
	dropped   uint64 // deletions forgotten before the first GET, as far as logged
	twinUsed  bool   // firmware has used the twin
	unchecked bool   // a report may break a limit with what the hub has: it was made before the first GET
	gets      []*getCall
	telemetry outgoing // nil before the first message
	state     State
	journal   *journal      // nil without a store, and before it is claimed
	states    []State       // for OnState; nil without one
	changed   chan struct{} // closed and replaced at each new state
	settled   chan struct{} // closed and replaced when reports settle, or nil while nobody drains
	stats     Stats
	told      int    // failures worth telling so far
	attempts  int    // at a connection so far
	lastID    uint64 // of requests

	messagePrefix string // of the IDs that this client gives; empty before the first
	lastMessage   uint64
	lostMessages  int // that SendLater took, at the end

	listeners map[catchup.ListenerID]*listener
	memories  memories        // of durable listeners
	calling   []*listenerCall // of listeners, in the order of their start
	holder    *listenerCall   // whose turn it is, or nil for nobody
	returning []*listenerCall // that wait to have their turn back
}

// New makes a client. It does no I/O and starts no goroutine before Connect,
// Run or ReportLater. opts may be nil. Connect reports invalid arguments.
func New(id auth.Identity, cred auth.Credential, dialer transport.Dialer, opts *Options) *Client {
	c := &Client{
		id: id, cred: cred, dialer: dialer, opts: opts.withDefaults(),
		begun:     make(chan struct{}),
		ended:     make(chan struct{}),
		done:      make(chan struct{}),
		work:      make(chan struct{}, 1),
		turn:      make(chan struct{}, 1),
		news:      make(chan struct{}, 1),
		renew:     make(chan struct{}, 1),
		reports:   map[catchup.Ticket]chan catchup.Settlement{},
		changed:   make(chan struct{}),
		listeners: map[catchup.ListenerID]*listener{},
	}
	c.log = slog.New(newBoundLog(c.opts.Logger.Handler(), id.String()))
	c.life, c.end = context.WithCancel(context.Background())
	c.state.Since = c.opts.Now()
	c.ownClock = opts == nil || opts.Elapsed == nil
	c.made = time.Now()
	c.slept.Store(int64(c.opts.Elapsed()))
	c.twinUsed = c.opts.Store != nil
	if c.opts.OnState != nil {
		c.states = []State{}
	}
	return c
}

// Connect starts the client, if it is not started, and waits until it is
// online: the hub knows it, the subscriptions are made, and the first GET has
// answered. It is idempotent. On a client that is online it returns at once.
//
// ctx bounds the waiting only: the client goes on trying by itself, also where
// ctx had ended before. Connect returns early, with the cause, when the hub
// refuses the identity, the clock is implausible, or the hub's certificate is
// not trusted. The client then goes on trying, slowly. Connect keeps waiting
// while the network is down. If ctx ends first, the error wraps the last
// failure.
//
// Where Options.Store is in use by another client or belongs to another device,
// Connect returns the store's error, and the client is not started: a later
// call tries again. Only wrong local configuration that the program gave itself
// (an error that matches auth.ErrInvalid), before the first login, ends the
// client. A credential that fails or gives something invalid is asked again.
func (c *Client) Connect(ctx context.Context) error {
	defer c.leave(ctx)()
	c.mu.Lock()
	told := c.told
	c.mu.Unlock()
	if err := c.start(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		c.mu.Lock()
		s, changed, now := c.state, c.changed, c.told
		c.mu.Unlock()
		switch {
		case s.Phase == Online:
			return nil
		case s.Phase == Closed && s.Err != nil:
			return ended(s.Err)
		case s.Phase == Closed:
			return ErrClosed
		case now > told:
			return fmt.Errorf("device: not connected: %w", errtext.Bare("device", s.Err))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("device: not connected: %w", contextError(ctx, errtext.Bare("device", c.reason())))
		}
	}
}

// Run starts the client and keeps it until ctx ends or Stop is called, whatever
// the line does. When ctx ends it calls Shutdown with 10 s, and returns what
// that returns: nil, or a *LeftError where reports did not reach the hub and
// are in no store. After Stop it returns what Close returns. An error of the
// store, or of wrong local configuration, is returned at once. A refused
// identity or a wrong clock is not an error of Run: Options.Logger, OnState and
// State report it. A listener must not call Run.
func (c *Client) Run(ctx context.Context) error {
	closed := c.life.Err() != nil
	switch err := c.start(ctx); {
	case err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()):
	case !closed && err == ErrClosed:
		return c.Close() // Stop came before the start was over
	default:
		return err
	}
	select {
	case <-ctx.Done():
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), runDrain)
		defer cancel()
		return c.Shutdown(last)
	case <-c.life.Done():
	}
	return c.Close()
}

// runDrain bounds the Shutdown of Run.
const runDrain = 10 * time.Second

// ended is the error of a client that wrong local configuration has ended: the
// cause comes first, for it is what helps.
func ended(cause error) error { return fmt.Errorf("%w (%w)", cause, errtext.Bare("device", ErrClosed)) }

// start checks the configuration, claims the store and starts the client's
// goroutines, once. ctx bounds the waiting for the claim alone.
func (c *Client) start(ctx context.Context) error {
	wrong := c.check()
	now := c.opts.Now()
	var claim *claim
	var err error
	c.with(func() {
		switch {
		case c.life.Err() != nil:
			err = c.closedLocked()
		case c.started:
		case wrong != nil:
			c.end()
			c.enterLocked(State{Phase: Closed, Since: now, Err: wrong})
			c.runLocked()
			err = ended(wrong)
		default:
			c.wanted = true
			claim = c.claimLocked()
			c.beginLocked()
		}
	})
	if claim == nil {
		return err
	}
	return claim.wait(ctx)
}

// beginLocked starts the client if that is wanted and the store is claimed.
func (c *Client) beginLocked() {
	if c.wanted && !c.started && c.claim.made() && c.life.Err() == nil {
		c.started = true
		close(c.begun)
		c.runLocked()
	}
}

// closedLocked is the error of a call on a client that has ended.
func (c *Client) closedLocked() error {
	if c.state.Phase == Closed && c.state.Err != nil {
		return ended(c.state.Err)
	}
	return ErrClosed
}

// check says what is wrong with the configuration.
func (c *Client) check() error {
	if err := c.id.Validate(); err != nil {
		return err
	}
	if c.cred == nil {
		return fmt.Errorf("device: %w: no credential; give one, such as that of auth.ParseConnectionString, or auth.X509Files", errtext.Bare("auth", auth.ErrInvalid))
	}
	if err := auth.CheckCredential(own.Key{}, c.cred); err != nil {
		return err
	}
	if c.dialer == nil {
		return fmt.Errorf("device: %w: no transport; give one, such as mqtt.Dialer{}", errtext.Bare("auth", auth.ErrInvalid))
	}
	return c.opts.check()
}

// usable says whether calls can be made.
func (c *Client) usable() error {
	switch {
	case c.life.Err() != nil:
		return ErrClosed
	case !c.started:
		return ErrNotStarted
	}
	return nil
}

// startWait is how long a call waits for another goroutine to start the client.
const startWait = 10 * time.Second

// awaitStart waits until the client has started, for startWait at most.
func (c *Client) awaitStart(ctx context.Context) error {
	c.mu.Lock()
	err := c.usable()
	c.mu.Unlock()
	if err != ErrNotStarted {
		return err
	}
	timer := time.NewTimer(startWait)
	defer timer.Stop()
	select {
	case <-c.begun:
	case <-c.life.Done():
	case <-timer.C:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotStarted, contextError(ctx, nil))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usable()
}

// with runs f on the client's state, and then what f left in notes: logs, and
// calls of others, for which no lock may be held.
func (c *Client) with(f func()) {
	c.mu.Lock()
	defer c.unlock()
	f()
}

// unlock frees the state and makes the calls that waited for that.
func (c *Client) unlock() {
	notes := c.notes
	c.notes = nil
	c.mu.Unlock()
	for _, note := range notes {
		note()
	}
}

// noteLocked has f called once the state is free.
func (c *Client) noteLocked(f func()) { c.notes = append(c.notes, f) }

// elapsed reads the elapsed clock, which costs two system calls.
func (c *Client) elapsed() time.Duration {
	now := c.opts.Elapsed()
	c.slept.Store(int64(now - time.Since(c.made)))
	return now
}

// recent is elapsed, or, if that was read within the last millisecond, about: a
// board does not fall asleep and wake up in so short a time, and under a flood the
// clock would cost a third of all. It is the supervisor's.
func (c *Client) recent() time.Duration {
	if c.ownClock && time.Since(c.readAt) < time.Millisecond {
		return c.about()
	}
	c.readAt = time.Now()
	return c.elapsed()
}

// about is the elapsed clock but for a suspend that the supervisor has not noticed
// yet. It costs next to nothing.
func (c *Client) about() time.Duration { return time.Since(c.made) + time.Duration(c.slept.Load()) }

// useTwinLocked has the connection open the twin, if it has not. From then on each
// does.
func (c *Client) useTwinLocked() {
	if !c.twinUsed {
		c.twinUsed = true
		poke(c.work)
	}
}

func (c *Client) usesTwin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.twinUsed
}
