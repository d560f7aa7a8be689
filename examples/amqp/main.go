// Command amqp is a whole device over AMQP: what examples/sas does, by the other
// protocol, until Ctrl-C or SIGTERM. Only the dialer differs. Nothing of MQTT is linked.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/twin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills
	const variable = "IOTHUB_DEVICE_CONNECTION_STRING"
	if len(os.Args) > 1 {
		log.Fatalf("%s takes no arguments, but the device's connection string in %s", os.Args[0], variable)
	}
	id, cred, err := auth.ParseConnectionString(os.Getenv(variable))
	if err != nil {
		log.Fatalf("%s: %v", variable, err)
	}
	dev := device.New(id, cred, amqp.Dialer{}, &device.Options{Logger: slog.Default()}) // no I/O yet
	_, err = dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		log.Printf("fan.rpm is to be %d (version %d, cause %v)", rpm, c.Version, c.Cause)
		return dev.ReportLater(ctx, c.Ack(twin.AckOK, "")) // answered, with the version
	}), nil)
	exitOn(err)
	if err := dev.Connect(ctx); err != nil {
		log.Print(err) // reported early. It goes on trying, unless the configuration is wrong
	} else if version, err := dev.UpdateReported(ctx, twin.Set("climate.temperature", 21.5)); err != nil {
		log.Print(err) // not confirmed in time; it goes on trying here, too
	} else {
		log.Printf("the hub has the report, as version %d", version)
	}
	exitOn(dev.Run(ctx)) // until Ctrl-C, whatever the line does
}

func exitOn(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
