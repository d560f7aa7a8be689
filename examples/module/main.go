// Command module is a whole module for Azure IoT Edge: it hears how often it is
// to sample, acknowledges that, and reports that it runs. IoT Edge starts it
// with all that it needs in its environment; at a desk, the variables
// EdgeHubConnectionString and EdgeModuleCACertificateFile stand in for that.
package main

import (
	"context"
	"log"
	"log/slog"

	"github.com/devicetwin/devicetwin-go/auth/edge"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

const usage = `Usage: module

A module for Azure IoT Edge, which starts it with all that it needs in its
environment. At a desk, set EdgeHubConnectionString and EdgeModuleCACertificateFile.
It runs until SIGTERM, which stops a container, or Ctrl-C.
`

func main() {
	desk.Main(func(ctx context.Context, args []string, c desk.Console) int {
		return desk.NoArguments("module", usage, args, c, func() error { return run(ctx, c.Env, nil) })
	})
}

// run is the module until ctx ends. The line is nil but in a test.
func run(ctx context.Context, getenv func(string) string, line *transport.TLSOptions) error {
	module, err := edge.FromEnvironment(getenv, nil) // asks nobody yet
	if err != nil {
		return err
	}
	// For each connection the daemon of IoT Edge signs the token, and says by
	// which roots the gateway is verified: it may restart meanwhile.
	dialer := mqtt.Dialer{Stream: module.TLS(line)}
	dev := device.New(module.Identity, module.Credential, dialer, &device.Options{Logger: slog.Default()})
	defer dev.Close()
	_, err = dev.OnDesired("sampling.seconds", twin.Typed(func(_ context.Context, seconds int, c twin.Change) error {
		log.Printf("sampling every %d s from now on (version %d, cause %v)", seconds, c.Version, c.Cause)
		return nil
	}), &device.ListenOptions{Acknowledge: true})
	if err != nil {
		return err
	}
	if err := dev.Connect(ctx); err != nil {
		log.Print(err) // reported early, such as a daemon that is down. It goes on trying
	}
	if err := dev.ReportLater(ctx, twin.Set("status", "running")); err != nil {
		log.Print(err) // it was stopped meanwhile, or ended by its configuration
	}
	return dev.Run(ctx) // until IoT Edge stops it, whatever daemon, gateway and line do
}
