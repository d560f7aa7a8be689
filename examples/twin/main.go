// Command twin looks at one device's twin and changes its reported half, from a
// shell or a script: as the device, over the library's client.
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//	twin get
//	twin report '{"fan":{"rpm":1150}}'
//	twin watch fan.rpm
//
// A hub lets the newest connection of a device win: while this runs, the device
// itself is pushed off its line.
//
//	Usage: twin [flags] command
//
//	Commands:
//	  get             print the twin: {"desired":{…},"reported":{…}}
//	  report 'PATCH'  merge a JSON object into the reported properties, where null
//	                  deletes, and print their version: {"version":5}
//	  watch [PATH]    print the desired property at PATH, such as fan.rpm, or all
//	                  of them; then a line for each change, until Ctrl-C:
//	                  {"path":"fan.rpm","version":5,"cause":"patch","value":1200,"removed":[]}
//	                  value is null where there is none; cause is start, patch,
//	                  reconnect (it changed while the line was down) or gap
//
//	Flags, before the command:
//	  -c STRING       the device's connection string. Others on this machine see it
//	                  there: better set IOTHUB_DEVICE_CONNECTION_STRING
//	  -hostname NAME  the hub's name, such as myhub.azure-devices.net, and
//	  -device ID      the device's id, or device/module, in place of a connection
//	                  string, where a certificate proves the identity
//	  -cert FILE      the device's certificate with its intermediates, in PEM
//	  -key FILE       its private key in PEM; unless it stands in the -cert file
//	  -pfx FILE       both in one PFX (PKCS#12) file
//	  -pass WHERE     the passphrase of the key or PFX: env:NAME, file:NAME (its first
//	                  line), or the passphrase itself, which others then see
//	  -info FILE      take all of this, CA and port from the file that examples/hub
//	                  -info writes; -device picks the device where there are several
//	  -ca FILE        trust the CAs in this PEM file instead of the system's
//	  -endpoint H:P   connect to this host and port instead of the hub's own
//	  -transport NAME mqtt (port 8883; the default), amqp (5671), either over
//	                  WebSocket on 443 (mqtt-ws, amqp-ws), or auto: mqtt, and mqtt-ws
//	                  where that is blocked
//	  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
//	                  that HTTPS_PROXY and NO_PROXY name; "none" for none. A password in
//	                  it others on this machine see there: better set HTTPS_PROXY
//	  -ack            watch acknowledges what it prints, as a device does that obeys;
//	                  it needs a PATH
//	  -timeout TIME   how long get and report may take; 30s unless given
//	  -v              log to stderr what the client does
//
//	Results are JSON on stdout, one document a line. All else is on stderr.
//
//	Exit status:
//	  0  done; also when Ctrl-C or SIGTERM ended watch
//	  1  another failure: an interrupted get or report, a hub that is not trusted,
//	     a wrong clock, an output that cannot be written
//	  2  wrong usage: flags, arguments, connection string, CA file, certificate, key
//	  3  the hub refused the identity: key, token, certificate, or the device is unknown
//	     or disabled
//	  4  refused for good: the patch is no JSON object or breaks a limit (then nothing
//	     was sent), or the hub rejects it
//	  5  not done in time: the line is down, or the hub does not answer or throttles
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the client politely; a second one, the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit status. Nothing that it
// started runs after it.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	messages := &serial{w: stderr}
	t, err := parse(args, env)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(messages, usage)
		return exitDone
	}
	if err == nil {
		err = t.run(ctx, stdout, messages)
	}
	if err != nil {
		fmt.Fprintf(messages, "twin: %v\n", err)
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

// exitStatus sorts an error. What the hub said of the identity goes before the
// time that ran out over it.
func exitStatus(err error) int {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return exitDone
	case is(errUsage), is(auth.ErrInvalid):
		return exitUsage
	case is(transport.ErrUnauthorized), is(auth.ErrTokenExpired), is(auth.ErrCertificateExpired):
		return exitUnauthorized
	case is(twin.ErrInvalid), is(transport.ErrRejected):
		return exitRefused
	case is(context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// serial is a writer for many goroutines: the client's logger and callbacks
// speak beside the command.
type serial struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
