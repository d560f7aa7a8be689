package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/boottime"
	"github.com/devicetwin/devicetwin-go/internal/errs"
	"github.com/devicetwin/devicetwin-go/internal/errtext"
)

const (
	// fallbackWait is enough for name, TCP, TLS and login over a slow cellular
	// line, and leaves a second way most of a dial's minute.
	fallbackWait = 10 * time.Second
	// fallbackProbe is how long a way around is taken for granted: a firewall's
	// rules change by the week, a device moves by the day.
	fallbackProbe = 24 * time.Hour
	// fallbackHosts bounds what is remembered. A device has one host; a gateway
	// or a desk that plays many devices has a few.
	fallbackHosts = 64
)

// FallbackOptions shape the Dialer of Fallback; nil means all defaults.
type FallbackOptions struct {
	// Wait is what the way that is tried first may take before the other is
	// tried. It is never more than half of what is left of the context of Dial.
	// Zero means 10 s.
	Wait time.Duration
	// Probe is how long the second way, once it worked where the first did not,
	// is tried first. After that, one Dial tries the first way again. Zero means
	// a day. On Linux the time that the machine sleeps counts.
	Probe time.Duration
}

// Fallback tries first and, where that cannot open a line to the hub, second:
//
//	transport.Fallback(mqtt.Dialer{}, mqtt.Dialer{Stream: ws.Stream(nil)}, nil)
//
// gets through a firewall that drops port 8883, within 10 s and the time that
// port 443 takes. What worked is tried first the next time, per host (the hub's
// or the gateway's); then, too, the other way is tried when it fails. After a
// day the first way is probed again. All this is forgotten with the process.
//
// Only a line that could not be opened is a reason to try the other way: no
// answer, a refused or broken connection, a name that is not found, a proxy
// that refuses, something that speaks no TLS or not the protocol. Where a hub
// has spoken, the other way would hear the same: an error that matches
// ErrUnauthorized, ErrUntrusted, ErrThrottled, ErrQuota, ErrRejected,
// ErrNotFound or a *StatusError is returned at once, as is one about the
// configuration (auth.ErrInvalid, ErrUnsupported) or about the end of ctx.
// MQTT's CONNACK 3 looks like a line that could not be opened, for both match
// ErrUnavailable; the second way then hears it too.
//
// When both fail, the error matches what the last way's does, and tells both.
// Three ways nest. The Dialer may be used concurrently and for many identities.
func Fallback(first, second Dialer, opts *FallbackOptions) Dialer {
	var o FallbackOptions
	if opts != nil {
		o = *opts
	}
	if o.Wait <= 0 {
		o.Wait = fallbackWait
	}
	if o.Probe <= 0 {
		o.Probe = fallbackProbe
	}
	return &fallback{first: first, second: second, opts: o, elapsed: boottime.NewClock(), probeAt: map[string]time.Duration{}}
}

type fallback struct {
	first, second Dialer
	opts          FallbackOptions
	elapsed       func() time.Duration // from any start

	mu      sync.Mutex               // guards probeAt; nothing waits while it is held
	probeAt map[string]time.Duration // by host, where the second way goes first: until when
}

// Dial implements Dialer.
func (f *fallback) Dial(ctx context.Context, login Login) (Conn, error) {
	host := login.Target("", 0).Host
	way, other := f.first, f.second
	around, probing := f.goesAround(host)
	if around {
		way, other = other, way
	}
	c, err := f.try(ctx, way, login)
	switch {
	case err == nil || !opensNoLine(err): // the hub was reached, if only to be refused
		f.remember(host, around)
		return c, err
	case ctx.Err() != nil:
		if probing {
			f.probeNow(host)
		}
		return nil, matchEnd(ctx, err)
	}
	c, last := other.Dial(ctx, login)
	if last == nil || !opensNoLine(last) {
		f.remember(host, !around)
	}
	if last != nil {
		return nil, fmt.Errorf("%w (before that, the other way failed: %v)", last, errtext.Bare("transport", err))
	}
	return c, nil
}

// try gives a way the time that leaves some for the other.
func (f *fallback) try(ctx context.Context, d Dialer, login Login) (Conn, error) {
	wait := f.opts.Wait
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	part, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return d.Dial(part, login)
}

// goesAround decides what to try first. Where a probe is due, it is the
// caller's, and the others go on as before.
func (f *fallback) goesAround(host string) (around, probing bool) {
	now := f.elapsed()
	f.mu.Lock()
	defer f.mu.Unlock()
	at, known := f.probeAt[host]
	if known && now >= at {
		f.probeAt[host] = now + f.opts.Probe
		return false, true
	}
	return known, false
}

// remember notes which way led to the hub.
func (f *fallback) remember(host string, around bool) {
	now := f.elapsed()
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.probeAt[host]
	switch {
	case !around:
		delete(f.probeAt, host)
	case !known: // else the probe stays due when it was
		if len(f.probeAt) == fallbackHosts {
			for any := range f.probeAt { // which one hardly matters: it costs one wait
				delete(f.probeAt, any)
				break
			}
		}
		f.probeAt[host] = now + f.opts.Probe
	}
}

// probeNow makes up for a probe that was cut short.
func (f *fallback) probeNow(host string) {
	now := f.elapsed()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probeAt[host] = now
}

// opensNoLine reports whether the hub was not heard, so that another way may
// help; see Fallback.
func opensNoLine(err error) bool {
	for _, heard := range []error{
		ErrUnauthorized, ErrUntrusted, ErrThrottled, ErrQuota, ErrRejected, ErrNotFound,
		ErrUnsupported, auth.ErrInvalid,
	} {
		if errors.Is(err, heard) {
			return false
		}
	}
	_, untrusted := errs.As[*tls.CertificateVerificationError](err) // of a stream that is not TLS's
	_, status := errs.As[*StatusError](err)
	return !untrusted && !status
}

// matchEnd makes an error match the end of ctx, if it does not yet.
func matchEnd(ctx context.Context, err error) error {
	if end := ctx.Err(); !errors.Is(err, end) {
		return fmt.Errorf("transport: %w: %w", end, errtext.Bare("transport", err))
	}
	return err
}
