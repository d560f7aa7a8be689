package device

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// The back-offs. See the table in the package's documentation.
const (
	backoffBase   = time.Second
	backoffSlow   = 15 * time.Second
	backoffMax    = 2 * time.Minute
	backoffClock  = 5 * time.Second
	backoffForget = time.Minute
	retryAfterMax = time.Hour
)

// A backoff is the spacing of attempts at one thing. The zero value is ready.
type backoff struct{ failures int }

// next is the delay after one more failure: uniform in [d/2, d], where d
// doubles from base to backoffMax, so that a fleet that lost its hub in one
// moment does not come back in one.
func (b *backoff) next(base time.Duration) time.Duration {
	d := backoffMax
	if b.failures < 16 {
		d = min(base<<b.failures, backoffMax)
	}
	b.failures++
	return d/2 + rand.N(d/2+1)
}

// reset forgets the failures.
func (b *backoff) reset() { b.failures = 0 }

// delay is the wait before the next connection after err.
func (b *backoff) delay(err error) time.Duration {
	switch paceOf(err) {
	case paceSlow:
		return b.next(backoffSlow)
	case paceClock:
		return backoffClock
	default:
		return b.next(backoffBase)
	}
}

// A pacer spaces the requests of one kind after failures.
type pacer struct {
	backoff   backoff
	notBefore time.Duration // on the elapsed clock
}

// fail puts the next request off, by the hub's wish or by back-off.
func (p *pacer) fail(now, wish time.Duration) {
	delay := p.backoff.next(backoffBase)
	if wish > 0 {
		delay = max(delay, min(wish, retryAfterMax))
	}
	p.notBefore = now + delay
}

// putOff spaces the next request of a kind after a failure: by back-off, by the
// hub's wish, or, where the day's quota is used up, until the next day.
func (c *Client) putOff(p *pacer, status *transport.StatusError) {
	now := c.opts.Elapsed()
	switch {
	case status == nil:
		p.fail(now, 0)
	case errors.Is(status, transport.ErrQuota):
		p.notBefore = now + untilTomorrow(c.opts.Now())
	default:
		p.fail(now, status.RetryAfter)
	}
}

// quotaSpread is the time after midnight over which a fleet whose quota was
// used up comes back.
const quotaSpread = 5 * time.Minute

// untilTomorrow is the time until the hub's quota starts again, at midnight UTC.
func untilTomorrow(now time.Time) time.Duration {
	midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return midnight.Sub(now) + rand.N(quotaSpread)
}
