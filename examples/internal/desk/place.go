package desk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"net"
	"strconv"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A Place is where a hub is to be found, if not at its own name and ports with a
// certificate of a public CA.
type Place struct {
	CA       string // a PEM file
	Endpoint string // host:port, for every protocol

	info *Info // in place of CA and Endpoint
}

// Flags defines -ca and -endpoint.
func (p *Place) Flags(f *flag.FlagSet) {
	f.StringVar(&p.CA, "ca", "", "trust the CAs in this PEM `file` instead of the system's")
	f.StringVar(&p.Endpoint, "endpoint", "", "connect to this `host:port` instead of the hub's own")
}

// Take takes CA and ports from a hub's file instead.
func (p *Place) Take(info *Info) { p.info = info }

// A DialFunc opens the stream below TLS.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Line returns the TLS streams to one port of the hub: mqtt, amqp or https. A nil
// dial means TCP.
func (p *Place) Line(port string, dial DialFunc) (transport.StreamFunc, error) {
	opts := &transport.TLSOptions{Config: &tls.Config{}, Address: p.Endpoint, DialContext: dial}
	ca := p.CA
	if p.info != nil {
		ca = p.info.CA
		opts.Address = net.JoinHostPort(p.info.Bind, strconv.Itoa(p.info.Ports[port]))
		if p.info.Ports[port] == 0 {
			return nil, Usagef("-info: the hub has no port for %s", port)
		}
	} else if err := checkEndpoint(p.Endpoint); err != nil {
		return nil, err
	}
	roots, err := roots(ca)
	if err != nil {
		return nil, err
	}
	opts.Config.RootCAs = roots
	return transport.TLS(opts), nil
}

// Roots returns the CAs of -ca. Nil means the system's.
func (p *Place) Roots() (*x509.CertPool, error) { return roots(p.CA) }

func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(endpoint)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
		return Usagef("-endpoint %s: want host:port, such as 127.0.0.1:8883", Quote(endpoint))
	}
	return nil
}

func roots(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	text, err := ReadFile(name)
	if err != nil {
		return nil, Usagef("-ca %s: %w", Quote(name), err)
	}
	pool, err := auth.ParseRoots(text)
	if err != nil {
		return nil, Usagef("-ca %s: %w", Quote(name), err)
	}
	return pool, nil
}
