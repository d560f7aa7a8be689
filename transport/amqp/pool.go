package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

// After a line could not be opened none is tried for a while, which doubles from
// the first of these to the last: a hundred devices must not each try what has
// just failed. One device alone waits longer between its attempts anyway.
const (
	restBase = 250 * time.Millisecond
	restMax  = 8 * time.Second
)

// fullLines is how many lines in a row may turn out to be full, for one login.
const fullLines = 3

// PoolOptions shape a Pool. Nil means all defaults.
type PoolOptions struct {
	// Devices is how many devices share one connection at most. If 0, it is 995, or
	// 500 over WebSocket, as in the official SDKs. A hub that takes fewer
	// sessions on one has its way.
	Devices int
}

// A Pool is a transport.Dialer for a gateway: the devices that it is given to
// share one connection to their hub, each with a session, links and a token of
// its own.
//
//	pool := amqp.NewPool(amqp.Dialer{}, nil)
//	for _, d := range devices {
//		clients = append(clients, device.New(d.id, d.credential, pool, nil))
//	}
//
// Devices come and go as they like. What happens to one, such as a refused or
// expired token, or its removal, does not affect the others. Only the end of the
// connection ends it for all, and then each connects again by itself. The
// connection is there as long as a device is: a Pool needs no Close.
//
// Another connection is opened for another hub or gateway, for another
// keep-alive, when one has as many devices as PoolOptions say, and when a hub
// says that it takes no more tokens on one (403005). A device that was there
// counts until its token has ended. A device with a certificate has a connection
// to itself: the certificate is the connection's.
//
// A connection that cannot be opened is tried for the first device that wants it.
// For the next 250 ms, and up to 8 s as it goes on, the others get the same error.
//
// TLS session cache and clock of a connection are those of the login that opened
// it. A Pool may be used by many goroutines.
type Pool struct {
	dialer Dialer
	limit  int

	mu    sync.Mutex // guards the rest, and all that is in shared. Taken before line.mu
	lines map[lineKey][]*shared
	rests map[lineKey]rest // where no line could be opened
}

// A rest is for how long no line is tried, and why.
type rest struct {
	failures int
	until    time.Time
	err      error
}

// A lineKey is what the devices on a line have in common.
type lineKey struct {
	host, gateway string
	keepAlive     time.Duration
}

// NewPool makes a Pool that opens its connections as d does. Nothing is opened
// before a device wants to connect.
func NewPool(d Dialer, opts *PoolOptions) *Pool {
	p := &Pool{dialer: d, lines: map[lineKey][]*shared{}, rests: map[lineKey]rest{}}
	if opts != nil {
		p.limit = max(0, opts.Devices)
	}
	return p
}

// Dial implements transport.Dialer. It returns once the hub has accepted this
// login on an open connection, or on one that it opens. Its errors are those of
// Dialer.Dial. The Conn implements transport.Renewer.
func (p *Pool) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	if err := check(login); err != nil {
		return nil, err
	}
	if login.Certificate != nil || login.Token.IsZero() {
		return p.dialer.Dial(ctx, login)
	}
	var err error
	for range fullLines {
		var s *shared
		if s, err = p.acquire(ctx, login); err != nil {
			return nil, err
		}
		c := newConn(s.line, login)
		if err = p.join(ctx, s, c, login); err == nil {
			return c, nil
		}
		if errors.Is(err, errNoSession) {
			continue // somebody was faster
		}
		var said *transport.StatusError
		if !errors.As(err, &said) || said.Code != tooManyTokens {
			return nil, err
		}
		s.line.fill()
		p.mu.Lock()
		if t := s.seats[c.audience]; t != nil && t.users == 0 {
			delete(s.seats, c.audience)
		}
		p.mu.Unlock()
	}
	return nil, err
}

// acquire takes a seat on an open line, and waits for one if need be.
func (p *Pool) acquire(ctx context.Context, login transport.Login) (*shared, error) {
	for {
		s, seated, err := p.choose(login)
		if seated || err != nil {
			return s, err
		}
		select {
		case <-s.opened:
			err = s.err
		case <-ctx.Done():
			err = linefail.Dial(ctx.Err())
		}
		// Those who waited take their seats in any order: it may be full again.
		if err == nil && p.takeSeat(s, login) {
			return s, nil
		}
		p.release(s, "")
		if err != nil {
			return nil, err
		}
	}
}

// choose finds a line with a seat and takes it, or else one that is being opened,
// and has that begun if there is none. The caller is one of its users then. After a
// failure nothing is begun for a while: that is an error.
func (p *Pool) choose(login transport.Login) (s *shared, seated bool, err error) {
	key := keyOf(login)
	p.mu.Lock()
	defer p.mu.Unlock()
	var opening *shared
	for _, s := range slices.Backward(p.lines[key]) { // the newest has most room
		switch {
		case !s.isOpenLocked():
			opening = s
		case s.reserveLocked(login):
			s.users++
			return s, true, nil
		}
	}
	if opening == nil {
		if r := p.rests[key]; time.Now().Before(r.until) {
			return nil, false, fmt.Errorf("transport: the connection was tried a moment ago, for another device: %w", errtext.Bare("transport", r.err))
		}
		opening = p.openLocked(key, login)
	}
	opening.users++
	return opening, false, nil
}

