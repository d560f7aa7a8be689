package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// usage is what -h tells; it stands in the package's comment, too.
const usage = `Usage: twin [flags] command

Commands:
  get             print the twin: {"desired":{…},"reported":{…}}
  report 'PATCH'  merge a JSON object into the reported properties, where null
                  deletes, and print their version: {"version":5}
  watch [PATH]    print the desired property at PATH, such as fan.rpm, or all
                  of them; then a line for each change, until Ctrl-C:
                  {"path":"fan.rpm","version":5,"cause":"patch","value":1200,"removed":[]}
                  value is null where there is none; cause is start, patch,
                  reconnect (it changed while the line was down) or gap

Flags, before the command:
  -c STRING       the device's connection string. Others on this machine see it
                  there: better set IOTHUB_DEVICE_CONNECTION_STRING
  -hostname NAME  the hub's name, such as myhub.azure-devices.net, and
  -device ID      the device's id, or device/module, in place of a connection
                  string, where a certificate proves the identity
  -cert FILE      the device's certificate with its intermediates, in PEM
  -key FILE       its private key in PEM; unless it stands in the -cert file
  -pfx FILE       both in one PFX (PKCS#12) file
  -pass WHERE     the passphrase of the key or PFX: env:NAME, file:NAME (its first
                  line), or the passphrase itself, which others then see
  -info FILE      take all of this, CA and port from the file that examples/hub
                  -info writes; -device picks the device where there are several
  -ca FILE        trust the CAs in this PEM file instead of the system's
  -endpoint H:P   connect to this host and port instead of the hub's own
  -transport NAME mqtt (port 8883; the default), amqp (5671), either over
                  WebSocket on 443 (mqtt-ws, amqp-ws), or auto: mqtt, and mqtt-ws
                  where that is blocked
  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
                  that HTTPS_PROXY and NO_PROXY name; "none" for none. A password in
                  it others on this machine see there: better set HTTPS_PROXY
  -ack            watch acknowledges what it prints, as a device does that obeys;
                  it needs a PATH
  -timeout TIME   how long get and report may take; 30s unless given
  -v              log to stderr what the client does

Results are JSON on stdout, one document a line. All else is on stderr.

Exit status:
  0  done; also when Ctrl-C or SIGTERM ended watch
  1  another failure: an interrupted get or report, a hub that is not trusted,
     a wrong clock, an output that cannot be written
  2  wrong usage: flags, arguments, connection string, CA file, certificate, key
  3  the hub refused the identity: key, token, certificate, or the device is unknown
     or disabled
  4  refused for good: the patch is no JSON object or breaks a limit (then nothing
     was sent), or the hub rejects it
  5  not done in time: the line is down, or the hub does not answer or throttles
`

const (
	variable       = "IOTHUB_DEVICE_CONNECTION_STRING"
	defaultTimeout = 30 * time.Second
)

// errUsage is matched by all that is wrong with the command line.
var errUsage = errors.New("see twin -h")

// usagef makes an error of the command line. But for what noFile names, no
// argument is ever quoted in one: a secret may stand in the wrong place.
func usagef(format string, args ...any) error {
	return fmt.Errorf(format+" (%w)", append(args, errUsage)...)
}

// A tool is what the command line asks for.
type tool struct {
	id      auth.Identity
	cred    auth.Credential
	dialer  transport.Dialer
	timeout time.Duration
	verbose bool

	command string     // get, report or watch
	patch   twin.Patch // of report
	path    string     // of watch
	ack     bool       // of watch
}

// parse reads the command line and checks all that can be checked before
// anything is sent.
func parse(args []string, env func(string) string) (*tool, error) {
	var w who
	f := flag.NewFlagSet("twin", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	// No default is taken from the environment here: package flag prints them.
	w.flags(f)
	var hub place
	infoFile := f.String("info", "", "")
	f.StringVar(&hub.ca, "ca", "", "")
	f.StringVar(&hub.endpoint, "endpoint", "", "")
	protocol := f.String("transport", "mqtt", "")
	proxyURL := f.String("proxy", "", "")
	timeout := f.String("timeout", "", "") // read below: package flag quotes what it cannot read
	ack := f.Bool("ack", false, "")
	verbose := f.Bool("v", false, "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, err
	case err != nil:
		return nil, usagef("near argument %d of %d stands no known flag, or one without its value", max(1, len(args)-f.NArg()), len(args))
	}

	t := &tool{verbose: *verbose, ack: *ack, timeout: defaultTimeout}
	if err := t.readCommand(f.Args()); err != nil {
		return nil, err
	}
	if err := t.readTimeout(*timeout); err != nil {
		return nil, err
	}
	dial, err := through(*proxyURL, env)
	if err != nil {
		return nil, err
	}
	if *infoFile != "" {
		if err := w.fromInfo(*infoFile, &hub); err != nil {
			return nil, err
		}
	}
	line, err := hub.lines(dial)
	if err != nil {
		return nil, err
	}
	if t.dialer, err = dialerOf(*protocol, line); err != nil {
		return nil, err
	}
	t.id, t.cred, err = w.identify(env)
	return t, err
}

// readCommand takes the words after the flags.
func (t *tool) readCommand(words []string) error {
	if len(words) == 0 {
		return usagef("there is no command; it is get, report or watch")
	}
	t.command = words[0]
	rest := words[1:]
	for _, w := range rest {
		if strings.HasPrefix(w, "-") {
			return usagef("flags stand before the command")
		}
	}
	if t.ack && (t.command != "watch" || len(rest) == 0) {
		return usagef("-ack is for watch with a path; the whole twin cannot be acknowledged")
	}
	switch t.command {
	case "get":
		if len(rest) != 0 {
			return usagef("get takes no argument")
		}
	case "report":
		if len(rest) != 1 {
			return usagef(`report takes one argument, a JSON object; quote it for the shell: report '{"fan":{"rpm":1150}}'`)
		}
		return t.readPatch(rest[0])
	case "watch":
		if len(rest) > 1 {
			return usagef("watch takes one path at most, such as fan.rpm; without one, it watches all")
		}
		t.path = strings.Join(rest, "")
	default:
		return usagef("the command is unknown; it is get, report or watch")
	}
	return nil
}

// readPatch refuses at once what no hub would take, whatever its twin holds.
func (t *tool) readPatch(text string) (err error) {
	if t.patch, err = twin.ParsePatch([]byte(text)); err != nil {
		return fmt.Errorf(`%w; a patch is a JSON object, quoted for the shell: report '{"fan":{"rpm":1150}}'`, err)
	}
	return twin.Validate(twin.Properties{}, t.patch)
}

func (t *tool) readTimeout(text string) (err error) {
	if text == "" {
		return nil
	}
	if t.command == "watch" {
		return usagef("-timeout is for get and report; watch runs until Ctrl-C")
	}
	if t.timeout, err = time.ParseDuration(text); err != nil || t.timeout <= 0 {
		return usagef("-timeout is no time above zero, such as 30s or 2m")
	}
	return nil
}
