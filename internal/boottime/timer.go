package boottime

import "time"

// A Timer fires at a time that counts in suspend: if that time passes while
// the machine is suspended, it fires right after the resume. It does not wake
// the machine. While it waits, nothing runs and no thread is held.
//
// It stands beside a Go timer, not in its place: a Timer is inert, that is, it
// never fires, on systems other than Linux, where the kernel (before 3.15) or
// a sandbox denies it or the clock, where no file descriptor is left, and in
// virtual time.
//
// The zero Timer is inert. The methods may be called concurrently.
type Timer struct {
	// C gets one value each time that the Timer fires. It holds one.
	C <-chan struct{}

	alarm *alarm // nil if inert
}

// NewTimer makes a Timer that is not armed. It needs a Close, unless it is
// inert. In a test in virtual time, make it in the bubble that uses it.
func NewTimer() *Timer { return NewTimerOn(make(chan struct{}, 1)) }

// NewTimerOn is NewTimer with a channel of the caller's, of capacity 1, so that
// a Go timer can share it.
func NewTimerOn(c chan struct{}) *Timer {
	t := &Timer{C: c}
	// A goroutine that reads a file would hold a bubble's time for ever.
	if !virtual() {
		t.alarm = newAlarm(c)
	}
	return t
}

// Reset makes the Timer fire d from now, at once if d is not positive, and not
// at a time that was set before: once Reset returns, what C gets is of this
// Reset or a later one. After Close it does nothing.
func (t *Timer) Reset(d time.Duration) {
	if t.alarm != nil {
		t.alarm.reset(d)
	}
}

// Close ends the Timer and waits for its goroutine. C is then empty and stays
// so; it is not closed. A second Close does nothing.
func (t *Timer) Close() {
	if t.alarm != nil {
		t.alarm.close()
	}
}
