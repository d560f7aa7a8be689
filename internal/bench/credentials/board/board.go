// Package board is the firmware that the programs beside it share: they differ
// in the credential alone, and so tell what each kind costs in flash. See
// .ci/sizes.
package board

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// Identity is who the board is.
func Identity() auth.Identity {
	return auth.Identity{Host: os.Getenv("HOST"), DeviceID: os.Getenv("DEVICE")}
}

// Run keeps the twin in step until Ctrl-C; a nil stream is the default.
func Run(id auth.Identity, cred auth.Credential, stream transport.StreamFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, nil)
	if _, err := dev.OnDesired("fan.rpm", func(ctx context.Context, c twin.Change) error {
		return dev.ReportLater(ctx, c.Ack(twin.AckOK, ""))
	}, nil); err != nil {
		log.Fatal(err)
	}
	if err := dev.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
