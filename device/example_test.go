package device_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// exampleHub is a hub in this process with one device on it, so that the
// examples run anywhere. Against a real hub, the identity and credential come
// of auth.ParseConnectionString, and the dialer is mqtt.Dialer{}.
func exampleHub() (*hubtest.Hub, hubtest.Device, mqtt.Dialer) {
	hub, err := hubtest.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	dev, err := hub.AddDevice("pump-7")
	if err != nil {
		log.Fatal(err)
	}
	return hub, dev, mqtt.Dialer{Stream: hub.Stream}
}

func Example() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	ctx := context.Background()

	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	changed := make(chan string)
	_, err := dev.OnDesired("fan.rpm", twin.TypedOr(0, func(ctx context.Context, rpm int, c twin.Change) error {
		if c.Value.Exists() {
			changed <- fmt.Sprintf("%v: fan.rpm is to be %d", c.Cause, rpm)
		} else {
			changed <- fmt.Sprintf("%v: nothing is desired of fan.rpm", c.Cause)
		}
		return nil
	}), nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-changed)
	version, err := dev.UpdateReported(ctx, twin.Set("climate.temperature", 21.5))
	fmt.Println("reported, version", version, err)

	// The back end's side.
	if _, err := hub.Device("pump-7").SetDesired(`{"fan":{"rpm":1200}}`); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-changed)
	// Output:
	// start: nothing is desired of fan.rpm
	// reported, version 2 <nil>
	// patch: fan.rpm is to be 1200
}

func ExampleNew() {
	id, cred, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	if err != nil {
		fmt.Println(errors.Is(err, auth.ErrInvalid))
		return
	}
	dev := device.New(id, cred, mqtt.Dialer{}, &device.Options{
		KeepAlive: 2 * time.Minute,
		Logger:    slog.Default(),
	})
	defer dev.Close()
	// Output: true
}

func ExampleClient_Connect() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	if _, err := hub.Device("pump-7").SetKeys("", ""); err != nil { // the device's key is no good now
		log.Fatal(err)
	}
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()

	err := dev.Connect(context.Background())
	switch {
	case errors.Is(err, transport.ErrUnauthorized):
		fmt.Println("refused: is the device enabled, the key right?") // it goes on trying
	case errors.Is(err, auth.ErrClockImplausible):
		fmt.Println("set the clock")
	case errors.Is(err, auth.ErrInvalid):
		fmt.Println("wrong configuration; the client has ended")
	}
	// Output: refused: is the device enabled, the key right?
}

func ExampleClient_Run() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	ctx, stop := context.WithCancel(context.Background()) // in firmware: signal.NotifyContext
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	_, err := dev.OnDesired("", func(_ context.Context, c twin.Change) error {
		fmt.Println(c.Cause, c.Value)
		stop()
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dev.Run(ctx))
	// Output:
	// start {}
	// <nil>
}

func ExampleClient_Close() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(dev.Close(), dev.State().Phase)
	_, err := dev.GetTwin(context.Background())
	fmt.Println(errors.Is(err, device.ErrClosed))
	// Output:
	// <nil> closed
	// true
}

func ExampleClient_Stop() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	// A listener may not wait for its own end, so it calls Stop.
	_, err := dev.OnDesired("", func(context.Context, twin.Change) error {
		dev.Stop()
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dev.Run(context.Background()))
	// Output: <nil>
}

func ExampleClient_Shutdown() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	_ = dev.ReportLater(context.Background(), twin.Set("state", "off"))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var left *device.LeftError
	if err := dev.Shutdown(ctx); errors.As(err, &left) {
		fmt.Println(left.Reports, "reports are lost")
	}
	tw, err := hub.Device("pump-7").Twin()
	fmt.Println(string(tw.Reported.JSON), err)
	// Output: {"state":"off"} <nil>
}

// Get reads what is there, and GetOr what may be missing. Any key is a key, and
// arrays are entered by index.
func ExampleClient_GetTwin() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	if _, err := hub.Device("pump-7").SetDesired(`{"name":"Pump 7","a/b":1,"日本":{"é":2},"schedule":[{"hour":6},{"hour":22}]}`); err != nil {
		log.Fatal(err)
	}
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	ctx := context.Background()
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	doc, err := dev.GetTwin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("desired", doc.Desired.Version(), "reported", doc.Reported.Version())
	fmt.Println(twin.Get[string](doc.Desired, "name"))
	fmt.Println(twin.GetOr(doc.Desired, "fan.rpm", 800))
	fmt.Println(doc.Desired.At("a/b"), doc.Desired.At("日本.é"))
	fmt.Println(twin.Get[int](doc.Desired.At("schedule").Index(1), "hour"))
	// Output:
	// desired 2 reported 1
	// Pump 7 <nil>
	// 800
	// 1 2
	// 22 <nil>
}

