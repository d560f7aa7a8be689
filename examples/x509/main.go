// Command x509 is a whole device that proves its identity by a certificate:
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;x509=true'
//	x509 [-ca hub-ca.pem] [-endpoint host:port] cert.pem key.pem
//
// The files are read for each connection: a certificate that was renewed on
// disk is used at the next one, and at once after SIGHUP. An encrypted key is
// opened by the passphrase in DEVICE_KEY_PASSPHRASE.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

const about = `Usage: x509 [flags] CERTIFICATE KEY

A device that proves its identity by a certificate, in two PEM files. They are read
for each connection, and at once after SIGHUP. It runs until Ctrl-C or SIGTERM.

Environment:
  IOTHUB_DEVICE_CONNECTION_STRING  HostName=…;DeviceId=…;x509=true
  DEVICE_KEY_PASSPHRASE            opens the key, if it is encrypted

Flags:
`

func main() { desk.Main(run) }

// run is the whole program, and returns its exit status.
func run(ctx context.Context, args []string, c desk.Console) int {
	err := keep(ctx, args, c)
	if errors.Is(err, flag.ErrHelp) {
		return desk.ExitDone
	}
	desk.Explain(c.Stderr, "x509", err)
	return desk.ExitStatus(err)
}

// keep keeps the twin in step until ctx ends.
func keep(ctx context.Context, args []string, c desk.Console) error {
	place, words, err := desk.Words("x509", about, args, c.Stderr, "CERTIFICATE", "KEY")
	if err != nil {
		return err
	}
	// With x509=true the connection string holds no secret, and no credential.
	id, _, err := desk.Identity(c.Env(desk.DeviceVariable), desk.DeviceVariable)
	if err != nil {
		return err
	}
	cred := auth.X509Files(words[0], words[1], &auth.X509Options{
		Passphrase: c.Env("DEVICE_KEY_PASSPHRASE"),
		Decrypt:    pkcs8.Decrypt,
	})
	if err := desk.CheckFiles(cred, words...); err != nil {
		return err
	}
	stream, err := place.Line("mqtt", nil)
	if err != nil {
		return err
	}

	log := slog.New(slog.NewTextHandler(c.Stderr, nil))
	dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, &device.Options{Logger: log})
	_, err = dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		log.Info("fan.rpm is set", "rpm", rpm)
		return dev.ReportLater(ctx, c.Ack(twin.AckOK, ""))
	}), nil)
	if err != nil {
		return err
	}
	renewing := make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	go func() {
		defer close(renewing)
		renewOnHangup(ctx, dev, log)
	}()
	defer func() {
		stop()
		<-renewing
	}()
	if err := dev.Connect(ctx); err != nil {
		log.Warn("not connected yet", "err", err) // what is wrong with the certificate is named here
	} else if version, err := dev.UpdateReported(ctx, twin.Set("certificate.inUse", true)); err != nil {
		log.Warn("the hub has not confirmed the report", "err", err)
	} else {
		log.Info("the hub has the report", "version", version)
	}
	return dev.Run(ctx) // until Ctrl-C, whatever the line does
}

// renewOnHangup uses renewed files at once, when whoever renewed them says so.
func renewOnHangup(ctx context.Context, dev *device.Client, log *slog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-hangups:
			if err := dev.Renew(); err != nil {
				log.Warn("the certificate is not renewed", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
