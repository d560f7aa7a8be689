// Command twin looks at one device's twin, changes its reported half, and sends
// messages, from a shell or a script: as the device, over the library's client.
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//	twin get
//	twin set fan.rpm=1150
//	twin -property alert=true send 'too hot'
//	twin watch fan.rpm
//
//	Usage: twin [flags] command
//
//	Each command signs in as the device. A hub lets the newest connection win, so the
//	device itself loses its connection while the command runs.
//
//	Commands:
//	  get [PATH]         print the twin: {"desired":{…},"reported":{…}}; or one member of
//	                     it, such as reported.fan.rpm; or with a PATH that begins with
//	                     neither half, such as fan.rpm, that property in both halves
//	  set PATH=VALUE …   report properties, and print the version: {"version":5}. VALUE is
//	                     JSON, or else a text; null deletes: set fan.rpm=1150 mode=auto
//	  report PATCH       merge a JSON object into the reported properties, where null
//	                     deletes, and print the version; @FILE reads the object from a
//	                     file, and - from stdin
//	  send BODY          send a message (telemetry), and print its ID once the hub has it:
//	                     {"id":"…"}; @FILE reads the body from a file, and - from stdin
//	  watch [PATH]       print the desired property at PATH, such as fan.rpm, or all of
//	                     them; then a line for each change, until Ctrl-C:
//	                     {"path":"fan.rpm","version":5,"cause":"patch","value":1200,"removed":[]}
//	                     value is null where there is none; cause is start, patch,
//	                     reconnect (it changed while the line was down), gap (the hub's
//	                     word was lost), or another twin (the device was created again)
//
//	A PATH is keys with dots between. No other character in it is special.
//
//	Flags, before the command:
//	  -c STRING       the device's connection string. Others on this machine can see it
//	                  there: prefer IOTHUB_DEVICE_CONNECTION_STRING
//	  -hostname NAME  the hub's name, such as myhub.azure-devices.net, and
//	  -device ID      the device's id, or device/module, in place of a connection
//	                  string, where a certificate proves the identity
//	  -cert FILE      the device's certificate with its intermediates, in PEM
//	  -key FILE       its private key in PEM; not needed if it is in the -cert file
//	  -pfx FILE       both in one PFX (PKCS#12) file
//	  -pass WHERE     the passphrase of the key or PFX: env:NAME, file:NAME (its first
//	                  line), or the passphrase itself, which others can then see
//	  -info FILE      take all of this, CA and port from the file that examples/hub
//	                  -info writes; -device picks the device where there are several
//	  -ca FILE        trust the CAs in this PEM file instead of the system's
//	  -endpoint H:P   connect to this host and port instead of the hub's own
//	  -transport NAME mqtt (port 8883; the default), amqp (5671), either over
//	                  WebSocket on 443 (mqtt-ws, amqp-ws), or auto: mqtt, and mqtt-ws
//	                  where that is blocked
//	  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
//	                  that HTTPS_PROXY and NO_PROXY name; "none" for none. Others on
//	                  this machine can see a password in it: prefer HTTPS_PROXY
//	  -ack            watch acknowledges what it prints, as a device does that obeys;
//	                  it needs a PATH
//	  -property N=V   send gives the message a property, such as alert=true; may be given
//	                  again, for another
//	  -content-type TYPE
//	                  send says what the body is; with application/json it also says that
//	                  the encoding is utf-8, so that the hub can route by the body
//	  -timeout TIME   how long get, set, report and send may take; 90s by default
//	  -v              log to stderr what the client does
//
//	Results are JSON on stdout, one document a line. All else is on stderr.
//
//	Exit status:
//	  0  done; also when Ctrl-C or SIGTERM ended watch
//	  1  another failure: no such property, an interrupted command, a hub that is not
//	     trusted, a wrong clock, an output that cannot be written
//	  2  wrong usage: flags, arguments, connection string, CA file, certificate, key
//	  3  the hub refused the identity: key, token, certificate, or the device is unknown
//	     or disabled
//	  4  refused for good: the patch is not a JSON object, or patch or message break a
//	     limit (then nothing was sent), or the hub rejects them
//	  5  not done in time: the line is down, or the hub does not answer or throttles
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

func main() { desk.Main(run) }

// run is the whole program, and returns its exit status. Nothing that it
// started runs after it.
func run(ctx context.Context, args []string, c desk.Console) int {
	c.Stderr = desk.Serial(c.Stderr)
	t, err := parse(ctx, args, c)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(c.Stderr, usage)
		return desk.ExitDone
	}
	if err == nil {
		err = t.run(ctx, c.Stdout, c.Stderr)
	}
	desk.Explain(c.Stderr, "twin", err)
	return exitStatus(err)
}

// exitStatus sorts an error. What the hub said of the identity goes before the
// time that ran out over it.
func exitStatus(err error) int {
	is := func(target error) bool { return errors.Is(err, target) }
	switch status := desk.ExitStatus(err); {
	case status != desk.ExitFailed:
		return status
	case is(transport.ErrUnauthorized), is(auth.ErrTokenExpired), is(auth.ErrCertificateExpired):
		return desk.ExitUnauthorized
	case is(twin.ErrInvalid), is(transport.ErrRejected), is(transport.ErrMessage), is(transport.ErrTooLarge), is(device.ErrPoison):
		return desk.ExitRefused
	case is(context.DeadlineExceeded):
		return desk.ExitTimeout
	}
	return desk.ExitFailed
}
