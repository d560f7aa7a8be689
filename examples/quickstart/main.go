// Command quickstart tells the story of a twin in a second, offline: a hub and
// a device in one process, on real sockets with TLS. The back end desires, the
// device obeys and reports, the line breaks, and both ends come out right.
// It ends with status 0 if all of it happened, else with 1 and what did not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

const (
	name  = "fan-7"         // the device, as the hub knows it
	limit = 8 * time.Second // for a story of one second
)

const usage = `Usage: quickstart

Tells the story of a twin in a second, offline: a hub and a device in one process. It
takes no arguments, needs no account and no network, and ends by itself: with status
0 if all of it happened, else with 1 and what did not.
`

func main() {
	desk.Main(func(ctx context.Context, args []string, c desk.Console) int {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return desk.NoArguments("quickstart", usage, args, c, func() error { return run(ctx, c.Stdout) })
	})
}

// run starts a hub and tells the story with it.
func run(ctx context.Context, out io.Writer) error {
	hub, err := hubtest.Start(nil)
	if err != nil {
		return err
	}
	return errors.Join(tell(ctx, out, hub), hub.Close())
}

// A story is told by one goroutine; what others see comes through channels. So
// its lines stand in the order in which things happened.
type story struct {
	out    io.Writer
	begun  time.Time
	hub    *hubtest.Hub
	dev    *device.Client
	heard  chan twin.Change  // by the listener
	states chan device.State // of the client; more room than a story has states
}

func tell(ctx context.Context, out io.Writer, hub *hubtest.Hub) error {
	s := &story{out, time.Now(), hub, nil, make(chan twin.Change), make(chan device.State, 64)}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer s.dev.Close() // it waits: nothing of the client runs after this
	for i, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"the device connects", s.connect},
		{"a change reaches it at once", s.obey},
		{"it reports", s.report},
		{"the line breaks, and life goes on", s.loseLine},
		{"both sides catch up by themselves", s.catchUp},
	} {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("step %d, %q, did not happen: %w", i+1, step.title, err)
		}
	}
	return nil
}

// prepare puts the hub on a port and makes the client. Only the second half
// stands in a program for a real hub.
func (s *story) prepare() error {
	made, err := s.hub.AddDevice(name)
	if err != nil {
		return err
	}
	address, err := s.hub.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	s.say("hub", "speaks MQTT over TLS on %v, and knows the device %s", address, name)
	if err := s.desire("800", "before the device was ever seen"); err != nil {
		return err
	}

	// The line of text that a hub's portal shows. It is a secret: a real
	// program takes it from its environment or a file.
	id, cred, err := auth.ParseConnectionString(made.ConnectionString)
	if err != nil {
		return err
	}
	// A real hub needs no such options: its name leads to it, and the system
	// knows its CA. This one's certificate is verified, too.
	line := transport.TLS(&transport.TLSOptions{
		RootCAs: s.hub.RootCAs(),
		Address: address.String(),
	})
	s.dev = device.New(id, cred, mqtt.Dialer{Stream: line}, &device.Options{
		OnState: func(now device.State) { s.states <- now },
	})
	// A listener has a path and a type: it hears of fan.rpm, as an int.
	// Acknowledge reports what became of each value by itself.
	_, err = s.dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		select { // a real device sets its fan to rpm here
		case s.heard <- c:
			return nil
		case <-ctx.Done(): // the client closes
			return ctx.Err()
		}
	}), &device.ListenOptions{Acknowledge: true})
	return err
}

// connect is all that a program ever does about connecting.
func (s *story) connect(ctx context.Context) error {
	if err := s.dev.Connect(ctx); err != nil {
		return err
	}
	doc, err := s.dev.GetTwin(ctx)
	if err != nil {
		return err
	}
	s.say("device", "is online, and got its twin: %v", doc)
	return s.expect(ctx, "800", twin.CauseStart)
}