// takeSeat takes a seat for one who is a user already.
func (p *Pool) takeSeat(s *shared, login transport.Login) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.reserveLocked(login)
}

func keyOf(login transport.Login) lineKey {
	return lineKey{strings.ToLower(login.Identity.Host), login.Identity.Gateway, login.KeepAlive}
}

// openLocked begins to open a line. The dial is canceled when its last waiter gives
// up.
func (p *Pool) openLocked(key lineKey, login transport.Login) *shared {
	ctx, cancel := context.WithCancel(context.Background())
	s := &shared{
		key: key, opened: make(chan struct{}), giveUp: cancel,
		seats: map[string]*seat{}, limit: p.limit,
	}
	p.lines[key] = append(p.lines[key], s)
	go func() { // who is the last to want it waits for it
		defer close(s.opened)
		line, err := openLine(ctx, p.dialer.Stream, login, true)
		p.mu.Lock()
		defer p.mu.Unlock()
		s.line, s.err = line, err
		if err != nil {
			p.forgetLocked(s)
			if ctx.Err() == nil {
				p.restLocked(key, err)
			}
			return
		}
		delete(p.rests, key)
		if s.limit == 0 {
			s.limit = line.devices()
		}
		s.limit = min(s.limit, line.spaces())
	}()
	return s
}

// restLocked notes that a line could not be opened.
func (p *Pool) restLocked(key lineKey, err error) {
	r := p.rests[key]
	r.err, r.until = err, time.Now().Add(min(restBase<<min(r.failures, 16), restMax))
	r.failures++
	p.rests[key] = r
}

// forgetLocked takes a line off the list.
func (p *Pool) forgetLocked(s *shared) {
	all := p.lines[s.key]
	if i := slices.Index(all, s); i >= 0 {
		all = slices.Delete(slices.Clone(all), i, i+1)
	}
	if len(all) == 0 {
		delete(p.lines, s.key)
		return
	}
	p.lines[s.key] = all
}

// release ends a user's part of a line, with its seat if it has one, and the line if
// nobody else uses it: then it returns true, once that is done.
func (p *Pool) release(s *shared, audience string) (last bool) {
	p.mu.Lock()
	if t := s.seats[audience]; t != nil {
		t.users--
	}
	s.users--
	last = s.users == 0
	if last {
		p.forgetLocked(s)
		s.giveUp()
	}
	p.mu.Unlock()
	if last {
		<-s.opened
		if s.line != nil {
			s.line.close()
		}
	}
	return last
}

// errNoSession says that a line takes no session more.
var errNoSession = fmt.Errorf("%w: no room for another session on the connection", transport.ErrUnavailable)

// join logs a device in on an open line. Its seat is given back when that
// fails. go-amqp takes an answer to a BEGIN that it no longer waits for as the end
// of the connection, and may wait for a write: so what the end of ctx leaves
// behind goes on, and ends on the line's account.
func (p *Pool) join(ctx context.Context, s *shared, c *conn, login transport.Login) error {
	c.leave = func(c *conn) { p.leave(s, c) }
	c.renewed = func(token auth.Token) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if t := s.seats[c.audience]; t != nil {
			t.keep(token, login.Now)
		}
	}
	l := s.line
	if !l.takeSession() {
		c.end()
		p.release(s, c.audience)
		return errNoSession
	}
	heard, entered := l.heard(), make(chan error)
	l.owned.Go(func() {
		var err error
		if c.session, err = l.amqp.NewSession(context.Background(), nil); err == nil {
			err = c.enter(ctx, login)
		}
		select {
		case entered <- err:
		case <-ctx.Done():
			l.seeOff(c)
		}
	})
	select {
	case err := <-entered:
		if err == nil {
			return nil
		}
		err = l.loginError(ctx, err)
		c.end()
		p.leave(s, c)
		return fmt.Errorf("transport: on a shared connection: %w", errtext.Bare("transport", err))
	case <-ctx.Done():
		c.end()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			l.unheard(heard)
		}
		p.release(s, c.audience)
		return fmt.Errorf("transport: on a shared connection: %w", errtext.Bare("transport", l.loginError(ctx, ctx.Err())))
	}
}

// leave ends a device's part of a line, and with the last part the line.
func (p *Pool) leave(s *shared, c *conn) {
	p.mu.Lock()
	last := s.users == 1
	if last { // nobody may sit down any more
		p.forgetLocked(s)
	}
	p.mu.Unlock()
	if !last {
		s.line.endSession(c)
	}
	if p.release(s, c.audience) {
		c.closeParts()
	}
}
