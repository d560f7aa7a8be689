// Command offline shows what a store is for: the line of a board dies, then its
// power is cut in the middle of a report, with kill -9, and nothing is lost. It
// needs no account and no network, and ends by itself:
//
//	go run ./examples/offline
//
// The board is a process of its own; its firmware, which is all that a real
// one needs, is in board.go. The store keeps what ReportLater returned nil for,
// and what durable listeners heard. What a killed process wrote stays with the
// kernel; that it is safe from a real power cut, fsync sees to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

const (
	name  = "fan-7"         // the device, as the hub knows it
	limit = 9 * time.Second // for a story of a second
)

const usage = `Usage: offline

Shows what a store is for: the line of a board dies, then its power is cut in the
middle of a report, and nothing is lost. It takes no arguments, needs no account and
no network, and ends by itself: with status 0 if all of it happened, else with 1 and
what did not.
`

func main() {
	desk.Main(func(ctx context.Context, args []string, c desk.Console) int {
		if len(args) == 1 && args[0] == asBoard {
			// The story is interrupted, not its board: that ends with its sensor.
			err := firmware(context.WithoutCancel(ctx), c.Stdin, c.Stdout)
			desk.Explain(c.Stderr, "offline: the board", err)
			return desk.ExitStatus(err)
		}
		short, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return desk.NoArguments("offline", usage, args, c, func() error {
			err := run(short, c.Stdout)
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return err
		})
	})
}

// run starts a hub and tells the story with it.
func run(ctx context.Context, out io.Writer) error {
	hub, err := hubtest.Start(nil)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "offline")
	if err != nil {
		return errors.Join(err, hub.Close())
	}
	return errors.Join(tell(ctx, out, hub, dir), hub.Close(), os.RemoveAll(dir))
}

// A story is told by one goroutine.
type story struct {
	out     io.Writer
	begun   time.Time
	hub     *hubtest.Hub
	env     []string // the board's
	board   *machine // nil while it has no power
	safe    int      // the last battery that the board called safe
	started int      // the one whose report the power cut met
}

func tell(ctx context.Context, out io.Writer, hub *hubtest.Hub, dir string) error {
	s := &story{out: out, begun: time.Now(), hub: hub}
	if err := s.prepare(dir); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() {
		if s.board != nil { // the story broke off, and says why
			_ = s.board.cutPower()
		}
	}()
	for i, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"the board boots, and does what the back end desires", s.boot},
		{"the line dies; the board goes on reporting", s.loseLine},
		{"the power is cut in the middle of a report", s.losePower},
		{"the back end changes its mind meanwhile", s.changeMind},
		{"the power is back, the line is not", s.bootOffline},
		{"the line is back, and nothing is lost", s.catchUp},
		{"one more boot: only the lamp, which forgets, is set again", s.bootAgain},
	} {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("step %d, %q, did not happen: %w", i+1, step.title, err)
		}
	}
	return nil
}

// prepare puts the hub on a port, and what the board needs where it finds it.
func (s *story) prepare(dir string) error {
	made, err := s.hub.AddDevice(name)
	if err != nil {
		return err
	}
	address, err := s.hub.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	ca := filepath.Join(dir, "hub.pem")
	if err := os.WriteFile(ca, s.hub.CAPEM(), 0o600); err != nil {
		return err
	}
	s.env = []string{
		envIdentity + "=" + made.ConnectionString,
		envStore + "=" + filepath.Join(dir, "twin.store"),
		envAddress + "=" + address.String(),
		envCA + "=" + ca,
	}
	s.say("hub", "speaks MQTT over TLS on %v, and knows the device %s", address, name)
	return s.desire(desired)
}
