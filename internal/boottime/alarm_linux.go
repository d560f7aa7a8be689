package boottime

import (
	"math"
	"os"
	"sync"
	"syscall"
	"time"
)

// An alarm is a timerfd that the runtime's poller waits for.
type alarm struct {
	file  *os.File
	raw   syscall.RawConn
	ended chan struct{} // closed when serve has returned

	// mu makes one step of reading the timer and filling fire, and of setting
	// it and emptying fire. So an expiry does not outlive the next reset: the
	// kernel forgets what was not read.
	mu   sync.Mutex
	fire chan struct{}
}

// newAlarm makes an alarm that fills fire, or nil if there is none to be had.
func newAlarm(fire chan struct{}) *alarm {
	// Without a clock to read, virtual cannot have known.
	if _, ok := gettime(clockMonotonic); !ok {
		return nil
	}
	fd, err := timerfd()
	if err != nil {
		return nil
	}
	a := &alarm{file: os.NewFile(fd, "timerfd"), fire: fire, ended: make(chan struct{})}
	a.raw, err = a.file.SyscallConn()
	// Both may be denied where the making was not. A deadline can be set only
	// if the poller took the file.
	if err != nil || settime(fd, 0) != nil || a.file.SetReadDeadline(time.Time{}) != nil {
		_ = a.file.Close()
		return nil
	}
	go a.serve()
	return a
}

// serve reads the timer until the file is closed.
func (a *alarm) serve() {
	defer close(a.ended)
	_ = a.raw.Read(func(fd uintptr) (done bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		var expiries [8]byte
		if n, _ := syscall.Read(int(fd), expiries[:]); n == len(expiries) {
			select {
			case a.fire <- struct{}{}:
			default:
			}
		}
		return false // wait for more
	})
}

// maxWait is what all kernels can be asked for: 68 years.
const maxWait = math.MaxInt32 * time.Second

func (a *alarm) reset(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// To be set to 0 would end it. The error is that of a closed file: newAlarm
	// has seen that the timer can be set.
	_ = a.raw.Control(func(fd uintptr) { _ = settime(fd, min(max(d, 1), maxWait)) })
	a.empty()
}

func (a *alarm) close() {
	_ = a.file.Close() // again, it returns an error
	<-a.ended
	a.mu.Lock()
	defer a.mu.Unlock()
	a.empty()
}

// empty needs mu.
func (a *alarm) empty() {
	select {
	case <-a.fire:
	default:
	}
}
