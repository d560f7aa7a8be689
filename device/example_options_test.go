package device_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/store"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// With a store a report is safe from a power cut once ReportLater has returned,
// and a listener with a name is called after a restart only with what changed.
func ExampleOptions_store() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "twin") // in firmware: a folder on flash
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	boot := func() { // what the firmware does each time that it starts
		st, err := store.Open(filepath.Join(folder, "twin"), at.Identity, nil)
		if err != nil {
			log.Fatal(err) // or go on without a store
		}
		defer st.Close() // after the client
		dev := device.New(at.Identity, at.Credential, dialer, &device.Options{Store: st})
		defer dev.Close()
		heard := make(chan struct{}, 1)
		_, err = dev.OnDesired("valve", twin.Typed(func(_ context.Context, v string, c twin.Change) error {
			fmt.Println("the valve is to be", v)
			heard <- struct{}{}
			return nil
		}), &device.ListenOptions{Durable: "valve"})
		if err != nil {
			log.Fatal(err)
		}
		if err := dev.ReportLater(ctx, twin.Set("boots", twin.GetOr(dev.Reported(), "boots", 0)+1)); err != nil {
			log.Fatal(err)
		}
		if err := dev.Connect(ctx); err != nil {
			log.Fatal(err)
		}
		select {
		case <-heard:
		case <-time.After(100 * time.Millisecond):
			fmt.Println("nothing new")
		}
		if err := dev.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}

	if _, err := hub.Device("pump-7").SetDesired(`{"valve":"open"}`); err != nil {
		log.Fatal(err)
	}
	boot()
	boot() // it is open since the first time
	if _, err := hub.Device("pump-7").SetDesired(`{"valve":"closed"}`); err != nil {
		log.Fatal(err)
	}
	boot()
	// Output:
	// the valve is to be open
	// nothing new
	// the valve is to be closed
}

// A program may show what its client does, and what its listeners could not do.
func ExampleOptions() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	states, failed := make(chan device.State, 8), make(chan string, 1)
	dev := device.New(at.Identity, at.Credential, dialer, &device.Options{
		ModelID: "dtmi:com:example:Pump;1",
		Product: "pump-firmware/2.1",
		Resync:  time.Hour, // find a change that was lost without a trace after that long, not 6 h
		OnState: func(s device.State) { states <- s },
		OnListenerError: func(c twin.Change, err error) {
			failed <- fmt.Sprintf("%s to be %v: %v", c.Path, c.Value, err)
		},
	})
	_, err := dev.OnDesired("fan.rpm", func(context.Context, twin.Change) error {
		return errors.New("the motor is stuck")
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := hub.Device("pump-7").SetDesired(`{"fan":{"rpm":1200}}`); err != nil {
		log.Fatal(err)
	}
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-failed)
	if err := dev.Close(); err != nil {
		log.Fatal(err)
	}
	for s := range states {
		fmt.Println(s)
		if s.Phase == device.Closed {
			break
		}
	}
	// Output:
	// fan.rpm to be 1200: the motor is stuck
	// connecting
	// online
	// closed
}

// A certificate that was replaced in its files is used at the next connection.
// Renew makes one at once.
func ExampleClient_Renew() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	states := make(chan device.State, 8)
	dev := device.New(at.Identity, at.Credential, dialer, &device.Options{
		OnState: func(s device.State) { states <- s },
	})
	defer dev.Close()
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	dev.Renew() // such as at SIGHUP
	for range 4 {
		fmt.Println((<-states).Phase)
	}
	// Output:
	// connecting
	// online
	// renewing
	// online
}

// A device whose identity is in a connection string, and whose certificate is in
// files.
func ExampleNew_certificate() {
	const s = "HostName=myhub.azure-devices.net;DeviceId=pump-7;x509=true"
	id, cred, err := auth.ParseConnectionString(s)
	if errors.Is(err, auth.ErrWantsCertificate) {
		cred, err = auth.X509Files("/data/pump-7.pem", "/data/pump-7.key", nil), nil
	}
	if err != nil {
		log.Fatal(err)
	}
	dev := device.New(id, cred, mqtt.Dialer{}, nil)
	defer dev.Close()
	fmt.Println(id, cred)
	// Output: pump-7@myhub.azure-devices.net X.509 credential, key REDACTED
}
