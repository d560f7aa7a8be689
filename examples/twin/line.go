package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// dialerOf is the way of speaking that the command line names.
func dialerOf(name string, stream transport.StreamFunc) (transport.Dialer, error) {
	socket := ws.Stream(&ws.Options{Stream: stream})
	switch name {
	case "mqtt":
		return mqtt.Dialer{Stream: stream}, nil
	case "mqtt-ws":
		return mqtt.Dialer{Stream: socket}, nil
	case "amqp":
		return amqp.Dialer{Stream: stream}, nil
	case "amqp-ws":
		return amqp.Dialer{Stream: socket}, nil
	case "auto":
		return transport.Fallback(mqtt.Dialer{Stream: stream}, mqtt.Dialer{Stream: socket}, nil), nil
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
			return nil, usagef("-proxy is a URL, such as http://proxy.example:3128 or socks5://user:password@proxy.example, or none")
		}
		dial, err = proxy.New(url, nil)
	}
	if err != nil {
		return nil, usagef("-proxy, or HTTPS_PROXY: %w", err)
	}
	return dial, nil
}

// streamTo is a line to a hub that need not stand at its own name and port,
// nor have a certificate of a public CA.
func streamTo(endpoint, ca string, dial proxy.DialFunc) (transport.StreamFunc, error) {
	if endpoint != "" {
		host, port, err := net.SplitHostPort(endpoint)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return nil, usagef("-endpoint is no host:port, such as 127.0.0.1:8883")
		}
	}
	config := &tls.Config{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		var file *fs.PathError
		if errors.As(err, &file) {
			err = file.Err // without the name, which might be a secret
		}
		if err != nil {
			return nil, usagef("-ca: the file cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usagef("-ca: the file holds no certificate in PEM")
		}
	}
	return transport.TLS(&transport.TLSOptions{Config: config, Address: endpoint, Dial: dial}), nil
}
