// Command gateway holds many devices on one AMQP connection: each has a client,
// a token and a twin of its own, and what happens to one is no matter to the
// others. Here each device is a sensor behind the gateway: it obeys the desired
// property interval, in seconds, acknowledges it, and reports a temperature that
// often, once a minute if nothing is desired.
//
//	gateway -devices devices.txt
//
// The file holds a connection string a line; empty lines and those that begin
// with # are skipped. It is read again at SIGHUP: new devices start, those that
// are gone end, and one whose key was replaced starts anew. A line that is wrong
// is told and skipped, and while there is one no device ends, for it might be
// that line's. At the hub in the box, each in a terminal of its own:
//
//	go run ./examples/hub -devices 100 -mqtt 0 -amqp 0 -https 0 -info hub.json
//	go run ./examples/gateway -info hub.json
//	go run ./examples/backend -info hub.json -device device-007 -desired '{"interval":5}'
//
// What changed is told on stdout, in a few lines however many devices there are:
//
//	99 of 100 online
//	  device-007: on a shared connection: hub answered 401 (401003): …
//
// All else is on stderr. Ctrl-C or SIGTERM ends all devices at the same time, and
// the program with status 0. Status 1 says that some did not end in time, 2 that
// the command line is wrong, or a file that it names.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
)

func main() {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	desk.Main(func(ctx context.Context, args []string, c desk.Console) int { return run(ctx, args, hangups, c) })
}

// run is the whole program, and returns its exit status. Nothing that it started
// runs after it, unless it says so.
func run(ctx context.Context, args []string, hangups <-chan os.Signal, c desk.Console) int {
	s, err := parse(args, c.Env, c.Stderr)
	var entries []entry
	var wrong []error
	if err == nil {
		entries, wrong, err = s.list.read()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return desk.ExitDone
	case err != nil:
		desk.Explain(c.Stderr, "gateway", err)
		return desk.ExitUsage
	}
	g := newGateway(s, c.Stdout, c.Stderr)
	g.apply(ctx, entries, wrong)
	if err := g.run(ctx, hangups); err != nil {
		desk.Explain(c.Stderr, "gateway", err)
		return desk.ExitFailed
	}
	return desk.ExitDone
}
