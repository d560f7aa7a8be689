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
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/auth/pkcs8"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func main() {
	ca := flag.String("ca", "", "trust the CAs in this PEM `file` instead of the system's")
	endpoint := flag.String("endpoint", "", "connect to this `host:port` instead of the hub's own")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: x509 [flags] CERTIFICATE KEY, both in PEM")
	}
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)

	// With x509=true the connection string holds no secret, and no credential.
	id, _, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	exitOn(err)
	cred := auth.X509Files(flag.Arg(0), flag.Arg(1), &auth.X509Options{
		Passphrase: os.Getenv("DEVICE_KEY_PASSPHRASE"),
		Decrypt:    pkcs8.Decrypt,
	})
	stream := transport.TLS(&transport.TLSOptions{Config: &tls.Config{RootCAs: roots(*ca)}, Address: *endpoint})

	dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, &device.Options{Logger: slog.Default()})
	_, err = dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		log.Printf("fan.rpm is to be %d", rpm)
		return dev.ReportLater(ctx, c.Ack(twin.AckOK, ""))
	}))
	exitOn(err)
	go renewOnHangup(ctx, dev)
	if err := dev.Connect(ctx); err != nil {
		log.Print(err) // what is wrong with the certificate stands here, by name
	} else if version, err := dev.UpdateReported(ctx, twin.Set("certificate.inUse", true)); err != nil {
		log.Print(err)
	} else {
		log.Printf("the hub has the report, as version %d", version)
	}
	exitOn(dev.Run(ctx)) // until Ctrl-C, whatever the line does
}

// renewOnHangup uses renewed files at once, when whoever renewed them says so.
func renewOnHangup(ctx context.Context, dev *device.Client) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	for {
		select {
		case <-hangups:
			if err := dev.Renew(); err != nil {
				log.Print(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// roots reads the CAs to trust; nil, for no file, means the system's.
func roots(file string) *x509.CertPool {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	exitOn(err)
	pool, err := auth.ParseRoots(text)
	exitOn(err)
	return pool
}

func exitOn(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
