package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk"
	"github.com/devicetwin/devicetwin-go/examples/internal/desk/desktest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTelemetry runs the device for two hours, of which the line is down for one.
func TestTelemetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		<-time.After(time.Until(begin)) // a bubble begins in 2000
		ctx, stop := context.WithCancel(t.Context())
		hub := hubtest.New(t, nil)
		at, err := hub.AddDevice("oven")
		if err != nil {
			t.Fatal(err)
		}
		line := func(up bool) {
			if err := hub.Device("oven").SetLine(up); err != nil {
				t.Fatal(err)
			}
		}
		var degrees atomic.Int64
		dev := device.New(at.Identity, at.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
		ended := make(chan error, 1)
		go func() {
			ended <- send(ctx, dev, time.Minute, func() float64 { return float64(degrees.Load()) }, slog.New(slog.DiscardHandler))
		}()

		<-time.After(30*time.Minute + 20*time.Second) // no reading is on its way when the line ends
		line(false)
		<-time.After(58*time.Minute + 10*time.Second)
		degrees.Store(61) // in minute 89
		<-time.After(time.Minute)
		degrees.Store(20)
		line(true)
		<-time.After(30 * time.Minute)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stopped, it ended with %v, want nil", err)
		}

		var minutes, alerts []int
		last := 0 // reading, by its minute
		for m, err := range hub.Device("oven").Messages(ctx) {
			if err != nil {
				break // ctx has ended: these are all
			}
			minute := int(m.Created.Sub(begin).Minutes())
			want := fmt.Sprintf(`{"temperature":%d.0}`, map[bool]int{true: 61, false: 20}[minute == 89])
			if minute < 89 {
				want = `{"temperature":0.0}`
			}
			if string(m.Body) != want || m.ContentType != "application/json" || m.ContentEncoding != "utf-8" || m.Repeat != 0 {
				t.Errorf("minute %d: got %s of %s, %s, repeated %d times; want %s", minute, m.Body, m.ContentType, m.ContentEncoding, m.Repeat, want)
			}
			if m.Properties["alert"] == "true" {
				if alerts = append(alerts, minute); last != 29 && last != 30 {
					t.Errorf("the alert came after the reading of minute %d, want it before all that waited", last)
				}
				continue
			}
			if minute <= last {
				t.Errorf("the reading of minute %d came after that of %d", minute, last)
			}
			minutes, last = append(minutes, minute), minute
		}
		if len(minutes) != 118 || minutes[0] != 1 || last != 119 {
			t.Errorf("got %d readings, %v; want 118, of each minute from 1 to 119 but 89", len(minutes), minutes)
		}
		if len(alerts) != 1 || alerts[0] != 89 {
			t.Errorf("got alerts of the minutes %v, want 89", alerts)
		}
	})
}

// TestProgram runs it by its command line, and ends it as SIGTERM does.
func TestProgram(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	hub := hubtest.New(t, nil)
	at, err := hub.AddDevice("oven")
	if err != nil {
		t.Fatal(err)
	}
	address, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, hub.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	program, term := context.WithCancel(ctx)
	defer term()
	ended := make(chan int, 1)
	go func() {
		ended <- run(program, []string{"-ca", ca, "-endpoint", address.String(), "-every", "10ms"}, desk.Console{
			Env: func(string) string { return at.ConnectionString }, Stderr: &stderr,
		})
	}()
	n := 0
	for m, err := range hub.Device("oven").Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if got := string(m.Body); got != `{"temperature":21.5}` {
			t.Errorf("got %s", got)
		}
		if n++; n == 3 {
			break
		}
	}
	term()
	if code := <-ended; code != desk.ExitDone {
		t.Errorf("ended with the status %d, want 0; stderr:\n%s", code, &stderr)
	}
}

// TestWrongCommandLines: what is wrong is named, and no secret is printed.
func TestWrongCommandLines(t *testing.T) {
	good := map[string]string{desk.DeviceVariable: "HostName=hub.example.org;DeviceId=d;SharedAccessKey=" + desktest.Key}
	none := filepath.Join(t.TempDir(), "none.pem")
	desktest.Check(t, "telemetry", func(args []string, c desk.Console) int { return run(t.Context(), args, c) }, []desktest.Wrong{
		{Names: []string{desk.DeviceVariable}},
		{Args: []string{"-every", "0s"}, Env: good, Names: []string{"-every", "0s"}},
		{Args: []string{"-every", "60"}, Env: good, Names: []string{"-every", `"60"`}},
		{Args: []string{"now"}, Env: good, Names: []string{`"now"`}},
		{Args: []string{"-ca", none}, Env: good, Names: []string{"-ca", none}},
	})
	var stderr strings.Builder
	if code := run(t.Context(), []string{"-h"}, desk.Console{Stderr: &stderr}); code != desk.ExitDone || !strings.Contains(stderr.String(), "\n  -every time\n") {
		t.Errorf("-h: got status %d, stderr %q; want 0 and the flags", code, &stderr)
	}
}
