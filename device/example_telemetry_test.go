package device_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
)

// Send returns when the hub has the message. Where it fails, the firmware knows
// whether to send again is safe.
func ExampleClient_Send() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	dev := device.New(at.Identity, at.Credential, dialer, nil)
	defer dev.Close()
	if err := dev.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := dev.Send(ctx, device.Message{
		Body:        []byte(`{"temperature":93.5}`),
		ContentType: "application/json", ContentEncoding: "utf-8", // so that the hub can route by the body
		Properties: map[string]string{"alert": "true"}, // it can route by these in any case
		Urgent:     true,                               // before those that wait
	})
	switch {
	case err == nil:
		fmt.Println("the hub has it")
	case errors.Is(err, device.ErrUnknownOutcome):
		fmt.Println("the hub has it or not") // it was sent, and 30 s were over
	default:
		fmt.Println("the hub does not have it:", err)
	}

	for m, err := range hub.Device("pump-7").Messages(ctx) { // in a test of the firmware
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("message %d: %s, alert %s\n", m.Sequence, m.Body, m.Properties["alert"])
		break
	}
	// Output:
	// the hub has it
	// message 1: {"temperature":93.5}, alert true
}

// SendLater returns at once, before Connect, too. What is urgent is sent before
// what is not, and each of these kinds in its order. Shutdown waits until the hub
// has all of it.
func ExampleClient_SendLater() {
	hub, at, dialer := exampleHub()
	defer hub.Close()
	ctx := context.Background()
	dev := device.New(at.Identity, at.Credential, dialer, &device.Options{
		Telemetry: device.TelemetryOptions{QueueBytes: 64 << 10, WhenFull: device.DropOldest},
	})
	for _, m := range []device.Message{
		{Body: []byte("21.0"), Created: time.Now()}, // the hub may get it much later
		{Body: []byte("21.5"), Created: time.Now()},
		{Body: []byte("the door is open"), Urgent: true},
	} {
		if err := dev.SendLater(ctx, m); err != nil {
			log.Fatal(err) // such as a message that no hub takes
		}
	}
	if err := dev.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	if err := dev.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}

	now, cancel := context.WithCancel(ctx)
	cancel() // reads what is there, and does not wait for more
	for m, err := range hub.Device("pump-7").Messages(now) {
		if err != nil {
			break
		}
		fmt.Printf("%d: %s\n", m.Sequence, m.Body)
	}
	// Output:
	// 1: the door is open
	// 2: 21.0
	// 3: 21.5
}
