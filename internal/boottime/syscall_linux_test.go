package boottime

import (
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// gettimeLeft asks the kernel how long a timer has to go.
func gettimeLeft(t *testing.T, fd uintptr) time.Duration {
	t.Helper()
	var left [2]syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_GETTIME, fd, uintptr(unsafe.Pointer(&left)), 0); errno != 0 {
		t.Fatal(errno)
	}
	return time.Duration(left[1].Nano())
}

// Test64Bit holds that the calls that 32-bit systems may have to fall back on
// do what the others do.
func Test64Bit(t *testing.T) {
	if !is32Bit {
		t.Skip("these calls are those of 32-bit systems")
	}
	for _, clock := range []uintptr{clockMonotonic, clockBoottime} {
		before, _ := gettime(clock)
		got, ok := gettime64(clock)
		after, _ := gettime(clock)
		if !ok {
			t.Skip("this kernel is older than 5.1")
		}
		if got < before || got > after {
			t.Errorf("clock %d: got %v, want from %v to %v", clock, got, before, after)
		}
	}

	timer := newTimer(t)
	set := func(d time.Duration) (left time.Duration) {
		t.Helper()
		err := timer.alarm.raw.Control(func(fd uintptr) {
			if err := settime64(fd, d); err != nil {
				t.Fatal(err)
			}
			left = gettimeLeft(t, fd)
		})
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	const d = 5*time.Hour + 600*time.Millisecond
	if left := set(d); left > d || left < d-500*time.Millisecond {
		t.Errorf("%v: the kernel says %v are left", d, left)
	}
	set(time.Millisecond)
	wantFire(t, "set by the 64-bit call", timer)
}
