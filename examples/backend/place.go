package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/proxyflag"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// A place is what the command line says of the hub.
type place struct {
	connection string
	hub        desk.Place
	proxy      *string
	info       string // a file in place of connection and hub
}

// fromInfo takes the hub's place from its file, and the device, if none is given
// and the hub was started with no other.
func (p *place) fromInfo(j *job) error {
	for _, other := range []struct{ flag, value string }{{"-c", p.connection}, {"-ca", p.hub.CA}, {"-endpoint", p.hub.Endpoint}} {
		if other.value != "" {
			if other.flag != "-c" {
				other.flag += " " + desk.Quote(other.value)
			}
			return desk.Usagef("-info %s and %s: leave one; -info is in place of -c, -ca and -endpoint", desk.Quote(p.info), other.flag)
		}
	}
	info, err := desk.ReadInfo(p.info)
	if err != nil {
		return err
	}
	if info.Service.ConnectionString == "" {
		return desk.Usagef("-info %s: not a file that examples/hub -info wrote", desk.Quote(p.info))
	}
	p.connection = info.Service.ConnectionString
	p.hub.Take(info)
	if j.device == "" { // else it may be one that the hub has got since, or -create makes
		j.device, err = info.Pick("")
	}
	return err
}

// open makes the client; it sends nothing.
func (p *place) open(env func(string) string, log *slog.Logger) (*registry.Client, error) {
	from := "-c"
	if p.connection == "" {
		p.connection, from = env(variable), variable
	}
	if p.connection == "" {
		return nil, desk.Usagef("missing connection string: set %s, or give -c or -info", variable)
	}
	dial, err := proxyflag.Dial(*p.proxy, env, log)
	if err != nil {
		return nil, err
	}
	line, err := p.hub.Line("https", dial)
	if err != nil {
		return nil, err
	}
	client, err := registry.New(p.connection, &registry.Options{Stream: line, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return client, nil
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
