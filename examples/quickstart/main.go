// Command quickstart tells the story of a twin in some seconds, offline: a hub
// and a device in one process, on real sockets with TLS. The back end desires,
// the device obeys and reports, the line breaks, and both end up right.
//
//	go run ./examples/quickstart
//
// Each line says when, who (hub or device), and what. It ends with status 0
// when all of it happened, and otherwise with 1 and the step that did not.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// limit is how long the story may take; it takes about a second.
const limit = 8 * time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	err := run(ctx, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run starts a hub and tells the story with it.
func run(ctx context.Context, out io.Writer) error {
	hub, err := hubtest.Start(nil)
	if err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	return errors.Join(tell(ctx, out, hub), hub.Close())
}

// A story is told line by line, by one goroutine. What others see of it comes
// through channels: so the lines stand in the order in which things happened.
type story struct {
	out    io.Writer
	begun  time.Time
	hub    *hubtest.Hub
	dev    *device.Client
	heard  chan twin.Change  // what the listener was told
	states chan device.State // where the client stands
}

const id = "fan-7" // the device's name at the hub

func tell(ctx context.Context, out io.Writer, hub *hubtest.Hub) error {
	s := &story{
		out: out, begun: time.Now(), hub: hub,
		heard: make(chan twin.Change), states: make(chan device.State, 64),
	}
	made, err := s.openHub()
	if err != nil {
		return err
	}
	if err := s.makeDevice(made); err != nil {
		return err
	}
	defer s.dev.Close() // it waits: nothing of the client runs after this

	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"connect and get the twin", s.connect},
		{"obey a change and acknowledge it", s.obey},
		{"report", s.report},
		{"lose the line", s.loseLine},
		{"catch up by itself", s.catchUp},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("this did not happen: %s: %w", step.name, err)
		}
	}
	return nil
}

// openHub puts the hub on a port, with one device that it knows. A program for
// a real hub has none of this.
func (s *story) openHub() (hubtest.Device, error) {
	made, err := s.hub.AddDevice(id)
	if err != nil {
		return made, fmt.Errorf("add the device: %w", err)
	}
	s.say("hub", "knows %s, and has no twin of it but an empty one", id)
	return made, s.desire("800", "before the device was ever seen")
}

// makeDevice makes the client: identity, credential, transport, options.
func (s *story) makeDevice(made hubtest.Device) error {
	address, err := s.hub.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	// The same line of text that the hub's portal shows. It is a secret, and
	// comes from the environment or a file in a real program.
	who, cred, err := auth.ParseConnectionString(made.ConnectionString)
	if err != nil {
		return err
	}
	// A real hub needs neither option: its name leads to its address, and the
	// system knows its CA. The hub's certificate is verified all the same.
	line := transport.TLS(&transport.TLSOptions{
		Config:  &tls.Config{RootCAs: s.hub.RootCAs()},
		Address: address.String(),
	})
	s.dev = device.New(who, cred, mqtt.Dialer{Stream: line}, &device.Options{
		OnState: func(state device.State) { s.states <- state },
	})
	// A listener has a path and a type. It hears of fan.rpm and of nothing
	// else, and Acknowledge reports what it made of each value.
	_, err = s.dev.Listen("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		select { // here a real device turns its fan
		case s.heard <- c:
			return nil
		case <-ctx.Done(): // the client closes
			return ctx.Err()
		}
	}), &device.ListenOptions{Acknowledge: true})
	s.say("hub", "listens on %v, MQTT over TLS", address)
	return err
}

// connect is all that a program does about connecting, ever.
func (s *story) connect(ctx context.Context) error {
	if err := s.dev.Connect(ctx); err != nil {
		return err
	}
	doc, err := s.dev.GetTwin(ctx)
	if err != nil {
		return err
	}
	s.say("device", "is connected, and got its twin: %v", doc)
	return s.expect(ctx, twin.CauseStart, "800")
}

// obey: the hub tells of a change at once, while the line is up.
func (s *story) obey(ctx context.Context) error {
	if err := s.desire("1200", "while the device is online"); err != nil {
		return err
	}
	return s.expect(ctx, twin.CausePatch, "1200")
}

