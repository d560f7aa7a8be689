package amqp_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/twin"
)

// A client speaks AMQP when it is given this package's Dialer; the rest of a
// program stays as it is.
func ExampleDialer() {
	hub, err := hubtest.Start(&hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close()
	at, err := hub.AddDevice("fan-7")
	if err != nil {
		fmt.Println(err)
		return
	}

	// Against Azure: amqp.Dialer{}.
	c := device.New(at.Identity, at.Credential, amqp.Dialer{Stream: hub.Stream}, nil)
	defer c.Close()
	ctx := context.Background()
	if err := c.Connect(ctx); err != nil {
		fmt.Println(err)
		return
	}
	version, err := c.UpdateReported(ctx, twin.Set("fan", "on"))
	fmt.Println(version, err)
	// Output: 2 <nil>
}

// A gateway's devices share one connection when their clients are given one Pool.
// Each has a twin and listeners of its own, and may leave while the others go on.
func ExamplePool() {
	hub, err := hubtest.Start(&hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close()

	// Against Azure: amqp.NewPool(amqp.Dialer{}, nil).
	pool := amqp.NewPool(amqp.Dialer{Stream: hub.Stream}, nil)
	ctx := context.Background()
	var meters []*device.Client
	for _, id := range []string{"meter-1", "meter-2", "meter-3"} {
		at, err := hub.AddDevice(id)
		if err != nil {
			fmt.Println(err)
			return
		}
		c := device.New(at.Identity, at.Credential, pool, nil)
		defer c.Close() // closing again does nothing
		meters = append(meters, c)
		if _, err := c.OnDesired("interval", twin.Typed(func(_ context.Context, seconds int, _ twin.Change) error {
			fmt.Println(id, "reads every", seconds, "s")
			return nil
		}), &device.ListenOptions{Acknowledge: true}); err != nil {
			fmt.Println(err)
			return
		}
		if err := c.Connect(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}

	fmt.Println("meter-1 leaves:", meters[0].Shutdown(ctx))
	if _, err := hub.Device("meter-2").SetDesired(`{"interval":60}`); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := hub.Device("meter-2").WaitReported(ctx, "interval.ac", "200"); err != nil {
		fmt.Println(err)
		return
	}
	version, err := meters[2].UpdateReported(ctx, twin.Set("kWh", 7))
	fmt.Println("meter-3 reported, version", version, err)
	// Output:
	// meter-1 leaves: <nil>
	// meter-2 reads every 60 s
	// meter-3 reported, version 2 <nil>
}
