package hubtest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Firmware with a client certificate needs TLS: Dial is the hub's, and its CA is
// to be trusted. The rest is as with keys.
func ExampleHub_AddX509Device() {
	hub, err := hubtest.Start(nil) // in a test: hubtest.New(t, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddX509Device("fan1", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(at.ConnectionString)

	dev := device.New(at.Identity, at.Credential, mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
		RootCAs:     hub.RootCAs(),
		DialContext: hub.DialContext,
	})}, nil)
	defer dev.Close()
	ctx := context.Background()
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	version, err := dev.UpdateReported(ctx, twin.Set("fan.rpm", 900))
	fmt.Println("reported version", version, err)
	// Output:
	// HostName=hub.devicetwin.test;DeviceId=fan1;x509=true
	// reported version 2 <nil>
}

// A CA of the test's own issues whatever firmware may meet: here a certificate
// that looks right and comes from somebody else.
func ExampleHub_AddCA() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddX509Device("fan1", &hubtest.X509Options{NoCertificate: true})
	if err != nil {
		log.Fatal(err)
	}
	plant, err := hubtest.NewCA("plant", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := hub.AddCA("plant", plant.PEM()); err != nil {
		log.Fatal(err)
	}
	rogue, err := hubtest.NewCA("plant", nil) // of the same name, with another key
	if err != nil {
		log.Fatal(err)
	}
	for _, ca := range []*hubtest.CA{plant, rogue} {
		made, err := ca.Issue("fan1", nil)
		if err != nil {
			log.Fatal(err)
		}
		dev := device.New(at.Identity, made.Credential(), overTLS(hub), nil)
		err = dev.Connect(context.Background())
		fmt.Println("refused:", errors.Is(err, transport.ErrUnauthorized))
		dev.Close()
	}
	// Output:
	// refused: false
	// refused: true
}

// What firmware does with a certificate that has ended: the client tells, and
// asks no hub.
func ExampleCA_Issue() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddX509Device("fan1", &hubtest.X509Options{NoCertificate: true})
	if err != nil {
		log.Fatal(err)
	}
	ca, err := hub.DeviceCA()
	if err != nil {
		log.Fatal(err)
	}
	old, err := ca.Issue("fan1", &hubtest.IssueOptions{NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	dev := device.New(at.Identity, old.Credential(), overTLS(hub), nil)
	defer dev.Close()
	err = dev.Connect(context.Background())
	fmt.Println(errors.Is(err, auth.ErrCertificateExpired))
	// Output: true
}

// A certificate made elsewhere, such as by a secure element, is known by its
// thumbprint.
func ExampleDevice_SetThumbprints() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("fan1")
	if err != nil {
		log.Fatal(err)
	}
	made, err := hubtest.SelfSigned("any name", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := hub.Device("fan1").SetThumbprints(made.Thumbprint, ""); err != nil {
		log.Fatal(err)
	}
	dev := device.New(at.Identity, made.Credential(), overTLS(hub), nil)
	defer dev.Close()
	fmt.Println(dev.Connect(context.Background()))
	// Output: <nil>
}
