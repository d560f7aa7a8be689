package hubtest_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// firmware is what these examples test: it obeys fan.rpm, and acknowledges.
func firmware(at hubtest.Device, hub *hubtest.Hub) *device.Client {
	dev := device.New(at.Identity, at.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
	_, err := dev.OnDesired("fan.rpm", twin.Typed(func(context.Context, int, twin.Change) error {
		return nil
	}), &device.ListenOptions{Acknowledge: true})
	if err != nil {
		log.Fatal(err)
	}
	return dev
}

// In a test, the hub ends with the test and writes to its log.
func ExampleNew() {
	_ = func(t *testing.T) { // func TestFirmware(t *testing.T) {
		hub := hubtest.New(t, nil)
		at, err := hub.AddDevice("fan1")
		if err != nil {
			t.Fatal(err)
		}
		dev := firmware(at, hub)
		defer dev.Close()
		if err := dev.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := hub.Device("fan1").SetDesired(`{"fan":{"rpm":900}}`); err != nil {
			t.Fatal(err)
		}
		if _, err := hub.Device("fan1").WaitReported(t.Context(), "fan.rpm.ac", "200"); err != nil {
			t.Fatal(err)
		}
	}
}

// A day in milliseconds: all that waits, waits in the bubble's own time.
func ExampleNew_virtualTime() {
	_ = func(t *testing.T) { // func TestADay(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// The bubble begins in 2000, which no board's clock should say.
			time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
			hub := hubtest.New(t, nil)
			at, err := hub.AddDevice("fan1")
			if err != nil {
				t.Fatal(err)
			}
			dev := firmware(at, hub)
			defer dev.Close()
			if err := dev.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour)
			t.Log("connects, one a token:", hub.Device("fan1").Stats().Connects)
		})
	}
}

func ExampleDevice_SetDesired() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("fan1")
	if err != nil {
		log.Fatal(err)
	}
	dev := firmware(at, hub)
	defer dev.Close()
	ctx := context.Background()
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	version, err := hub.Device("fan1").SetDesired(twin.Set("fan.rpm", 900))
	fmt.Println("desired version", version, err)
	tw, err := hub.Device("fan1").WaitReported(ctx, "fan.rpm.av", "2")
	fmt.Println(string(tw.Reported.JSON), err)
	// Output:
	// desired version 2 <nil>
	// {"fan":{"rpm":{"ac":200,"av":2,"value":900}}} <nil>
}

func ExampleHub_SetLine() {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	at, err := hub.AddDevice("fan1")
	if err != nil {
		log.Fatal(err)
	}
	dev := firmware(at, hub)
	defer dev.Close()
	ctx := context.Background()
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(hub.Device("fan1").SetLine(false))
	if _, err := hub.Device("fan1").SetDesired(`{"fan":{"rpm":1500}}`); err != nil {
		log.Fatal(err)
	}
	fmt.Println(hub.Device("fan1").SetLine(true)) // and it catches up by itself
	tw, err := hub.Device("fan1").WaitReported(ctx, "fan.rpm.value", "1500")
	fmt.Println(string(tw.Reported.JSON), err)
	// Output:
	// <nil>
	// <nil>
	// {"fan":{"rpm":{"ac":200,"av":2,"value":1500}}} <nil>
}
