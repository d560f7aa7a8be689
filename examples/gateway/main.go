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
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	os.Exit(run(ctx, os.Args[1:], hangups, os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit status. Nothing that it started
// runs after it, unless it says so.
func run(ctx context.Context, args []string, hangups <-chan os.Signal, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	var entries []entry
	var wrong []error
	if err == nil {
		entries, wrong, err = s.list.read()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "gateway: %v\n", err)
		return 2
	}
	g := newGateway(s, stdout, stderr)
	g.apply(ctx, entries, wrong)
	if err := g.run(ctx, hangups); err != nil {
		fmt.Fprintf(stderr, "gateway: %v\n", err)
		return 1
	}
	return 0
}
