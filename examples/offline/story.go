package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// What the back end desires at first, what it changes, and what it sees
// reported at the end, but for the battery.
const (
	desired  = `{"fan":{"rpm":800},"heater":{"celsius":21},"lamp":"green"}`
	changed  = `{"fan":{"rpm":1500}}`
	reported = `{"battery":%d,"fan":{"rpm":{"value":1500,"ac":200,"av":3}},"firmware":"2.1",` +
		`"heater":{"celsius":{"value":21,"ac":200,"av":2}},"serial":"F7-0042"}`
)

// boot is the first one: every listener is told what stands.
func (s *story) boot(ctx context.Context) error {
	if err := s.powerOn(ctx); err != nil {
		return err
	}
	if err := s.hear(ctx, "is online", "sets fan.rpm = 800", "sets heater.celsius = 21", "sets lamp", "reports"); err != nil {
		return err
	}
	return s.hubHas(ctx, `{"fan":{"rpm":{"value":800,"ac":200,"av":2}},"firmware":"2.1",`+
		`"heater":{"celsius":{"value":21,"ac":200,"av":2}},"serial":"F7-0042"}`)
}

func (s *story) loseLine(ctx context.Context) error {
	s.hub.Device(name).SetLine(false)
	s.say("hub", "cannot be reached any more")
	if err := s.hear(ctx, "has no line"); err != nil {
		return err
	}
	for _, battery := range []int{90, 89, 88} {
		if err := s.measure(ctx, battery); err != nil {
			return err
		}
		if err := s.hear(ctx, fmt.Sprintf("has battery = %d safe", battery)); err != nil {
			return err
		}
		s.safe = battery
	}
	if _, err := s.hub.Device(name).WaitReported(ctx, "battery", ""); err != nil {
		return err
	}
	s.say("hub", "knows nothing of a battery")
	return nil
}

// losePower kills the board between its first word about a report and its
// last. Whether that report reached the store, nobody can say; but if the board
// called it safe, it must have.
func (s *story) losePower(ctx context.Context) error {
	s.started = 87
	if err := s.measure(ctx, s.started); err != nil {
		return err
	}
	board := s.board
	s.board = nil
	if err := board.cutPower(); err != nil {
		return err
	}
	s.say("power", "is cut")
	if line, ok := board.said(fmt.Sprintf("has battery = %d safe", s.started)); ok {
		s.say("board", "%s: its last word", line)
		s.safe = s.started
	}
	return board.nothingElse()
}

func (s *story) changeMind(context.Context) error { return s.desire(changed) }

func (s *story) bootOffline(ctx context.Context) error {
	if err := s.powerOn(ctx); err != nil {
		return err
	}
	return s.hear(ctx, "has no line")
}

// catchUp mends the line. Listeners are told in the order in which they were
// registered: that the lamp is set, and the heater was not before it, shows
// that the heater's was not told.
func (s *story) catchUp(ctx context.Context) error {
	s.hub.Device(name).SetLine(true)
	s.say("hub", "can be reached again")
	if err := s.hear(ctx, "is online", "sets fan.rpm = 1500", "sets lamp", "reports"); err != nil {
		return err
	}
	battery, err := s.battery(ctx)
	if err != nil {
		return err
	}
	switch battery {
	case s.safe:
		s.say("hub", "has battery = %d, the last that the board called safe", battery)
	case s.started:
		s.say("hub", "has battery = %d: what the power cut met had reached the store", battery)
	default:
		return fmt.Errorf("the hub has battery = %d, not %d or %d", battery, s.safe, s.started)
	}
	s.safe = battery
	return s.finish(ctx)
}

// bootAgain finds nothing to do but for what has no memory: the lamp.
func (s *story) bootAgain(ctx context.Context) error {
	if err := s.powerOn(ctx); err != nil {
		return err
	}
	if err := s.hear(ctx, "is online", "sets lamp", "reports"); err != nil {
		return err
	}
	return s.finish(ctx)
}

// finish looks at the whole reported half, and lets the board end in order.
func (s *story) finish(ctx context.Context) error {
	if err := s.hubHas(ctx, fmt.Sprintf(reported, s.safe)); err != nil {
		return err
	}
	board := s.board
	s.board = nil
	if err := board.switchOff(); err != nil {
		return err
	}
	s.say("power", "is switched off, and the board ends in order")
	return board.nothingElse()
}

// desire is the back end.
func (s *story) desire(patch string) error {
	version, err := s.hub.Device(name).SetDesired(patch)
	if err == nil {
		s.say("hub", "desires %s (desired version %d)", patch, version)
	}
	return err
}

// hubHas waits until the hub's whole reported half is as given.
func (s *story) hubHas(ctx context.Context, want string) error {
	twin, err := s.hub.Device(name).WaitReported(ctx, "", want)
	if err == nil {
		s.say("hub", "has reported %s", twin.Reported.JSON)
	}
	return err
}

// battery waits until the hub has any.
func (s *story) battery(ctx context.Context) (level int, err error) {
	_, err = s.hub.Device(name).Wait(ctx, func(t hubtest.Twin) bool {
		var reported struct{ Battery *int }
		if json.Unmarshal(t.Reported.JSON, &reported) != nil || reported.Battery == nil {
			return false
		}
		level = *reported.Battery
		return true
	})
	return level, err
}

func (s *story) powerOn(ctx context.Context) (err error) {
	s.say("power", "is on")
	if s.board, err = powerOn(ctx, s.env); err != nil {
		return err
	}
	return s.hear(ctx, "boots")
}

// measure lets the sensor measure, and the board begin to report that.
func (s *story) measure(ctx context.Context, battery int) error {
	if err := s.board.measure(battery); err != nil {
		return err
	}
	return s.hear(ctx, fmt.Sprintf("measures battery = %d", battery))
}

// hear waits until the board has said all these lines, which begin as given,
// and nothing else before the last of them; and tells them.
func (s *story) hear(ctx context.Context, starts ...string) error {
	for _, start := range starts {
		line, err := s.board.hear(ctx, start)
		if err != nil {
			return err
		}
		s.say("board", "%s", line)
	}
	return s.board.nothingElse()
}

// say tells one line of the story: when, who, what.
func (s *story) say(who, format string, args ...any) {
	fmt.Fprintf(s.out, "%7.3f s  %-5s  %s\n", time.Since(s.begun).Seconds(), who, fmt.Sprintf(format, args...))
}
