// Command telemetry is a device that sends messages: a reading once a minute, which
// may wait for the line, and an alert when it is too hot, which goes first.
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//	telemetry -every 10s
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

func main() { desk.Main(run) }

// run is the whole program, and returns its exit status.
func run(ctx context.Context, args []string, c desk.Console) int {
	var hub desk.Place
	f := flag.NewFlagSet("telemetry", flag.ContinueOnError)
	hub.Flags(f)
	every := f.Duration("every", time.Minute, "the `time` from one reading to the next")
	return desk.FlagsOnly(f, "Usage: telemetry [flags]\n\n", args, c, func() error {
		if *every <= 0 {
			return desk.Usagef("-every %v: want a time above zero", *every)
		}
		id, cred, err := desk.Identity(c.Env(desk.DeviceVariable), desk.DeviceVariable)
		if err != nil {
			return err
		}
		stream, err := hub.Line("mqtt", nil)
		if err != nil {
			return err
		}
		log := slog.New(slog.NewTextHandler(c.Stderr, nil))
		dev := device.New(id, cred, mqtt.Dialer{Stream: stream}, &device.Options{Logger: log})
		return send(ctx, dev, *every, func() float64 { return 21.5 }, log)
	})
}

// send sends what the sensor says until ctx ends, and then what is still queued.
func send(ctx context.Context, dev *device.Client, every time.Duration, sensor func() float64, log *slog.Logger) error {
	ended := make(chan error, 1)
	go func() { ended <- dev.Run(ctx) }() // at the end it calls Shutdown, which waits for the hub
	var alerts sync.WaitGroup
	defer alerts.Wait()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for hot := false; ; {
		select {
		case <-tick.C:
		case err := <-ended:
			return err
		}
		degrees := sensor()
		m := device.Message{
			Body:        fmt.Appendf(nil, `{"temperature":%.1f}`, degrees),
			ContentType: "application/json", ContentEncoding: "utf-8", // so that a hub can route by the body
			Created: time.Now(), // the hub may get it later
		}
		if !hot && degrees > 60 {
			m.Urgent, m.Properties = true, map[string]string{"alert": "true"}
			alerts.Go(func() {
				if err := dev.Send(context.WithoutCancel(ctx), m); err != nil { // after Options.CallTimeout
					log.Error("the hub may not know that it is too hot: sound the horn", "err", err)
				}
			})
		} else if err := dev.SendLater(ctx, m); err != nil && ctx.Err() == nil {
			log.Warn("a reading is lost", "err", err)
		}
		hot = degrees > 60
	}
}
