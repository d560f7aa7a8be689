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
}

func newSleeper() *sleeper {
	s := &sleeper{C: make(chan struct{}, 1)}
	s.timer = time.AfterFunc(never, func() { poke(s.C) })
	s.alarm = boottime.NewTimerOn(s.C)
	return s
}

// set makes the sleeper wake d from now.
func (s *sleeper) set(d time.Duration) {
	s.timer.Reset(d)
	s.alarm.Reset(d)
}

func (s *sleeper) close() {
	s.timer.Stop()
	s.alarm.Close()
}
