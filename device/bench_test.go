package device_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// benchClient is a client online at a hub in memory, whose desired half has
// some bytes already.
func benchClient(b *testing.B, bytes int) (*hubtest.Hub, *device.Client) {
	b.Helper()
	hub := hubtest.New(b, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	dev, err := hub.AddDevice("dev1")
	if err != nil {
		b.Fatal(err)
	}
	doc := twin.Patch{}
	for i := 0; i < bytes; i += 50 {
		doc = doc.Set(fmt.Sprintf("group%d.key%d", i/500, i), strings.Repeat("v", 40))
	}
	if _, err := hub.Device("dev1").SetDesired(doc.String()); err != nil {
		b.Fatal(err)
	}
	c := device.New(dev.Identity, dev.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
	b.Cleanup(func() { _ = c.Close() })
	if err := c.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	return hub, c
}

// BenchmarkUpdateReported is one report, there and back, hub included.
func BenchmarkUpdateReported(b *testing.B) {
	_, c := benchClient(b, 1000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.UpdateReported(b.Context(), twin.Set("climate.temperature", i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReportLater is what a report costs its caller; the hub gets as many
// as it can take, and the last.
func BenchmarkReportLater(b *testing.B) {
	_, c := benchClient(b, 1000)
	b.ReportAllocs()
	i := 0
	for ; b.Loop(); i++ {
		if err := c.ReportLater(b.Context(), twin.Set("climate.temperature", i)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(c.Stats().PatchesOut)/float64(i), "patches/op")
}

// BenchmarkDesired is a change by the back end until its listener has heard
// it, hub included.
func BenchmarkDesired(b *testing.B) {
	hub, c := benchClient(b, 30000)
	heard := make(chan int)
	if _, err := c.OnDesired("n", twin.TypedOr(0, func(_ context.Context, n int, _ twin.Change) error {
		heard <- n
		return nil
	}), nil); err != nil {
		b.Fatal(err)
	}
	<-heard
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		if _, err := hub.Device("dev1").SetDesired(fmt.Sprintf(`{"n":%d}`, i)); err != nil {
			b.Fatal(err)
		}
		if got := <-heard; got != i {
			b.Fatalf("heard %d, want %d", got, i)
		}
	}
}

// BenchmarkIdleClient is the heap that 100 clients hold, hub included.
func BenchmarkIdleClient(b *testing.B) {
	for _, bytes := range []int{1000, 30000} {
		b.Run(fmt.Sprint(bytes), func(b *testing.B) {
			hub, _ := benchClient(b, bytes)
			tw, err := hub.Device("dev1").Twin()
			if err != nil {
				b.Fatal(err)
			}
			before := heap()
			const clients = 100
			for i := range clients {
				dev, err := hub.AddDevice(fmt.Sprintf("more%d", i))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := hub.Device(dev.Identity.DeviceID).SetDesired(string(tw.Desired.JSON)); err != nil {
					b.Fatal(err)
				}
				c := device.New(dev.Identity, dev.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
				defer c.Close()
				if err := c.Connect(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			used := heap() - before
			for b.Loop() {
				_ = used // there is nothing to time: what is held is the figure
			}
			b.ReportMetric(float64(used)/clients, "heap-B/client")
		})
	}
}
