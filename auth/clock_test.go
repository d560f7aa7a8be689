package auth_test

import (
	"errors"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/own"
)

func TestCheckClock(t *testing.T) {
	floor := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	ceiling := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		now  time.Time
		says string // empty for plausible
	}{
		{"the zero time", time.Time{}, "says 0001-01-01T00:00:00Z, which is before 2025-01-01"},
		{"no battery", time.Unix(12, 0), "says 1970-01-01T00:00:12Z, which is before 2025-01-01"},
		{"a synctest bubble", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), "before 2025-01-01"},
		{"just before the floor", floor.Add(-1), "says 2024-12-31T23:59:59Z"},
		{"the floor", floor, ""},
		{"the floor in another zone", floor.In(time.FixedZone("", -12*3600)), ""},
		{"these years", time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), ""},
		{"just before the ceiling", ceiling.Add(-1), ""},
		{"the ceiling", ceiling, "says 2100-01-01T00:00:00Z, which is not before 2100-01-01"},
		{"the end of 32 bits unsigned", time.Unix(1<<32, 0), "2106-02-07"},
		{"nonsense", time.Unix(1<<60, 0), "not before 2100"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := auth.CheckClock(own.Key{}, test.now)
			if test.says == "" {
				if err != nil {
					t.Errorf("CheckClock: %v, want nil", err)
				}
				return
			}
			wantError(t, err, auth.ErrClockImplausible, test.says)
			if errors.Is(err, auth.ErrInvalid) {
				t.Error("a wrong clock matches ErrInvalid; it heals, configuration does not")
			}
		})
	}
}
