package boottime

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBubble is portable: it holds that nothing here disturbs a bubble.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timer := NewTimer()
		defer timer.Close()
		timer.Reset(time.Second)
		clock := NewClock()
		start, slept := time.Now(), Suspended()

		time.Sleep(24 * time.Hour) // hangs if a goroutine reads a file

		synctest.Wait()
		wantSilence(t, "in virtual time", timer)
		if got := clock(); got != 24*time.Hour {
			t.Errorf("NewClock: got %v, want 24h", got)
		}
		if got := time.Since(start) + Suspended() - slept; got != 24*time.Hour {
			t.Errorf("time.Since with Suspended: got %v, want 24h", got)
		}
		select {
		case <-timer.C:
			t.Error("in virtual time: the timer fired")
		case <-time.After(time.Hour):
		}
	})
}

func TestZeroTimer(t *testing.T) {
	var timer Timer
	timer.Reset(0)
	timer.Close()
	timer.Close()
	wantSilence(t, "the zero Timer", &timer)
}

func TestClock(t *testing.T) {
	clock := NewClock()
	start := time.Now()
	before := clock()
	for range 10_000 {
		now := clock()
		if now < before {
			t.Fatalf("the clock went back from %v to %v", before, now)
		}
		before = now
	}
	if awake := time.Since(start); before > awake+patience {
		t.Errorf("the clock says %v after %v", before, awake)
	}
}

// TestClockKeepsWhatWasSuspended also where rounding turns.
func TestClockKeepsWhatWasSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slept := 20 * time.Millisecond
		clock := newClock(time.Now(), func() time.Duration { return slept })
		want := func(why string, want time.Duration) {
			t.Helper()
			if got := clock(); got != want {
				t.Errorf("%s: got %v, want %v", why, got, want)
			}
		}
		want("at the start", 0)
		slept = 10 * time.Millisecond
		want("a base that was rounded up", 0)
		slept = time.Hour + 20*time.Millisecond
		want("after a suspend", time.Hour)
		slept -= 10 * time.Millisecond
		want("a value that is rounded down", time.Hour)
		time.Sleep(time.Second)
		want("a second later", time.Hour+time.Second)
	})
}
