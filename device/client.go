package device

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/internal/catchup"
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

	life context.Context // ends at Shutdown; listeners see it
	end  context.CancelFunc
	done chan struct{} // closed when every goroutine has ended

	work chan struct{} // capacity 1: the session has something to send
	turn chan struct{} // capacity 1: a listener has something to hear
	news chan struct{} // capacity 1: OnState has something to hear

	renew chan struct{} // capacity 1: Renew was called

	// The supervisor's own.
	token     auth.Token             // of the last login
	tokenAt   time.Time              // when the credential first gave it; wall clock alone
	sessions  tls.ClientSessionCache // of its credential
	leaf      []byte                 // the certificate that these belong to
	loggedIn  bool                   // the hub accepted a login
	tidied    bool                   // a connection has sent its first GET
	sleeper   *sleeper
	features  [2]featureMemory
	getPace   pacer // what the hub wished outlives a connection
	patchPace pacer

	trouble atomic.Pointer[trouble] // what a session that is up suffers from

	mu       sync.Mutex // held for moments, never across I/O or a callback
	started  bool
	desired  catchup.Desired
	reported catchup.Reported
	reports  map[catchup.Ticket]chan catchup.Settlement
	gets     []*getCall
	state    State
	journal  *journal      // nil without a store
	states   []State       // for OnState; nil without one
	changed  chan struct{} // closed and replaced at each new state
	stats    Stats
	told     int    // failures worth telling so far
	lastID   uint64 // of requests
}

// New makes a client. It does no I/O and starts no goroutine before Connect or
// Run; options may be nil. What is wrong with its arguments Connect tells.
func New(id auth.Identity, cred auth.Credential, dialer transport.Dialer, opts *Options) *Client {
	c := &Client{
		id: id, cred: cred, dialer: dialer, opts: opts.withDefaults(),
		done:    make(chan struct{}),
		work:    make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		news:    make(chan struct{}, 1),
		renew:   make(chan struct{}, 1),
		reports: map[catchup.Ticket]chan catchup.Settlement{},
		changed: make(chan struct{}),
	}
	c.log = c.opts.Logger.With("device", id.String())
	c.life, c.end = context.WithCancel(context.Background())
	c.state.Since = c.opts.Now()
	if c.opts.OnState != nil {
		c.states = []State{}
	}
	if c.opts.Store != nil {
		c.openJournal(c.opts.Store)
	}
	return c
}

// Connect starts the client, if it is not, and waits until it is online: the
// hub knows it, the subscriptions stand, and the first GET has answered. It is
// idempotent; on a client that is online it returns at once.
//
// ctx bounds the waiting only: the client goes on trying by itself. Connect
// returns early, with the cause, when the hub refuses the identity, the
// clock is implausible, or the hub's certificate is not trusted; the
// client goes on trying then, too, slowly. A dead line is no such cause: it is
// waited for, and told in the error when ctx ends. Only wrong local
// configuration (an error that matches auth.ErrInvalid) ends the client.
func (c *Client) Connect(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	told := c.told
	c.mu.Unlock()
	if err := c.start(); err != nil {
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
			return fmt.Errorf("not connected: %w", s.Err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("not connected: %w", contextError(ctx, s.Err))
		}
	}
}

// Run is Connect, wait, Close: it starts the client and keeps it until ctx
// ends or Shutdown is called, whatever the line does, and returns when every
// goroutine has ended. It returns nil then, and an error only where wrong
// local configuration ended the client: a refused identity or a wrong clock is
// told to Options.Logger, OnState and State alone. A listener must not call it.
func (c *Client) Run(ctx context.Context) error {
	if err := c.start(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-c.life.Done():
	}
	return c.Close()
}

// ended is the error of a client that wrong local configuration has ended: the
// cause comes first, for it is what helps.
func ended(cause error) error { return fmt.Errorf("%w (%w)", cause, ErrClosed) }

// start checks the configuration and starts the client's goroutines, once.
func (c *Client) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		if c.state.Phase == Closed && c.state.Err != nil {
			return ended(c.state.Err)
		}
		return ErrClosed
	}
	if c.started {
		return nil
	}
	if err := c.check(); err != nil {
		c.end()
		c.state = State{Phase: Closed, Since: c.opts.Now(), Err: err}
		close(c.done)
		return ended(err)
	}
	c.started = true
	go c.main()
	return nil
}

// check says what is wrong with the configuration.
func (c *Client) check() error {
	if err := c.id.Validate(); err != nil {
		return err
	}
	if c.cred == nil {
		return fmt.Errorf("%w: no credential; a connection string with x509=true brings none: give auth.X509Files or another Credential that has the certificate", auth.ErrInvalid)
	}
	if c.dialer == nil {
		return fmt.Errorf("%w: no transport; give one, such as mqtt.Dialer{}", auth.ErrInvalid)
	}
	return c.opts.check()
}

// main owns every goroutine of the client and ends last.
func (c *Client) main() {
	defer close(c.done)
	var owned sync.WaitGroup
	owned.Go(c.dispatch)
	if c.opts.OnState != nil {
		owned.Go(c.tell)
	}
	var writer sync.WaitGroup
	writing, abort := context.WithCancel(context.WithoutCancel(c.life))
	defer abort()
	if c.journal != nil {
		writer.Go(func() { c.write(writing) })
	}
	err := c.supervise()
	c.end()
	c.failAll()
	c.enter(State{Phase: Closed, Err: err})
	owned.Wait()
	if c.journal != nil {
		close(c.journal.last)                         // the last listener has returned
		defer time.AfterFunc(flushTime, abort).Stop() // bounds a write under way, too
	}
	writer.Wait()
}

// Shutdown begins to close the client and returns at once, so a listener may
// call it. Calls under way end with ErrClosed. Wait for the end with Close.
func (c *Client) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	if c.state.Phase == NotStarted && !c.started {
		c.state = State{Phase: Closed, Since: c.opts.Now()}
		close(c.done)
	}
}

// Close ends the client and waits for all its goroutines, the listener that
// runs included; so a listener must not call it, but Shutdown. Without a
// Store, what was reported and is not confirmed by then is lost with the
// process. It is idempotent and returns nil, except where wrong local configuration had ended
// the client: then that.
func (c *Client) Close() error {
	c.Shutdown()
	<-c.done
	if err := c.State().Err; err != nil {
		return err
	}
	return nil
}

// failAll ends every call that waits.
func (c *Client) failAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ticket, ch := range c.reports {
		ch <- catchup.Settlement{Ticket: ticket, Err: ErrClosed}
	}
	clear(c.reports)
	for _, g := range c.gets {
		g.answer <- getAnswer{err: ErrClosed}
	}
	c.gets = nil
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
