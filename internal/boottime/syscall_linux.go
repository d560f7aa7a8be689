package boottime

import (
	"syscall"
	"time"
	"unsafe"
)

// The kernel's clocks.
const (
	clockMonotonic = 1
	clockBoottime  = 7
)

// On 32-bit systems a kernel may be built without the calls that know 32 bits
// of seconds only (CONFIG_COMPAT_32BIT_TIME), although these would do for
// times since boot, for 68 years. Then, and only then, the calls with 64 bits
// are made: they are younger (Linux 5.1), and sandboxes that do not know them
// end the process. Package syscall does not name them, but their numbers are
// the same everywhere, from where the system's numbers start.
const (
	is32Bit             = unsafe.Sizeof(uintptr(0)) == 4
	firstCall           = syscall.SYS_READ - 3 // true on 386, arm, mips and mipsle
	sysClockGettime64   = firstCall + 403
	sysTimerfdSettime64 = firstCall + 411
)

// A timespec64 is the kernel's __kernel_timespec, also on 32-bit systems.
type timespec64 struct{ sec, nsec int64 }

// gettime reads a clock. These are raw calls, which return at once: so the
// scheduler does not come between two of them.
func gettime(clock uintptr) (time.Duration, bool) {
	var t syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&t)), 0)
	if is32Bit && errno == syscall.ENOSYS {
		return gettime64(clock)
	}
	return time.Duration(t.Nano()), errno == 0
}

func gettime64(clock uintptr) (time.Duration, bool) {
	var t timespec64
	_, _, errno := syscall.RawSyscall(sysClockGettime64, clock, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.sec)*time.Second + time.Duration(t.nsec), errno == 0
}

// timerfd makes a timer on the boot clock.
func timerfd() (uintptr, error) {
	// TFD_NONBLOCK and TFD_CLOEXEC are these by definition; they differ on mips.
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, clockBoottime, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return 0, errno
	}
	return fd, nil
}

// settime makes a timer expire once, d from now; 0 means never.
func settime(fd uintptr, d time.Duration) error {
	t := [2]syscall.Timespec{1: syscall.NsecToTimespec(int64(d))} // the interval, the first time
	_, _, errno := syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	if is32Bit && errno == syscall.ENOSYS {
		return settime64(fd, d)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func settime64(fd uintptr, d time.Duration) error {
	t := [2]timespec64{1: {int64(d / time.Second), int64(d % time.Second)}}
	_, _, errno := syscall.Syscall6(sysTimerfdSettime64, fd, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
