package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/proxyflag"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
	"github.com/devicetwin/devicetwin-go/twin"
)

// usage is printed by -h, and ends the package's comment.
const usage = `Usage: twin [flags] command

Each command signs in as the device. A hub lets the newest connection win, so the
device itself loses its connection while the command runs.

Commands:
  get [PATH]         print the twin: {"desired":{…},"reported":{…}}; or one member of
                     it, such as reported.fan.rpm; or with a PATH that begins with
                     neither half, such as fan.rpm, that property in both halves
  set PATH=VALUE …   report properties, and print the version: {"version":5}. VALUE is
                     JSON, or else a text; null deletes: set fan.rpm=1150 mode=auto
  report PATCH       merge a JSON object into the reported properties, where null
                     deletes, and print the version; @FILE reads the object from a
                     file, and - from stdin
  send BODY          send a message (telemetry), and print its ID once the hub has it:
                     {"id":"…"}; @FILE reads the body from a file, and - from stdin
  watch [PATH]       print the desired property at PATH, such as fan.rpm, or all of
                     them; then a line for each change, until Ctrl-C:
                     {"path":"fan.rpm","version":5,"cause":"patch","value":1200,"removed":[]}
                     value is null where there is none; cause is start, patch,
                     reconnect (it changed while the line was down), gap (the hub's
                     word was lost), or another twin (the device was created again)

A PATH is keys with dots between. No other character in it is special.

Flags, before the command:
  -c STRING       the device's connection string. Others on this machine can see it
                  there: prefer IOTHUB_DEVICE_CONNECTION_STRING
  -hostname NAME  the hub's name, such as myhub.azure-devices.net, and
  -device ID      the device's id, or device/module, in place of a connection
                  string, where a certificate proves the identity
  -cert FILE      the device's certificate with its intermediates, in PEM
  -key FILE       its private key in PEM; not needed if it is in the -cert file
  -pfx FILE       both in one PFX (PKCS#12) file
  -pass WHERE     the passphrase of the key or PFX: env:NAME, file:NAME (its first
                  line), or the passphrase itself, which others can then see
  -info FILE      take all of this, CA and port from the file that examples/hub
                  -info writes; -device picks the device where there are several
  -ca FILE        trust the CAs in this PEM file instead of the system's
  -endpoint H:P   connect to this host and port instead of the hub's own
  -transport NAME mqtt (port 8883; the default), amqp (5671), either over
                  WebSocket on 443 (mqtt-ws, amqp-ws), or auto: mqtt, and mqtt-ws
                  where that is blocked
  -proxy URL      go through this proxy, http:// or socks5://, in place of the one
                  that HTTPS_PROXY and NO_PROXY name; "none" for none. Others on
                  this machine can see a password in it: prefer HTTPS_PROXY
  -ack            watch acknowledges what it prints, as a device does that obeys;
                  it needs a PATH
  -property N=V   send gives the message a property, such as alert=true; may be given
                  again, for another
  -content-type TYPE
                  send says what the body is; with application/json it also says that
                  the encoding is utf-8, so that the hub can route by the body
  -timeout TIME   how long get, set, report and send may take; 90s by default
  -v              log to stderr what the client does

Results are JSON on stdout, one document a line. All else is on stderr.

Exit status:
  0  done; also when Ctrl-C or SIGTERM ended watch
  1  another failure: no such property, an interrupted command, a hub that is not
     trusted, a wrong clock, an output that cannot be written
  2  wrong usage: flags, arguments, connection string, CA file, certificate, key
  3  the hub refused the identity: key, token, certificate, or the device is unknown
     or disabled
  4  refused for good: the patch is not a JSON object, or patch or message break a
     limit (then nothing was sent), or the hub rejects them
  5  not done in time: the line is down, or the hub does not answer or throttles
`

// defaultTimeout outlives one attempt to connect, and one request that the hub does
// not answer: the client tries both again.
const defaultTimeout = 90 * time.Second

// A tool is what the command line asks for.
type tool struct {
	id      auth.Identity
	cred    auth.Credential
	dialer  transport.Dialer
	timeout time.Duration
	verbose bool

	command string         // get, set, report, send or watch
	patch   twin.Patch     // of set and report
	message device.Message // of send
	path    string         // of get and watch
	ack     bool           // of watch
}

