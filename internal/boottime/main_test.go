package boottime

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; nothing waits for it that goes well.
const patience = time.Minute

// wantSilence holds that a timer has not fired.
func wantSilence(t *testing.T, why string, timer *Timer) {
	t.Helper()
	select {
	case <-timer.C:
		t.Fatalf("%s: the timer fired", why)
	default:
	}
}