func (s *story) obey(ctx context.Context) error {
	if err := s.desire("1200", "while the device is online"); err != nil {
		return err
	}
	return s.expect(ctx, "1200", twin.CausePatch)
}

func (s *story) report(ctx context.Context) error {
	version, err := s.dev.UpdateReported(ctx, twin.Set("climate.temperature", 21.5))
	if err != nil {
		return err
	}
	s.say("device", "reported climate.temperature = 21.5; the hub has it (reported version %d)", version)
	return nil
}

func (s *story) loseLine(ctx context.Context) error {
	s.hub.Device(name).SetLine(false)
	s.say("hub", "the line is cut")
	state, err := s.reach(ctx, device.Waiting)
	if err != nil {
		return err
	}
	s.say("device", "notices: %v", state.Err)
	if err := s.desire("1500", "which the device cannot hear"); err != nil {
		return err
	}
	// ReportLater returns at once; the client sees to the rest.
	if err := s.dev.ReportLater(ctx, twin.Set("battery", 87)); err != nil {
		return err
	}
	s.say("device", "reports battery = 87, which the hub cannot hear")
	return nil
}

// catchUp mends the line. The device's program does nothing about it.
func (s *story) catchUp(ctx context.Context) error {
	s.hub.Device(name).SetLine(true)
	s.say("hub", "the line is mended")
	if _, err := s.reach(ctx, device.Online); err != nil {
		return err
	}
	s.say("device", "is online again")
	if err := s.expect(ctx, "1500", twin.CauseReconnect); err != nil {
		return err
	}
	if _, err := s.hub.Device(name).WaitReported(ctx, "battery", "87"); err != nil {
		return err
	}
	s.say("hub", "has the report: battery = 87")
	return nil
}

// desire is the back end, which sets how fast the fan is to turn.
func (s *story) desire(rpm, when string) error {
	version, err := s.hub.Device(name).SetDesired(`{"fan":{"rpm":` + rpm + `}}`)
	if err == nil {
		s.say("hub", "desires fan.rpm = %s, %s (desired version %d)", rpm, when, version)
	}
	return err
}

// expect waits until the listener hears a speed, and the hub the answer.
func (s *story) expect(ctx context.Context, rpm string, cause twin.Cause) error {
	var c twin.Change
	select {
	case c = <-s.heard:
	case <-ctx.Done():
		return fmt.Errorf("the listener did not hear fan.rpm = %s: %w", rpm, ctx.Err())
	}
	if c.Value.String() != rpm || c.Cause != cause {
		return fmt.Errorf("the listener heard fan.rpm = %v, cause %v; want %s, %v", c.Value, c.Cause, rpm, cause)
	}
	s.say("device", "hears fan.rpm = %v (desired version %d, cause %q) and obeys", c.Value, c.Version, c.Cause)
	// An acknowledgement as IoT Plug and Play wants it: value, ac (a code as
	// in HTTP) and av (which desired version it answers).
	ack := fmt.Sprintf(`{"value":%s,"ac":200,"av":%d}`, rpm, c.Version)
	if _, err := s.hub.Device(name).WaitReported(ctx, "fan.rpm", ack); err != nil {
		return fmt.Errorf("the hub did not see the acknowledgement: %w", err)
	}
	s.say("hub", "sees it acknowledged: reported fan.rpm = %s", ack)
	return nil
}

// reach waits until the client stands in a phase.
func (s *story) reach(ctx context.Context, phase device.Phase) (device.State, error) {
	for {
		select {
		case now := <-s.states:
			if now.Phase == phase {
				return now, nil
			}
		case <-ctx.Done():
			return device.State{}, fmt.Errorf("the client is %v, not %v: %w", s.dev.State().Phase, phase, ctx.Err())
		}
	}
}

// say tells one line of the story: when, who, what.
func (s *story) say(who, format string, args ...any) {
	fmt.Fprintf(s.out, "%7.3f s  %-6s  %s\n", time.Since(s.begun).Seconds(), who, fmt.Sprintf(format, args...))
}
