// Package boottime is time that counts while the machine is suspended, which
// Go's monotonic clock and its timers do not.
//
// On Linux it comes from CLOCK_BOOTTIME; elsewhere nothing here counts, and
// nothing fails. In the virtual time of testing/synctest, where the machine's
// clocks have no say, a Clock follows the bubble and a Timer is inert.
package boottime

import (
	"sync/atomic"
	"time"
)

// Suspended returns how long the machine has been suspended since it booted,
// to 10 ms. It is 0 on systems other than Linux, where the clocks cannot be
// read, and on boards that do not know how long they slept (no RTC, and no
// counter that runs in suspend).
//
// Only differences mean something where the process lives in a time namespace:
// there the namespace's offsets are added, which may even be negative.
//
// It is constant between suspends, but for one case: if the true value lies
// within some 100 ns of where rounding turns, two calls may differ by 10 ms.
// NewClock does not pass this on.
//
// It is the machine's value also in a bubble of testing/synctest.
func Suspended() time.Duration { return suspended() }

// Virtual reports whether the caller runs in virtual time, as in a bubble of
// testing/synctest, whatever date it is there. It takes some µs.
//
// It asks whether time.Now stands still while the machine's clock goes on. So
// a bubble always shows, and real time never does. It is known only on Linux;
// on other systems, and where the machine's clock cannot be read, it is false.
func Virtual() bool { return virtual() }

// NewClock returns a clock that starts now, at 0, counts in suspend, and never
// runs backwards. It may be called concurrently. One that was made in virtual
// time is virtual: it belongs to its bubble, and a suspend of the machine that
// the test runs on does not show.
func NewClock() func() time.Duration {
	if virtual() {
		start := time.Now()
		return func() time.Duration { return time.Since(start) }
	}
	return newClock(time.Now(), suspended)
}

func newClock(start time.Time, suspended func() time.Duration) func() time.Duration {
	base := suspended()
	var most atomic.Int64 // of what was suspended since; it does not shrink
	return func() time.Duration {
		awake := time.Since(start)
		slept := int64(suspended() - base)
		for {
			before := most.Load()
			if slept <= before {
				return awake + time.Duration(before)
			}
			if most.CompareAndSwap(before, slept) {
				return awake + time.Duration(slept)
			}
		}
	}
}
