// Command sas is a whole device in 25 lines: it keeps its twin in step with
// the hub that IOTHUB_DEVICE_CONNECTION_STRING names, until Ctrl-C.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	id, cred, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	if err != nil {
		log.Fatal(err)
	}
	dev := device.New(id, cred, mqtt.Dialer{}, nil) // no I/O yet
	if _, err := dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		log.Printf("fan.rpm is now %d (there: %t, version %d, cause %v)", rpm, c.Value.Exists(), c.Version, c.Cause)
		return dev.ReportLater(ctx, c.Ack(twin.AckOK, "")) // answered with the version
	})); err != nil {
		log.Fatal(err)
	}
	if err := dev.Connect(ctx); err != nil { // it goes on trying by itself
		log.Print(err)
	} else if version, err := dev.UpdateReported(ctx, twin.Set("climate.temperature", 21.5)); err != nil {
		log.Print(err)
	} else {
		log.Printf("the hub has the report, as version %d", version)
	}
	if err := dev.Run(ctx); err != nil { // until ctx ends, whatever the line does
		log.Fatal(err)
	}
}
