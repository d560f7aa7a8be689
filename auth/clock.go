package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/own"
)

// ErrClockImplausible says that the device's clock cannot be right. Tokens
// made by it would have ended, and certificates would not be valid yet, so
// nothing but setting the clock helps; a retry after that does.
var ErrClockImplausible = errors.New("auth: implausible clock")

// The times between which a clock is believed: from the year in which this
// library began, which no right clock can be before, to a year that only a
// broken one shows. Boards without a battery start in 1970, 2000 or at the
// build of their firmware's base image.
const (
	clockFloor   = 1735689600 // 2025-01-01T00:00:00Z
	clockCeiling = 4102444800 // 2100-01-01T00:00:00Z
)

// CheckClock says whether now, as the device's wall clock tells it, can be
// right: from 2025-01-01 until before 2100-01-01, UTC. The error matches
// ErrClockImplausible and tells what the clock says. A nil error is no proof:
// a hub refuses a clock that is more than about five minutes off.
func CheckClock(_ own.Key, now time.Time) error {
	floor, ceiling := time.Unix(clockFloor, 0), time.Unix(clockCeiling, 0)
	side := ""
	switch {
	case now.Before(floor):
		side = "before " + floor.UTC().Format(time.DateOnly)
	case !now.Before(ceiling):
		side = "not before " + ceiling.UTC().Format(time.DateOnly)
	default:
		return nil
	}
	return fmt.Errorf("%w: the device's clock says %s, which is %s; set it (NTP, RTC, modem) before tokens and certificates can work",
		ErrClockImplausible, utc(now), side)
}

// utc is a time as errors have it.
func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
