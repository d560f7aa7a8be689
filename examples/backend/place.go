package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/proxy"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// A place is what the command line says of the hub.
type place struct {
	connection   string
	ca, endpoint string
	info         string // a file in place of these three
	proxy        string
}

// told is what a back end needs of the file that examples/hub -info writes.
type told struct {
	Bind    string         `json:"bind"`
	Ports   map[string]int `json:"ports"`
	CA      string         `json:"ca"`
	Service struct {
		ConnectionString string `json:"connectionString"`
	} `json:"service"`
	Devices map[string]struct{} `json:"devices"`
}

// fromInfo takes the hub's place from its file, and the device, if it is not
// given and the hub was started with no other.
func (p *place) fromInfo(device *string) error {
	if p.connection+p.ca+p.endpoint != "" {
		return usagef("-info stands in place of -c, -ca and -endpoint; leave it, or them")
	}
	text, err := os.ReadFile(p.info)
	if errors.Is(err, fs.ErrNotExist) {
		return noFile(p.info)
	}
	if err != nil {
		return usagef("-info: the file cannot be read: %w", nameless(err))
	}
	var t told
	if err := json.Unmarshal(text, &t); err != nil || t.Bind == "" || t.CA == "" || t.Service.ConnectionString == "" {
		return usagef("-info: the file is none that examples/hub -info wrote")
	}
	p.connection, p.ca = t.Service.ConnectionString, t.CA
	p.endpoint = net.JoinHostPort(t.Bind, strconv.Itoa(t.Ports["https"]))
	if *device != "" {
		return nil
	}
	switch known := slices.Sorted(maps.Keys(t.Devices)); len(known) {
	case 0:
		return usagef("say by -device which one; the hub began with none, and -create makes one")
	case 1:
		*device = known[0]
		return nil
	default:
		return usagef("say by -device which one; the hub began with: %s", some(known))
	}
}

// some are the first few of the ids, and how many more there are: a hub may have
// thousands.
func some(ids []string) string {
	const few = 5
	if len(ids) <= few {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s … and %d more", strings.Join(ids[:few], ", "), len(ids)-few)
}

// noFile says what -info waits for. It names the file only where that looks like
// one of a hub: else it might be a secret in the wrong place.
func noFile(name string) error {
	if !strings.HasSuffix(name, ".json") {
		name = "of that name"
	}
	return usagef("-info: there is no file %s; the hub writes it when it is up, and removes it at its end", name)
}

// open makes the client; it sends nothing.
func (p *place) open(env func(string) string, log *slog.Logger) (*registry.Client, error) {
	if p.connection == "" {
		p.connection = env(variable)
	}
	if p.connection == "" {
		return nil, usagef("there is no connection string; set %s, or give -c or -info", variable)
	}
	stream, err := p.stream(env)
	if err != nil {
		return nil, err
	}
	return registry.New(p.connection, &registry.Options{Stream: stream, Logger: log})
}

// stream is a line to a hub that need not stand at its own name and port, nor
// have a certificate of a public CA.
func (p *place) stream(env func(string) string) (transport.StreamFunc, error) {
	if p.endpoint != "" {
		host, port, err := net.SplitHostPort(p.endpoint)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
			return nil, usagef("-endpoint is no host:port, such as 127.0.0.1:443")
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
	dial, err := through(p.proxy, env)
	if err != nil {
		return nil, err
	}
	return transport.TLS(&transport.TLSOptions{Config: config, Address: p.endpoint, Dial: dial}), nil
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

// nameless is the error of a file without its name, which might be a secret in
// the wrong place.
func nameless(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) {
		return file.Err
	}
	return err
}

// logger tells a person why nothing happens: what is sent again, and by -v each
// request.
func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