func ExampleClient_UpdateReported() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	version, err := dev.UpdateReported(ctx, twin.Set("valve.open", true).Delete("valve.fault"))
	switch {
	case err == nil:
		fmt.Println("the hub has it, at version", version)
	case errors.Is(err, twin.ErrInvalid):
		fmt.Println("not sent: the patch breaks a limit:", err)
	case errors.Is(err, transport.ErrRejected):
		fmt.Println("the hub refuses it for good:", err)
	case errors.Is(err, device.ErrStillWanted):
		fmt.Println("not confirmed in time; it will still be sent")
	}
	// Output: the hub has it, at version 2
}

func ExampleClient_ReportLater() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	ctx := context.Background()
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	hub.Device("pump-7").SetLine(false)
	fmt.Println(dev.ReportLater(ctx, twin.Set("battery", 87))) // the line is down: no matter
	hub.Device("pump-7").SetLine(true)
	tw, err := hub.Device("pump-7").WaitReported(ctx, "battery", "87")
	fmt.Println(string(tw.Reported.JSON), err)
	// Output:
	// <nil>
	// {"battery":87} <nil>
}

func ExampleClient_OnDesired() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	done := make(chan struct{})
	remove, err := dev.OnDesired("climate", func(_ context.Context, c twin.Change) error {
		fmt.Printf("%v v%d: %v, removed %v\n", c.Cause, c.Version, c.Value, c.Removed())
		done <- struct{}{}
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer remove()
	if _, err := hub.Device("pump-7").SetDesired(`{"climate":{"min":18,"max":25}}`); err != nil {
		log.Fatal(err)
	}
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	<-done
	if _, err := hub.Device("pump-7").SetDesired(`{"climate":{"min":null},"other":1}`); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// start v2: {"max":25,"min":18}, removed []
	// patch v3: {"max":25}, removed [climate.min]
}

func ExampleClient_OnDesired_acknowledge() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	if _, err := hub.Device("pump-7").SetDesired(`{"target":21}`); err != nil {
		log.Fatal(err)
	}
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	_, err := dev.OnDesired("target", func(context.Context, twin.Change) error {
		return nil // put into effect
	}, &device.ListenOptions{Acknowledge: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	tw, err := hub.Device("pump-7").WaitReported(context.Background(), "target.ac", "200")
	fmt.Println(string(tw.Reported.JSON), err)
	// Output: {"target":{"ac":200,"av":2,"value":21}} <nil>
}

func ExampleClient_State() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	fmt.Println(dev.State().Phase)
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(dev.State().Phase)
	// Output:
	// not started
	// online
}

// countBoot counts the boots of two boards that share an identity: what one of them
// writes between the other's GET and its report is not lost.
func countBoot(ctx context.Context, dev *device.Client) (int, error) {
	for {
		doc, err := dev.GetTwin(ctx)
		if err != nil {
			return 0, err
		}
		boots := twin.GetOr(doc.Reported, "boots", 0) + 1
		_, err = dev.UpdateReportedIf(ctx, twin.Set("boots", boots), doc.Reported.Version())
		if !errors.Is(err, transport.ErrPrecondition) {
			return boots, err
		}
	}
}

func ExampleClient_UpdateReportedIf() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	ctx := context.Background()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(countBoot(ctx, dev))
	// The hub finds the first attempt of the next one out of date, as after a write of
	// the other board.
	hub.Intercept(hubtest.PatchNaming("pump-7", "boots"), hubtest.Fail(412002))
	fmt.Println(countBoot(ctx, dev))
	fmt.Println(dev.Stats().PatchesOut, "patches were sent")
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 patches were sent
}

func ExampleClient_Stats() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	if _, err := dev.UpdateReported(context.Background(), twin.Set("n", 1)); err != nil {
		log.Fatal(err)
	}
	s := dev.Stats()
	fmt.Println(s.Connects, s.Gets, s.PatchesOut, s.Outstanding, s.ReportedVersion)
	// Output: 1 1 1 false 2
}
