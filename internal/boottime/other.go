//go:build !linux

package boottime

import "time"

func suspended() time.Duration { return 0 }

func virtual() bool { return false }

// An alarm is not to be had here.
type alarm struct{}

func newAlarm(chan struct{}) *alarm { return nil }

func (*alarm) reset(time.Duration) {}

func (*alarm) close() {}
