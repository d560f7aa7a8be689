// Command backend is the back end's half of a twin, from a shell: it writes tags
// and desired properties to one device's twin, waits for the device's answer, and
// finds devices by what their twins hold, over package twin/registry.
//
//	export IOTHUB_CONNECTION_STRING='HostName=…;SharedAccessKeyName=…;SharedAccessKey=…'
//	backend -device dev1
//
// At the hub in the box, with a device that obeys, each in a terminal of its own:
//
//	hub -device dev1 -mqtt 0 -amqp 0 -https 0 -info hub.json
//	twin -info hub.json -ack watch climate
//	backend -info hub.json
//
//	Usage: backend [flags]
//
//	What it writes:
//	  -device ID      the device whose twin it is
//	  -create         register the device first, if the hub does not know it, and print
//	                  the connection string by which it logs in
//	  -region NAME    tags.location.region; US unless given
//	  -plant NAME     tags.location.plant; Redmond43 unless given
//	  -min N          desired climate.minTemperature; 18 unless given
//	  -max N          desired climate.maxTemperature; 24 unless given
//	  -fan=false      desired climate.hvac.systemControl.fanOn; true unless given
//	  -desired JSON   desired properties in place of climate: an object, merged into what is
//	                  desired already, such as '{"interval":5}'; null deletes
//
//	What it does then:
//	  -wait TIME      how long the device may take for its answer; 1m unless given; 0 does
//	                  not wait for one
//	  -page N         how many devices a page of a query holds at most; 100 unless given
//	  -method NAME    call this direct method of the device at the end
//	  -payload JSON   give this to the method
//
//	The hub:
//	  -c STRING       a connection string of its policy iothubowner, or of another that may
//	                  ServiceConnect, and for -create write the registry. Others on this
//	                  machine see it there: better set IOTHUB_CONNECTION_STRING
//	  -ca FILE        trust the CAs in this PEM file instead of the system's
//	  -endpoint H:P   connect to this host and port instead of the hub's own
//	  -info FILE      take all of this from the file that examples/hub -info writes, and the
//	                  device, where it is the only one there
//	  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
//	                  that HTTPS_PROXY and NO_PROXY name; "none" for none. A password in
//	                  it others on this machine see there: better set HTTPS_PROXY
//	  -timeout TIME   how long each step at the hub may take; 30s unless given
//	  -v              log each request to stderr
//
//	The story is told on stdout, all else on stderr.
//
//	Exit status:
//	  0  done
//	  1  another failure: an interruption, a hub that is not trusted, an ETag that
//	     others change again and again, an output that cannot be written
//	  2  wrong usage: flags, device id, connection string, CA file
//	  3  the hub refused the policy: its name, its key, or what it may do
//	  4  refused for good: the hub does not know the device, or rejects what is written
//	  5  not done in time: the hub cannot be reached, does not answer or throttles; or
//	     the device did not answer
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

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit status. Nothing that it
// started runs after it.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	j, err := parse(args, env, stderr)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stderr, usage)
		return exitDone
	}
	if err == nil {
		err = j.run(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "backend: %v\n", err)
	}
	return exitStatus(err)
}

// The exit statuses; usage says what they mean.
const (
	exitDone = iota
	exitFailed
	exitUsage
	exitUnauthorized
	exitRefused
	exitTimeout
)

// exitStatus sorts an error.
func exitStatus(err error) int {
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return exitDone
	case is(errInterrupted): // whatever went wrong over it
		return exitFailed
	case is(errUsage, auth.ErrInvalid):
		return exitUsage
	case is(transport.ErrUnauthorized):
		return exitUnauthorized
	case is(errSilent, registry.ErrOffline, registry.ErrNoAnswer, context.DeadlineExceeded, transport.ErrUnavailable,
		transport.ErrThrottled, transport.ErrLost, transport.ErrStalled):
		return exitTimeout
	case is(twin.ErrInvalid, transport.ErrNotFound, transport.ErrRejected):
		return exitRefused
	}
	return exitFailed
}
