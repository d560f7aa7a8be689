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
	"crypto/tls"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pfx"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func main() {
	ca := flag.String("ca", "", "trust the CAs in this PEM `file` instead of the system's")
	endpoint := flag.String("endpoint", "", "connect to this `host:port` instead of the hub's own")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: pfx [flags] FILE")
	}
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)

	id, _, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	exitOn(err)
	cred := pfx.File(flag.Arg(0), os.Getenv("DEVICE_PFX_PASSPHRASE"))
	config := &tls.Config{}
	if *ca != "" {
		text, err := os.ReadFile(*ca)
		exitOn(err)
		config.RootCAs, err = auth.ParseRoots(text)
		exitOn(err)
	}
	stream := transport.TLS(&transport.TLSOptions{Config: config, Address: *endpoint})

	dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, &device.Options{Logger: slog.Default()})
	_, err = dev.OnDesired("", func(_ context.Context, c twin.Change) error {
		log.Printf("desired at version %d: %v", c.Version, c.Value)
		return nil
	})
	exitOn(err)
	exitOn(dev.Run(ctx)) // until Ctrl-C, whatever the line does
}

func exitOn(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
