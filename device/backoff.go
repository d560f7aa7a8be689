package device

import (
	"math/rand/v2"
	"time"
)

// The back-offs; see the table in the package's documentation.
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

// quotaSpread is the time after midnight over which a fleet whose quota was
// used up comes back.
const quotaSpread = 5 * time.Minute

// untilTomorrow is the time until the hub's quota starts anew, at midnight UTC.
func untilTomorrow(now time.Time) time.Duration {
	midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return midnight.Sub(now) + rand.N(quotaSpread)
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
