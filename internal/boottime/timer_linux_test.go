package boottime

import (
	"context"
	"math"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// newTimer makes a Timer that must not be inert; Cleanup closes it.
func newTimer(t *testing.T) *Timer {
	t.Helper()
	timer := NewTimer()
	if timer.alarm == nil {
		t.Skip("no timerfd is to be had here")
	}
	t.Cleanup(timer.Close)
	return timer
}

// wantFire waits for a timer.
func wantFire(t *testing.T, why string, timer *Timer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-timer.C:
	case <-ctx.Done():
		t.Fatalf("%s: the timer did not fire", why)
	}
}

func bootNow(t *testing.T) time.Duration {
	t.Helper()
	now, ok := gettime(clockBoottime)
	if !ok {
		t.Fatal("the boot clock cannot be read")
	}
	return now
}

func TestFires(t *testing.T) {
	timer := newTimer(t)
	for _, d := range []time.Duration{30 * time.Millisecond, time.Microsecond, 1, 0, -1, math.MinInt64} {
		start := bootNow(t)
		timer.Reset(d)
		wantFire(t, d.String(), timer)
		if took := bootNow(t) - start; took < d {
			t.Errorf("%v: it fired after %v", d, took)
		}
	}
}

func TestResetEarlierAndLater(t *testing.T) {
	timer := newTimer(t)
	timer.Reset(time.Hour)
	timer.Reset(time.Millisecond)
	wantFire(t, "earlier", timer)

	start := bootNow(t)
	timer.Reset(time.Millisecond)
	timer.Reset(50 * time.Millisecond)
	wantFire(t, "later", timer)
	if took := bootNow(t) - start; took < 50*time.Millisecond {
		t.Errorf("it fired after %v, want 50ms at least", took)
	}
	timer.Reset(math.MaxInt64)
	wantSilence(t, "never", timer)
}

// TestSetTo holds what a kernel is asked for, by the kernel's own word.
func TestSetTo(t *testing.T) {
	timer := newTimer(t)
	for _, d := range []time.Duration{time.Hour, 30 * 24 * time.Hour, 5 * time.Second / 2} {
		timer.Reset(d)
		if left := leftOf(t, timer); left > d || left < d-time.Second {
			t.Errorf("%v: the kernel says %v are left", d, left)
		}
	}
	timer.Reset(math.MaxInt64)
	if left := leftOf(t, timer); left > maxWait || left < maxWait-time.Minute {
		t.Errorf("never: the kernel says %v are left, want %v", left, maxWait)
	}
}

func leftOf(t *testing.T, timer *Timer) time.Duration {
	t.Helper()
	var left time.Duration
	if err := timer.alarm.raw.Control(func(fd uintptr) { left = gettimeLeft(t, fd) }); err != nil {
		t.Fatal(err)
	}
	return left
}

// TestResetLeavesNothingOld races the expiry with the next Reset.
func TestResetLeavesNothingOld(t *testing.T) {
	timer := newTimer(t)
	for i := range 5000 {
		timer.Reset(time.Duration(i%50) * time.Microsecond)
		for range i % 7 {
			runtime.Gosched()
		}
		timer.Reset(time.Hour)
		for range 3 {
			wantSilence(t, "armed for an hour", timer)
			runtime.Gosched()
		}
	}
	timer.Reset(0)
	wantFire(t, "after all that", timer)
}

func TestNobodyReceives(t *testing.T) {
	timer := newTimer(t)
	for range 3 {
		timer.Reset(0)
		for len(timer.C) == 0 {
			runtime.Gosched()
		}
	}
	timer.Reset(time.Hour)
	wantSilence(t, "armed anew", timer)
}

func TestCloseWhileArmed(t *testing.T) {
	for _, d := range []time.Duration{time.Hour, time.Microsecond, 0} {
		timer := newTimer(t)
		timer.Reset(d)
		timer.Close()
		wantSilence(t, "closed", timer)
		select {
		case <-timer.alarm.ended:
		default:
			t.Error("closed: the goroutine has not ended")
		}
		timer.Reset(0)
		timer.Close()
		wantSilence(t, "closed twice", timer)
	}
}

func TestConcurrentResetAndClose(t *testing.T) {
	for range 100 {
		timer := newTimer(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 50 {
					timer.Reset(time.Duration(i) * time.Microsecond)
				}
				if i%2 == 0 {
					timer.Close()
				}
			})
		}
		all.Wait()
		timer.Close()
		wantSilence(t, "closed", timer)
	}
}

func TestManyTimers(t *testing.T) {
	timers := make([]*Timer, 100)
	for i := range timers {
		timers[i] = newTimer(t)
	}
	for i, timer := range timers {
		timer.Reset(time.Duration(i) * time.Millisecond / 10)
	}
	for _, timer := range timers {
		wantFire(t, "one of a hundred", timer)
	}
}

// TestNoDescriptorLeft: where the kernel gives no timer, it is inert.
func TestNoDescriptorLeft(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Skipf("the limit of descriptors cannot be set here: %v", err)
	}
	timer := NewTimer()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer timer.Close()
	if timer.alarm != nil {
		t.Skip("the limit of descriptors has no effect here")
	}
	timer.Reset(0)
	wantSilence(t, "inert", timer)
}
