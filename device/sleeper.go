package device

import (
	"time"

	"github.com/devicetwin/devicetwin-go/internal/boottime"
)

// A sleeper wakes the supervisor when something is due, also where that time
// passed while the board was suspended. It may wake too early.
type sleeper struct {
	C     chan struct{} // capacity 1
	timer *time.Timer
	alarm *boottime.Timer // counts in suspend
	at    time.Duration   // what set was given, or negative if it may have passed
}

func newSleeper() *sleeper {
	s := &sleeper{C: make(chan struct{}, 1), at: -1}
	s.timer = time.AfterFunc(never, func() { poke(s.C) })
	s.alarm = boottime.NewTimerOn(s.C)
	return s
}

// set makes the sleeper wake at a time on the elapsed clock, which is at now.
func (s *sleeper) set(at, now time.Duration) {
	if at == s.at {
		return // it is set already, and setting it costs system calls
	}
	s.at = at
	s.timer.Reset(at - now)
	s.alarm.Reset(at - now)
}

// woke is called when C has fired.
func (s *sleeper) woke() { s.at = -1 }

func (s *sleeper) close() {
	s.timer.Stop()
	s.alarm.Close()
}
