package boottime

import "time"

// granularity is what Suspended is rounded to, so that the jitter of reading
// two clocks does not show.
const granularity = 10 * time.Millisecond

// maxSamples bounds the tries for a better look at the clocks.
const maxSamples = 16

// A reader reads one of the kernel's clocks.
type reader func(clock uintptr) (time.Duration, bool)

func suspended() time.Duration { return suspendedBy(gettime) }

// suspendedBy reads the boot clock between two readings of the monotonic one:
// these are bounds of the difference. Mostly both round to the same at once;
// if not, or if the thread lost its processor in between, it looks again.
func suspendedBy(read reader) time.Duration {
	var best, width time.Duration
	for i := range maxSamples {
		before, ok1 := read(clockMonotonic)
		boot, ok2 := read(clockBoottime)
		after, ok3 := read(clockMonotonic)
		if !ok1 || !ok2 || !ok3 {
			return 0
		}
		least, most := boot-after, boot-before
		if least.Round(granularity) == most.Round(granularity) {
			return least.Round(granularity)
		}
		if i == 0 || most-least < width {
			width = most - least
			best = least + width/2
		}
	}
	return best.Round(granularity)
}

// standstill is how far the machine's clock goes on before time.Now is asked
// again.
const standstill = time.Microsecond

// virtual holds time.Now against the machine's clock. In real time both are
// the same clock, so that time.Now, read before and after, must have gone on
// too, however coarse it is; in a bubble it cannot, for time passes there only
// when all goroutines wait, and this one runs.
func virtual() bool { return virtualBy(time.Now, gettime) }

func virtualBy(now func() time.Time, read reader) bool {
	before := now()
	from, ok := read(clockMonotonic)
	for to := from; to-from < standstill; {
		if !ok {
			return false
		}
		to, ok = read(clockMonotonic)
	}
	return now().Equal(before)
}
