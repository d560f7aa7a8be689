package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/twin"
)

const (
	// patience is how long a device waits for the hub before it begins to work
	// without.
	patience = 10 * time.Second
	// usual is how often the sensor is read when nothing is desired.
	usual = time.Minute
)

// A unit is a device of the gateway. It has one goroutine, beside its client's.
type unit struct {
	entry
	gateway *gateway
	dev     atomic.Pointer[device.Client] // nil before its start
	every   chan time.Duration            // the newest interval desired
	cancel  context.CancelFunc
	done    chan struct{} // closed when nothing of it runs any more

	// What the gateway's goroutine alone knows:
	leaving bool
	cause   error // of its last failure, until it is online
}

// start starts a device, once the one before, which is being ended, has ended.
func (g *gateway) start(ctx context.Context, e entry, before *unit, delay time.Duration) *unit {
	ctx, cancel := context.WithCancel(ctx)
	u := &unit{entry: e, gateway: g, cancel: cancel, every: make(chan time.Duration, 1), done: make(chan struct{})}
	go func() {
		defer close(u.done)
		if before != nil { // the hub lets but one of them in, and the store too
			<-before.done
		}
		select {
		case <-time.After(delay):
			u.run(ctx)
		case <-ctx.Done():
		}
	}()
	return u
}

// leave begins to end the device.
func (u *unit) leave() {
	u.leaving = true
	u.cancel()
}

func (u *unit) hasEnded() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// run is the device from its start to its end. It needs no word about the
// connection, nor about the other devices.
func (u *unit) run(ctx context.Context) {
	log := u.gateway.log.With("device", u.name())
	opts := &device.Options{Logger: log, OnState: func(device.State) { u.gateway.poke() }}
	if u.gateway.store != "" {
		path := filepath.Join(u.gateway.store, u.storeName())
		if s, err := store.Open(path, u.id, &store.Options{Logger: log}); err != nil {
			u.say("it goes on without a store", err)
		} else {
			opts.Store = s
			defer func() { // after the client
				if err := s.Close(); err != nil {
					u.say("its store may have lost reports", err)
				}
			}()
		}
	}
	dev := device.New(u.id, u.cred, u.gateway.dialer, opts)
	defer dev.Close()
	u.dev.Store(dev)
	if _, err := dev.OnDesired("interval", twin.TypedOr(interval(usual), u.obey), &device.ListenOptions{Acknowledge: true}); err != nil {
		u.say("it cannot listen", err)
		return
	}
	short, cancel := context.WithTimeout(ctx, patience)
	err := dev.Connect(short)
	cancel()
	if errors.Is(err, auth.ErrInvalid) {
		return // no retry mends that; the summary tells it
	}
	u.measure(ctx, dev)
}

// obey takes the interval that is desired, or the usual one. It is acknowledged
// by itself, and with 400 if it is not one.
func (u *unit) obey(_ context.Context, every interval, _ twin.Change) error {
	select {
	case <-u.every: // nobody took it, and this one is newer
	default:
	}
	u.every <- time.Duration(every) // there is room: nobody else writes
	return nil
}

// An interval is in whole seconds at the hub.
type interval time.Duration

// maxInterval is a day, in seconds.
const maxInterval = 86400

// UnmarshalJSON implements json.Unmarshaler.
func (i *interval) UnmarshalJSON(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxInterval {
		return errors.New("an interval is whole seconds, from 1 to " + strconv.Itoa(maxInterval))
	}
	*i = interval(time.Duration(n) * time.Second)
	return nil
}

// measure reads the sensor and reports it, whether there is a line or not, until
// ctx ends. Another interval begins with a reading.
func (u *unit) measure(ctx context.Context, dev *device.Client) {
	every, readings := usual, 0
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case other := <-u.every:
			if other == every {
				continue
			}
			every = other
		case <-next.C:
		}
		next.Reset(every)
		readings++
		err := dev.ReportLater(ctx, twin.Set("sensor.temperature", temperature()).Set("sensor.readings", readings))
		switch {
		case err == nil, ctx.Err() != nil:
		case errors.Is(err, device.ErrClosed):
			return // wrong configuration; the summary tells it
		default:
			u.say("its reading was not taken", err)
		}
	}
}

// temperature stands for a sensor on the gateway's bus.
func temperature() float64 { return math.Round(200+10*rand.Float64()) / 10 }

func (u *unit) say(what string, err error) { u.gateway.err.Printf("%s: %s: %v", u.name(), what, err) }

// stands says how the device is. The last failure counts until it is online:
// that it is being tried again in between is no news.
func (u *unit) stands() standing {
	s := standing{name: u.name()}
	if dev := u.dev.Load(); dev != nil {
		now := dev.State()
		s.online = now.Phase == device.Online
		switch {
		case s.online:
			u.cause = nil
		case now.Err != nil && (u.cause == nil || now.Phase != device.Connecting):
			u.cause = now.Err
		}
	}
	s.cause = u.cause
	return s
}
