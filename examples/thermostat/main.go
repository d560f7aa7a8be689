// Command thermostat is the firmware of a thermostat, small but whole: it proves
// its identity by a certificate, obeys what is desired of its climate, reports the
// temperature, and forgets nothing when its power is cut.
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;x509=true'
//	thermostat [-ca hub-ca.pem] [-endpoint host:port] cert.pem key.pem /data/twin
//
// Its test runs it at a hub in the same process, takes the line down, and switches
// it off and on again.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

const about = `Usage: thermostat [flags] CERTIFICATE KEY STORE

The firmware of a thermostat. CERTIFICATE and KEY are PEM files. STORE is a file that
it makes, and keeps what must survive a power cut in. It runs until Ctrl-C or SIGTERM.

Environment:
  IOTHUB_DEVICE_CONNECTION_STRING  HostName=…;DeviceId=…;x509=true

Flags:
`

func main() { desk.Main(run) }

// run is the whole program, and returns its exit status.
func run(ctx context.Context, args []string, c desk.Console) int {
	err := keep(ctx, args, c)
	if errors.Is(err, flag.ErrHelp) {
		return desk.ExitDone
	}
	desk.Explain(c.Stderr, "thermostat", err)
	return desk.ExitStatus(err)
}

// keep makes a thermostat of the command line and runs it.
func keep(ctx context.Context, args []string, c desk.Console) error {
	place, words, err := desk.Words("thermostat", about, args, c.Stderr, "CERTIFICATE", "KEY", "STORE")
	if err != nil {
		return err
	}
	id, _, err := desk.Identity(c.Env(desk.DeviceVariable), desk.DeviceVariable)
	if err != nil {
		return err
	}
	cred := auth.X509Files(words[0], words[1], nil)
	if err := desk.CheckFiles(cred, words[:2]...); err != nil {
		return err
	}
	stream, err := place.Line("mqtt", nil)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.Stderr, nil))
	t := thermostat{id, cred, mqtt.Dialer{Stream: stream}, words[2], panel{log}, log}
	return t.run(ctx)
}

// A panel stands for the hardware. It writes what it is to do.
type panel struct{ log *slog.Logger }

func (p panel) SetBand(low, high float64) error {
	p.log.Info("the band is set", "low", low, "high", high)
	return nil
}

func (p panel) SetFan(on bool) error {
	p.log.Info("the fan is set", "on", on)
	return nil
}

func (p panel) Temperature() float64 { return 21.5 }
