// Command pfx is a whole device whose certificate, key and intermediates come
// in one PFX (PKCS#12) file, as a Windows CA or a provisioning line hands it
// out:
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;x509=true'
//	export DEVICE_PFX_PASSPHRASE=…
//	pfx [-ca hub-ca.pem] [-endpoint host:port] device.pfx
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/auth/pfx"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

const about = `Usage: pfx [flags] FILE

A device that proves its identity by a certificate, in a PFX (PKCS#12) file. It runs
until Ctrl-C or SIGTERM.

Environment:
  IOTHUB_DEVICE_CONNECTION_STRING  HostName=…;DeviceId=…;x509=true
  DEVICE_PFX_PASSPHRASE            opens the file

Flags:
`

func main() { desk.Main(run) }

// run is the whole program, and returns its exit status.
func run(ctx context.Context, args []string, c desk.Console) int {
	err := keep(ctx, args, c)
	if errors.Is(err, flag.ErrHelp) {
		return desk.ExitDone
	}
	desk.Explain(c.Stderr, "pfx", err)
	return desk.ExitStatus(err)
}

// keep keeps the twin in step until ctx ends.
func keep(ctx context.Context, args []string, c desk.Console) error {
	place, words, err := desk.Words("pfx", about, args, c.Stderr, "FILE")
	if err != nil {
		return err
	}
	id, _, err := desk.Identity(c.Env(desk.DeviceVariable), desk.DeviceVariable)
	if err != nil {
		return err
	}
	cred := pfx.File(words[0], c.Env("DEVICE_PFX_PASSPHRASE"))
	if err := desk.CheckFiles(cred, words...); err != nil {
		return err
	}
	stream, err := place.Line("mqtt", nil)
	if err != nil {
		return err
	}

	log := slog.New(slog.NewTextHandler(c.Stderr, nil))
	dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, &device.Options{Logger: log})
	_, err = dev.OnDesired("", func(_ context.Context, c twin.Change) error {
		log.Info("desired", "version", c.Version, "properties", c.Value)
		return nil
	}, nil)
	if err != nil {
		return err
	}
	return dev.Run(ctx) // until Ctrl-C, whatever the line does
}