// parse reads the command line and checks all that can be checked before
// anything is sent.
func parse(ctx context.Context, args []string, c desk.Console) (*tool, error) {
	var w who
	f := flag.NewFlagSet("twin", flag.ContinueOnError)
	w.flags(f)
	var hub desk.Place
	hub.Flags(f)
	proxyURL := proxyflag.Define(f)
	infoFile := f.String("info", "", "")
	protocol := f.String("transport", "mqtt", "")
	t := &tool{}
	f.DurationVar(&t.timeout, "timeout", defaultTimeout, "")
	f.BoolVar(&t.ack, "ack", false, "")
	f.BoolVar(&t.verbose, "v", false, "")
	t.sendFlags(f)
	if err := desk.Parse(f, args); err != nil {
		return nil, err
	}
	if desk.Given(f, "info") {
		if err := w.fromInfo(*infoFile, &hub); err != nil {
			return nil, err
		}
	}
	if t.timeout <= 0 {
		return nil, desk.Usagef("-timeout %v: want a time above zero", t.timeout)
	}
	if err := t.readCommand(ctx, f.Args(), c.Stdin); err != nil {
		return nil, err
	}
	if err := t.onlySend(f); err != nil {
		return nil, err
	}
	if t.command == "watch" && desk.Given(f, "timeout") {
		return nil, desk.Usagef("-timeout %v: not for watch, which runs until Ctrl-C", t.timeout)
	}
	dial, err := proxyflag.Dial(*proxyURL, c.Env, slog.New(slog.NewTextHandler(c.Stderr, nil)))
	if err != nil {
		return nil, err
	}
	if t.dialer, err = dialerOf(*protocol, &hub, dial); err != nil {
		return nil, err
	}
	if t.id, t.cred, err = w.identify(c.Env); err != nil {
		return nil, err
	}
	return t, t.checkMessage()
}

// readCommand takes the words after the flags.
func (t *tool) readCommand(ctx context.Context, words []string, stdin reader) error {
	const commands = "want get, set, report, send or watch"
	if len(words) == 0 {
		return desk.Usagef("missing command: %s", commands)
	}
	t.command = words[0]
	rest := words[1:]
	for _, w := range rest {
		if len(w) > 1 && w[0] == '-' && !strings.Contains(w, "=") {
			return desk.Usagef("%s after %s: put flags before the command", desk.Quote(w), desk.Quote(t.command))
		}
	}
	switch t.command {
	case "get", "watch":
		if len(rest) > 1 {
			return desk.Usagef("%s: unexpected %s: want one path at most, such as fan.rpm", t.command, desk.Quote(rest[1]))
		}
		t.path = strings.Join(rest, "")
		if len(rest) == 1 {
			if err := checkPath(t.path); err != nil {
				return desk.Usagef("%s %s: %w", t.command, desk.Quote(t.path), err)
			}
		}
	case "set", "report":
		if err := t.readPatch(ctx, rest, stdin); err != nil {
			return err
		}
	case "send":
		if err := t.readMessage(ctx, rest, stdin); err != nil {
			return err
		}
	default:
		return desk.Usagef("unknown command %s: %s", desk.Quote(t.command), commands)
	}
	if t.ack && (t.command != "watch" || t.path == "") {
		return desk.Usagef("-ack with %s: want watch and a path; the whole twin cannot be acknowledged", strconv.Quote(strings.TrimSpace(t.command+" "+t.path)))
	}
	return nil
}

// checkPath refuses what is no path to a property.
func checkPath(path string) error {
	if path == "" {
		return errors.New("empty path")
	}
	if !twin.Set(path, 1).At(path).Exists() {
		return errors.New("want a path of at most 64 keys with dots between, such as fan.rpm")
	}
	return nil
}

// dialerOf is the way of speaking that -transport names.
func dialerOf(name string, hub *desk.Place, dial desk.DialFunc) (transport.Dialer, error) {
	ports := map[string][]string{"mqtt": {"mqtt"}, "amqp": {"amqp"}, "mqtt-ws": {"https"}, "amqp-ws": {"https"}, "auto": {"mqtt", "https"}}[name]
	if ports == nil {
		return nil, desk.Usagef("-transport %s: want mqtt, mqtt-ws, amqp, amqp-ws or auto", desk.Quote(name))
	}
	var dialers []transport.Dialer
	for _, port := range ports {
		line, err := hub.Line(port, dial)
		if err != nil {
			return nil, err
		}
		if port == "https" {
			line = ws.Stream(&ws.Options{Stream: line})
		}
		if strings.HasPrefix(name, "amqp") {
			dialers = append(dialers, amqp.Dialer{Stream: line})
		} else {
			dialers = append(dialers, mqtt.Dialer{Stream: line})
		}
	}
	if len(dialers) == 2 {
		return transport.Fallback(dialers[0], dialers[1], nil), nil
	}
	return dialers[0], nil
}
