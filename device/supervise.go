package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
	"github.com/devicetwin/devicetwin-go/internal/own"
	"github.com/devicetwin/devicetwin-go/transport"
)

// connectTimeout bounds one attempt, from the first packet of TCP to the
// hub's word on the login; the C# SDK gives the same reason for the same
// minute: it is what the service allows a handshake.
const connectTimeout = time.Minute

// supervise is the one place that decides when to connect. It returns when the
// client closes (nil), or on wrong local configuration.
func (c *Client) supervise() error {
	c.sleeper = newSleeper()
	defer c.sleeper.close()
	var pace backoff
	var failures int // in a row, also of those that have a pace of their own
	var disabled int // logins in a row that a disabled device gets, too
	next := State{Phase: Connecting}
	for c.life.Err() == nil {
		c.enter(next)
		lasted, err := c.live()
		if c.life.Err() != nil {
			break
		}
		if lasted >= backoffForget {
			pace.reset()
			failures = 0
		}
		switch {
		case err == errRenew:
			next = State{Phase: Renewing, Err: err}
			continue
		case paceOf(err) == paceEnd && !c.loggedIn:
			return err
		}
		if disabled++; !errors.Is(err, transport.ErrDisabled) {
			disabled = 0
		}
		if disabled >= maxDisabled {
			err = fmt.Errorf("%w: %w", errMaybeDisabled, err)
		}
		delay := pace.delay(err)
		failures++
		c.enter(State{Phase: Waiting, Err: err, RetryAt: c.opts.Now().Add(delay), Attempt: failures})
		c.pause(delay)
		next = State{Phase: Connecting, Err: err, Attempt: failures}
	}
	return nil
}

// pause waits, or returns when the client closes or Renew is called.
func (c *Client) pause(d time.Duration) {
	until := c.elapsed() + d
	for left := d; left > 0; left = until - c.elapsed() {
		c.sleeper.set(until, until-left)
		select {
		case <-c.sleeper.C:
			c.sleeper.woke()
		case <-c.renew:
			return
		case <-c.life.Done():
			return
		}
	}
}

// live is the life of one connection, from dialling to its end. It returns how
// long the client was online, and why it is no more.
func (c *Client) live() (time.Duration, error) {
	select {
	case <-c.renew: // this is it
	default:
	}
	login, times, err := c.login(c.life)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(c.life, connectTimeout)
	conn, err := c.dialer.Dial(ctx, login)
	cancel()
	if err != nil {
		return 0, fmt.Errorf("device: connect as %s: %w%s", c.id, errtext.Bare("device", err), presented(err, login))
	}
	c.count(func(n *Stats) { n.Connects++ })
	c.loggedIn = true
	s := newSession(c, conn, times)
	err = s.run(c.life)
	if s.onlineAt < 0 {
		return 0, err
	}
	return c.elapsed() - s.onlineAt, err
}

// never is a time on the elapsed clock that does not come.
const never = time.Duration(1<<63 - 1)

// login collects what one session needs: the client owns the token, and knows
// when it is to be replaced.
func (c *Client) login(ctx context.Context) (login transport.Login, times renewalTimes, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	login = transport.Login{
		Identity: c.id, ModelID: c.opts.ModelID, Product: c.opts.Product,
		KeepAlive: c.opts.KeepAlive, Now: c.opts.Now, Tidy: !c.tidied,
	}
	now := c.opts.Now()
	if err := auth.CheckClock(own.Key{}, now); err != nil {
		return login, times, err
	}
	if login.Certificate, err = auth.CertificateOf(ctx, c.cred); err != nil {
		return login, times, fmt.Errorf("%w: %w", errNoCredential, err)
	}
	if login.Certificate != nil {
		if err := auth.CheckCertificate(own.Key{}, login.Certificate, now); err != nil {
			return login, times, err
		}
	}
	login.Sessions = c.resumable(login.Certificate)
	if login.Token, err = auth.TokenOf(ctx, c.cred, c.id.Audience(), now); err != nil {
		return login, times, fmt.Errorf("%w: %w", errNoCredential, err)
	}
	switch {
	case login.Token.IsZero() && login.Certificate == nil:
		return login, times, fmt.Errorf("device: %w: the credential gave neither a token nor a certificate", errtext.Bare("auth", auth.ErrInvalid))
	case login.Token.IsZero():
		return login, renewalTimes{never, never}, nil
	}
	left := login.Token.Expires().Sub(now)
	if login.Token.Reveal() != c.token.Reveal() {
		c.token, c.tokenAt = login.Token, now.Round(0)
	} else if now.Sub(c.tokenAt).Abs() >= tokenGrain {
		// A given token: there is no other to renew it with before its end.
		at := c.elapsed() + min(max(left, renewMin), never/2)
		return login, renewalTimes{at, at}, nil
	}
	at := renewAfter(left)
	by := max(at, left-renewLast, time.Duration(0.95*float64(left)))
	return login, renewalTimes{c.elapsed() + at, c.elapsed() + by}, nil
}

// renewLast is how long before the token's end a planned reconnect waits for
// nothing any more.
const renewLast = time.Minute

// tokenGrain is what tokens count their end in. Two that are signed within it
// are the same, and no sign of a token that was given: that shows when another
// is asked for later.
const tokenGrain = time.Second

// resumable is the TLS session cache of one generation of a credential: on a
// resumed session the hub sees the certificate of the first, so a new
// certificate begins with an empty one.
func (c *Client) resumable(cert *tls.Certificate) tls.ClientSessionCache {
	var leaf []byte
	if cert != nil && len(cert.Certificate) > 0 {
		leaf = cert.Certificate[0]
	}
	if c.sessions == nil || !bytes.Equal(leaf, c.leaf) {
		c.sessions, c.leaf = tls.NewLRUClientSessionCache(1), leaf
	}
	return c.sessions
}

// Tokens are replaced between these parts of their life, at random, so that a
// fleet that started together does not renew together. Other SDKs use 0.75 to
// 0.85.
const (
	renewFrom  = 0.80
	renewUntil = 0.90
)

// renewMin is the least time between two planned reconnects, however short
// the tokens that a credential gives.
const renewMin = 10 * time.Second

// renewAfter is when to replace a token that has life left.
func renewAfter(life time.Duration) time.Duration {
	return max(renewMin, time.Duration(float64(life)*(renewFrom+rand.Float64()*(renewUntil-renewFrom))))
}
