package device

import (
	"context"
	"log/slog"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// renewalTimes are when a token or a certificate is to be replaced, on the
// elapsed clock: from at on, when nothing is outstanding, and at by at the
// latest.
type renewalTimes struct{ at, by time.Duration }

// drainTime is how long a connection that Client.Renew gives up waits for an
// answer under way.
const drainTime = 10 * time.Second

// A renewalState replaces the token of a session, in place or by a new
// connection.
type renewalState struct {
	times   renewalTimes
	anew    bool // Client.Renew asked for a new connection
	running bool
	done    chan renewal // capacity 1
}

// A renewal is the outcome of a token that was to be replaced in place.
type renewal struct {
	times renewalTimes // of the new one
	err   error
}

// ask makes a new connection due now.
func (r *renewalState) ask(now time.Duration) {
	r.times, r.anew = renewalTimes{now, now + drainTime}, true
}

// draining reports whether nothing new may begin, since the connection is about
// to be replaced.
func (r *renewalState) draining(now time.Duration) bool { return now >= r.times.at }

// twinDrain is how long before the end the twin begins nothing new either.
const twinDrain = drainTime / 2

// drainingTwin reports that of the twin: it goes on while others have no answer,
// for they may get none until the very end.
func (r *renewalState) drainingTwin(now time.Duration, othersIdle bool) bool {
	return r.draining(now) && (othersIdle || now >= r.times.by-twinDrain)
}

// due reports whether the time has come.
func (r *renewalState) due(now time.Duration, idle bool) bool {
	return now >= r.times.at && (idle || now >= r.times.by)
}

// next is when due changes by itself.
func (r *renewalState) next(now time.Duration, idle bool) time.Duration {
	switch {
	case now >= r.times.at && !idle && now < r.times.by-twinDrain:
		return r.times.by - twinDrain
	case now >= r.times.at && !idle:
		return r.times.by
	}
	return r.times.at
}

// inPlace begins to replace the token without a new connection, and reports
// whether it could: the transport must know how, and nobody have asked for a
// new connection. The session goes on meanwhile.
func (r *renewalState) inPlace(ctx context.Context, s *session) bool {
	conn, ok := s.conn.(transport.Renewer)
	if !ok || r.anew || s.c.token.IsZero() {
		return false
	}
	r.running, r.times = true, renewalTimes{never, never}
	go func() {
		login, times, err := s.c.login(ctx)
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, s.c.opts.RequestTimeout)
			err = conn.Renew(ctx, login.Token)
			cancel()
		}
		r.done <- renewal{times, err}
	}()
	return true
}

// took takes the outcome. A renewal that failed is made up for by a new
// connection, as it is where no transport can renew.
func (r *renewalState) took(got renewal, log *slog.Logger) error {
	r.running = false
	if got.err != nil {
		log.Warn("the token could not be renewed on the connection", "cause", got.err)
		return errRenew
	}
	if !r.anew {
		r.times = got.times
	}
	log.Debug("the token was renewed on the connection")
	return nil
}

// wait waits for a renewal under way, whose context has ended.
func (r *renewalState) wait() {
	if r.running {
		<-r.done
	}
}

// Renew asks the credential for a token or certificate at once, and connects
// with what it gives: after a key or a certificate was replaced, and sooner than
// at the next connection, which asks anyway. A client that waits for its next
// attempt makes it now. Calls under way are held, not failed. Renew does not
// wait. It returns ErrNotStarted or ErrClosed where it can have no effect. Each
// call costs a connection: make it when something has changed.
func (c *Client) Renew() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	poke(c.renew)
	return nil
}
