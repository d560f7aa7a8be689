package transport

import "time"

// What the tests look at from outside.
var ClientConfig = clientConfig

// SetElapsed sets the clock of what Fallback returned.
func SetElapsed(d Dialer, elapsed func() time.Duration) { d.(*fallback).elapsed = elapsed }

const MaxErrorText = maxMessage
