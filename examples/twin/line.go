package main

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// dialerOf is the way of speaking that the command line names.
func dialerOf(name string, line func(port string) transport.StreamFunc) (transport.Dialer, error) {
	socket := ws.Stream(&ws.Options{Stream: line("https")})
	switch name {
	case "mqtt":
		return mqtt.Dialer{Stream: line("mqtt")}, nil
	case "mqtt-ws":
		return mqtt.Dialer{Stream: socket}, nil
	case "amqp":
		return amqp.Dialer{Stream: line("amqp")}, nil
	case "amqp-ws":
		return amqp.Dialer{Stream: socket}, nil
	case "auto":
		return transport.Fallback(mqtt.Dialer{Stream: line("mqtt")}, mqtt.Dialer{Stream: socket}, nil), nil
	}
	return nil, usagef("-transport is mqtt, mqtt-ws, amqp, amqp-ws or auto")
}

// through is the way to the proxy that the command line or the environment
// names; nil for none.
func through(url string, env func(string) string) (proxy.DialFunc, error) {
	var dial proxy.DialFunc
	var err error
	switch url {
	case "none":
		return nil, nil
	case "":
		dial, err = proxy.FromEnvironment(env, nil)
	default:
		if !strings.Contains(url, "://") { // whatever stands there, it is not to be quoted
			return nil, usagef("-proxy is a URL, such as http://proxy.example:3128 or socks5://proxy.example, or none; one with a password belongs in HTTPS_PROXY, since others on this machine see the command line")
		}
		dial, err = proxy.New(url, nil)
	}
	if err != nil {
		return nil, usagef("-proxy, or HTTPS_PROXY: %w", err)
	}
	return dial, nil
}

// A place is where the hub is to be found, if not at its own name and ports
// with a certificate of a public CA.
type place struct {
	ca       string         // a PEM file
	endpoint string         // for every protocol
	bind     string         // in place of the endpoint, with
	ports    map[string]int // by protocol
}

// lines gives the line to the hub by the name of the port: mqtt, amqp or https.
func (p place) lines(dial proxy.DialFunc) (func(port string) transport.StreamFunc, error) {
	if p.endpoint != "" {
		host, port, err := net.SplitHostPort(p.endpoint)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return nil, usagef("-endpoint is no host:port, such as 127.0.0.1:8883")
		}
	}
	config := &tls.Config{}
	if p.ca != "" {
		text, err := os.ReadFile(p.ca)
		if err != nil {
			return nil, usagef("-ca: the file cannot be read: %w", nameless(err))
		}
		if config.RootCAs, err = auth.ParseRoots(text); err != nil {
			return nil, usagef("-ca: %w", err)
		}
	}
	return func(port string) transport.StreamFunc {
		address := p.endpoint
		if p.bind != "" {
			address = net.JoinHostPort(p.bind, strconv.Itoa(p.ports[port]))
		}
		return transport.TLS(&transport.TLSOptions{Config: config, Address: address, Dial: dial})
	}, nil
}

// nameless is the error of a file without its name, which might be a secret in
// the wrong place.
func nameless(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}