// report: it returns when the hub has it.
func (s *story) report(ctx context.Context) error {
	version, err := s.dev.UpdateReported(ctx, twin.Set("climate.temperature", 21.5))
	if err != nil {
		return err
	}
	s.say("device", "reported climate.temperature = 21.5; the hub has it, as reported version %d", version)
	return nil
}

// loseLine breaks the line; life goes on at both of its ends.
func (s *story) loseLine(ctx context.Context) error {
	s.hub.SetLine(id, false)
	s.say("hub", "-- the line is cut --")
	state, err := s.reach(ctx, device.Waiting)
	if err != nil {
		return err
	}
	s.say("device", "noticed: %v", state.Err)
	if err := s.desire("1500", "which the device cannot hear"); err != nil {
		return err
	}
	// ReportLater returns at once: the client wants it, and sees to the rest.
	if err := s.dev.ReportLater(ctx, twin.Set("battery", 87)); err != nil {
		return err
	}
	s.say("device", "reports battery = 87, for later")
	return nil
}

// catchUp: the program does nothing for it.
func (s *story) catchUp(ctx context.Context) error {
	s.hub.SetLine(id, true)
	s.say("hub", "-- the line is up again --")
	if _, err := s.reach(ctx, device.Online); err != nil {
		return err
	}
	s.say("device", "is connected again, by itself")
	if err := s.expect(ctx, twin.CauseReconnect, "1500"); err != nil {
		return err
	}
	if _, err := s.hub.WaitReported(ctx, id, "battery", "87"); err != nil {
		return err
	}
	s.say("hub", "has battery = 87, too")
	return nil
}

// desire is the back end's side: it sets the speed that the fan is to have.
func (s *story) desire(rpm, when string) error {
	version, err := s.hub.SetDesired(id, `{"fan":{"rpm":`+rpm+`}}`)
	if err != nil {
		return fmt.Errorf("desire fan.rpm = %s: %w", rpm, err)
	}
	s.say("hub", "desires fan.rpm = %s, %s (desired version %d)", rpm, when, version)
	return nil
}

// expect waits until the listener hears the speed, and the hub the answer.
func (s *story) expect(ctx context.Context, cause twin.Cause, rpm string) error {
	var c twin.Change
	select {
	case c = <-s.heard:
	case <-ctx.Done():
		return fmt.Errorf("the listener did not hear fan.rpm = %s: %w", rpm, ctx.Err())
	}
	if c.Value.String() != rpm || c.Cause != cause {
		return fmt.Errorf("the listener heard fan.rpm = %v, cause %v; expected %s, %v", c.Value, c.Cause, rpm, cause)
	}
	s.say("device", "heard fan.rpm = %v (desired version %d, cause %q) and obeys", c.Value, c.Version, c.Cause)
	// value, ac (code), av (version): an acknowledgement as IoT Plug and Play
	// wants it, so that the back end knows which of its wishes was obeyed.
	ack := fmt.Sprintf(`{"ac":200,"av":%d,"value":%s}`, c.Version, rpm)
	if _, err := s.hub.WaitReported(ctx, id, "fan.rpm", ack); err != nil {
		return fmt.Errorf("the hub did not see the acknowledgement: %w", err)
	}
	s.say("hub", "sees it acknowledged: reported fan.rpm = %s", ack)
	return nil
}

// reach waits until the client stands in a phase.
func (s *story) reach(ctx context.Context, phase device.Phase) (device.State, error) {
	for {
		select {
		case state := <-s.states:
			if state.Phase == phase {
				return state, nil
			}
		case <-ctx.Done():
			return device.State{}, fmt.Errorf("the client is %v, not %v: %w", s.dev.State().Phase, phase, ctx.Err())
		}
	}
}

// say tells one line of the story.
func (s *story) say(who, format string, args ...any) {
	fmt.Fprintf(s.out, "%6.3f s  %-6s  %s\n", time.Since(s.begun).Seconds(), who, fmt.Sprintf(format, args...))
}
