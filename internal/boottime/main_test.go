package boottime

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

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

// wantSilence holds that a timer has not fired.
func wantSilence(t *testing.T, why string, timer *Timer) {
	t.Helper()
	select {
	case <-timer.C:
		t.Fatalf("%s: the timer fired", why)
	default:
	}
}
