package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// hardware is what the firmware drives. It keeps its settings over a power cut.
type hardware interface {
	SetBand(low, high float64) error
	SetFan(on bool) error
	Temperature() float64
}

// climate is what a back end may desire. Nothing desired means the frost guard.
type climate struct {
	Min float64 `json:"minTemperature"`
	Max float64 `json:"maxTemperature"`
}

var errBand = &twin.AckError{Code: twin.AckBad, Text: "minTemperature must be below maxTemperature; set both"}

// A thermostat keeps a panel and its twin in step.
type thermostat struct {
	id        auth.Identity
	cred      auth.Credential
	dialer    transport.Dialer
	storePath string
	hw        hardware
	log       *slog.Logger
}

// run keeps the twin in step until ctx ends. It returns nil once the hub or the
// store has all that was reported.
func (t *thermostat) run(ctx context.Context) (err error) {
	// Without its store a thermostat still heats: s is nil then, which is no store.
	s, err := store.Open(t.storePath, t.id, nil)
	if err != nil {
		t.log.Error("a power cut will lose reports", "err", err)
	} else if err := s.Damage(); err != nil {
		t.log.Warn("reports may be lost", "err", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()

	dev := device.New(t.id, t.cred, t.dialer, &device.Options{
		ModelID: "dtmi:com:example:Thermostat;1", Store: s, Logger: t.log,
	})
	if err := t.listen(dev); err != nil {
		return errors.Join(err, dev.Close())
	}
	var measuring sync.WaitGroup
	defer measuring.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	measuring.Go(func() { t.measure(ctx, dev) })
	return dev.Run(ctx) // it ends with a Shutdown, which waits for the hub
}

// listen says what the thermostat obeys. Each listener hears of its own property,
// whether that changed on the line, while the line was down, or while the power was
// off. Since they are durable, a start without a change touches no hardware.
func (t *thermostat) listen(dev *device.Client) error {
	// The client acknowledges each value: 200, 400 for errBand or a value of another
	// type, and 500 for what the panel could not do.
	_, bandErr := dev.OnDesired("climate", twin.TypedOr(climate{5, 30}, func(_ context.Context, v climate, _ twin.Change) error {
		if v.Min >= v.Max {
			return errBand
		}
		return t.hw.SetBand(v.Min, v.Max)
	}), &device.ListenOptions{Acknowledge: true, Durable: "band"})
	// A listener may lie below another. This one reports in words of its own.
	_, fanErr := dev.OnDesired("climate.hvac.systemControl.fanOn", twin.TypedOr(false, func(ctx context.Context, on bool, _ twin.Change) error {
		if err := t.hw.SetFan(on); err != nil {
			return err
		}
		return dev.ReportLater(ctx, twin.Set("status.fan", on))
	}), &device.ListenOptions{Durable: "fan"})
	return errors.Join(bandErr, fanErr)
}

// measure reports the temperature once a minute until ctx ends. While the line is
// down the client keeps the newest one.
func (t *thermostat) measure(ctx context.Context, dev *device.Client) {
	for tick := time.NewTicker(time.Minute); ; {
		select {
		case <-tick.C:
			if err := dev.ReportLater(ctx, twin.Set("status.temperature", t.hw.Temperature())); err != nil {
				t.log.Warn("the temperature is not reported", "err", err)
			}
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}
