package main

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/proxyflag"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// about is what -h prints before the flags.
const about = `Usage: gateway -devices FILE [flags]
       gateway -info FILE [flags]

Holds many devices on one AMQP connection. Each is a sensor: it obeys the desired
property interval, in seconds, and reports a temperature that often.

The file is read again at SIGHUP, and only then (kill -HUP PID): new devices start,
those that are gone end, and one whose key was replaced starts again. Ctrl-C or
SIGTERM ends all of them.
Exit status: 0 ended by a signal, 1 some device did not end in time, 2 wrong usage.

Flags:
`

// settings are what the command line asks for.
type settings struct {
	list    list
	dialer  amqp.Dialer
	store   string // a folder; empty means none
	verbose bool
}

// parse reads the command line. For -h it prints the usage on stderr.
func parse(args []string, env func(string) string, stderr io.Writer) (*settings, error) {
	s := &settings{}
	var hub desk.Place
	fs := flag.NewFlagSet("gateway", flag.ContinueOnError)
	fs.StringVar(&s.list.devices, "devices", "", "hold the devices in this `file`: a connection string a line")
	fs.StringVar(&s.list.info, "info", "", "hold the devices in this `file`, which examples/hub -info writes; CA and port are in it, too")
	fs.StringVar(&s.store, "store", "", "keep each device's reports in this `folder`, so that they outlive a power cut")
	hub.Flags(fs)
	proxyURL := proxyflag.Define(fs)
	protocol := fs.String("transport", "amqp", "speak `amqp` (port 5671), or over WebSocket on 443: amqp-ws")
	fs.BoolVar(&s.verbose, "v", false, "log to stderr what the clients do")
	if err := desk.Parse(fs, args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			desk.Help(stderr, about, fs)
		}
		return nil, err
	}
	if err := desk.NoWords(fs); err != nil {
		return nil, err
	}
	switch {
	case s.list.devices == "" && s.list.info == "":
		return nil, desk.Usagef("missing -devices or -info: the file of the devices")
	case s.list.devices != "" && s.list.info != "":
		return nil, desk.Usagef("-devices %s and -info %s: leave one", desk.Quote(s.list.devices), desk.Quote(s.list.info))
	case s.list.info != "" && hub.CA != "":
		return nil, desk.Usagef("-info %s and -ca %s: leave one", desk.Quote(s.list.info), desk.Quote(hub.CA))
	case s.list.info != "" && hub.Endpoint != "":
		return nil, desk.Usagef("-info %s and -endpoint %s: leave one", desk.Quote(s.list.info), desk.Quote(hub.Endpoint))
	case s.list.info != "":
		info, err := desk.ReadInfo(s.list.info)
		if err != nil {
			return nil, err
		}
		hub.Take(info)
	}
	if s.store != "" {
		if err := os.MkdirAll(s.store, 0o700); err != nil {
			return nil, desk.Usagef("-store %s: %w", desk.Quote(s.store), desk.Nameless(err))
		}
	}
	dial, err := proxyflag.Dial(*proxyURL, env, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return nil, err
	}
	s.dialer, err = dialer(*protocol, &hub, dial)
	return s, err
}

// dialer is the way to the hub that the command line names.
func dialer(protocol string, hub *desk.Place, dial desk.DialFunc) (amqp.Dialer, error) {
	port := map[string]string{"amqp": "amqp", "amqp-ws": "https"}[protocol]
	if port == "" {
		return amqp.Dialer{}, desk.Usagef("-transport %s: want amqp or amqp-ws", desk.Quote(protocol))
	}
	stream, err := hub.Line(port, dial)
	if err != nil {
		return amqp.Dialer{}, err
	}
	if protocol == "amqp-ws" {
		stream = ws.Stream(&ws.Options{Stream: stream})
	}
	return amqp.Dialer{Stream: stream}, nil
}
