// Command roots is a whole device for a board that has no root certificates of
// its own: a blank import brings Mozilla's, which Go then uses where the system
// has none. It costs some 130 KB of flash, and the firmware is updated when the
// roots are. A module of its own, so that the library does not depend on it:
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//	cd examples/roots && go run .
package main

import (
	"context"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // Mozilla's roots, where the system has none

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills
	id, cred, err := auth.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	if err != nil {
		log.Fatalf("IOTHUB_DEVICE_CONNECTION_STRING: %v", err)
	}
	dev := device.New(id, cred, mqtt.Dialer{}, &device.Options{Logger: slog.Default()})
	if err := dev.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
