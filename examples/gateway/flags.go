package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// settings are what the command line asks for.
type settings struct {
	list    list
	dialer  amqp.Dialer
	store   string // a folder; empty means none
	verbose bool
}

// A place is where the hub is to be found, if not at its own name and ports with
// a certificate of a public CA.
type place struct {
	ca       string // a PEM file
	endpoint string // for every protocol
	info     *info  // in place of both; nil for none
}

// parse reads the command line; the flag package tells usage and its own errors
// on stderr.
func parse(args []string, stderr io.Writer) (*settings, error) {
	s := &settings{}
	var hub place
	fs := flag.NewFlagSet("gateway", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&s.list.devices, "devices", "", "hold the devices in this `file`: a connection string a line")
	fs.StringVar(&s.list.info, "info", "", "hold the devices in this `file`, which examples/hub -info writes; it tells CA and port, too")
	fs.StringVar(&s.store, "store", "", "keep each device's reports in this `folder`, so that they outlive a power cut")
	fs.StringVar(&hub.ca, "ca", "", "trust the CAs in this PEM `file` instead of the system's")
	fs.StringVar(&hub.endpoint, "endpoint", "", "connect to this `host:port` instead of the hub's own")
	protocol := fs.String("transport", "amqp", "speak `amqp` (port 5671), or over WebSocket on 443: amqp-ws")
	fs.BoolVar(&s.verbose, "v", false, "log to stderr what the clients do")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() > 0:
		return nil, fmt.Errorf("there are %d arguments too many after the flags; see gateway -h", fs.NArg())
	case (s.list.devices == "") == (s.list.info == ""):
		return nil, errors.New("say by -devices or by -info, one of them, where the devices stand; see gateway -h")
	case s.list.info != "" && hub.ca+hub.endpoint != "":
		return nil, errors.New("-info stands in place of -ca and -endpoint; leave it, or them")
	case s.list.info != "":
		var err error
		if hub.info, err = readInfo(s.list.info); err != nil {
			return nil, err
		}
	}
	if s.store != "" {
		if err := os.MkdirAll(s.store, 0o700); err != nil {
			return nil, fmt.Errorf("-store: %w", err)
		}
	}
	var err error
	s.dialer, err = hub.dialer(*protocol)
	return s, err
}

// dialer is the way to the hub that the command line names.
func (p place) dialer(protocol string) (amqp.Dialer, error) {
	port := map[string]string{"amqp": "amqp", "amqp-ws": "https"}[protocol]
	if port == "" {
		return amqp.Dialer{}, errors.New("-transport is amqp or amqp-ws")
	}
	opts := &transport.TLSOptions{Address: p.endpoint}
	if p.info != nil {
		p.ca = p.info.CA
		opts.Address = net.JoinHostPort(p.info.Bind, strconv.Itoa(p.info.Ports[port]))
	} else if p.endpoint != "" {
		host, port, err := net.SplitHostPort(p.endpoint)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return amqp.Dialer{}, errors.New("-endpoint is no host:port, such as 127.0.0.1:5671")
		}
	}
	if p.ca != "" {
		text, err := os.ReadFile(p.ca)
		if err != nil {
			return amqp.Dialer{}, fmt.Errorf("-ca: %w", err)
		}
		roots, err := auth.ParseRoots(text)
		if err != nil {
			return amqp.Dialer{}, fmt.Errorf("-ca: %s: %w", p.ca, err)
		}
		opts.Config = &tls.Config{RootCAs: roots}
	}
	stream := transport.TLS(opts)
	if protocol == "amqp-ws" {
		stream = ws.Stream(&ws.Options{Stream: stream})
	}
	return amqp.Dialer{Stream: stream}, nil
}
