package desk

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"net"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
)

// A Place is where a hub is to be found, if not at its own name and ports with a
// certificate of a public CA.
type Place struct {
	CA       string // a PEM file
	Endpoint string // host:port, for every protocol
	Proxy    string // a URL, or "none"; empty means the environment's

	info *Info // in place of CA and Endpoint
}

// Flags defines -ca and -endpoint.
func (p *Place) Flags(f *flag.FlagSet) {
	f.StringVar(&p.CA, "ca", "", "trust the CAs in this PEM `file` instead of the system's")
	f.StringVar(&p.Endpoint, "endpoint", "", "connect to this `host:port` instead of the hub's own")
}

// ProxyFlag defines -proxy. Without it no proxy is used, whatever the environment
// says.
func (p *Place) ProxyFlag(f *flag.FlagSet) {
	f.StringVar(&p.Proxy, "proxy", "", "go through the proxy at this `URL`, http:// or socks5://, in place of HTTPS_PROXY's; \"none\" for none")
}

// Take takes CA and ports from a hub's file instead.
func (p *Place) Take(info *Info) { p.info = info }

// Dial returns the way to the proxy that -proxy or the environment names; nil for
// none.
func (p *Place) Dial(env func(string) string) (proxy.DialFunc, error) {
	switch p.Proxy {
	case "none":
		return nil, nil
	case "":
		dial, err := proxy.FromEnvironment(env, nil)
		if err != nil {
			return nil, usageError{err} // it names the variable
		}
		return dial, nil
	}
	if !strings.Contains(p.Proxy, "://") {
		return nil, Usagef("-proxy %s: want a URL, such as http://proxy.example:3128 or socks5://proxy.example, or none", Quote(p.Proxy))
	}
	dial, err := proxy.New(p.Proxy, nil)
	if err != nil {
		return nil, Usagef("-proxy %s: %w", Quote(p.Proxy), err)
	}
	return dial, nil
}

// Line returns the TLS streams to one port of the hub: mqtt, amqp or https.
func (p *Place) Line(port string, dial proxy.DialFunc) (transport.StreamFunc, error) {
	opts := &transport.TLSOptions{Config: &tls.Config{}, Address: p.Endpoint, Dial: dial}
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
	if ca != "" {
		roots, err := readRoots(ca)
		if err != nil {
			return nil, Usagef("-ca %s: %w", Quote(ca), err)
		}
		opts.Config.RootCAs = roots
	}
	return transport.TLS(opts), nil
}

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

func readRoots(name string) (*x509.CertPool, error) {
	text, err := ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in PEM in the file")
	}
	return pool, nil
}
