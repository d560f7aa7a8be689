package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// A wall is a panel that remembers what it was set to, and how often.
type wall struct {
	degrees atomic.Int64
	mu      sync.Mutex
	now     setting
}

type setting struct {
	low, high float64
	fan       bool
	calls     int
}

func (w *wall) Temperature() float64 { return float64(w.degrees.Load()) }

func (w *wall) SetBand(low, high float64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = setting{low, high, w.now.fan, w.now.calls + 1}
	return nil
}

func (w *wall) SetFan(on bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.fan, w.now.calls = on, w.now.calls+1
	return nil
}

// want compares once all is quiet.
func (w *wall) want(t *testing.T, want setting) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now != want {
		t.Errorf("the panel is set to %+v, want %+v", w.now, want)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThermostat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))) // a bubble begins in 2000
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		hub := hubtest.New(t, nil)
		at, err := hub.AddX509Device("hall", nil)
		if err != nil {
			t.Fatal(err)
		}
		desire := func(patch string) {
			t.Helper()
			if _, err := hub.Device("hall").SetDesired(patch); err != nil {
				t.Fatal(err)
			}
		}
		reported := func(path, want string) {
			t.Helper()
			if tw, err := hub.Device("hall").WaitReported(ctx, path, want); err != nil {
				t.Fatalf("reported %s, want %s at %q: %v", tw.Reported.JSON, want, path, err)
			}
		}
		line := func(up bool) {
			t.Helper()
			if err := hub.Device("hall").SetLine(up); err != nil {
				t.Fatal(err)
			}
		}
		w := &wall{}
		firmware := thermostat{at.Identity, at.Credential, mqtt.Dialer{Stream: transport.TLS(&transport.TLSOptions{
			Config: &tls.Config{RootCAs: hub.RootCAs()}, DialContext: hub.DialContext,
		})}, filepath.Join(t.TempDir(), "twin"), w, slog.New(slog.DiscardHandler)}
		switchOn := func() (off func()) {
			ctx, cancel := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- firmware.run(ctx) }()
			return func() {
				t.Helper()
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("the firmware ended with %v", err)
				}
			}
		}

		off := switchOn()
		reported("status.fan", "false")
		w.want(t, setting{5, 30, false, 2}) // nothing is desired

		desire(`{"climate":{"minTemperature":18,"maxTemperature":24,"hvac":{"systemControl":{"fanOn":true}}}}`)
		reported("climate.av", "2")
		reported("status.fan", "true")
		reported("status.temperature", "0") // once a minute
		w.want(t, setting{18, 24, true, 4})

		desire(`{"climate":{"maxTemperature":17}}`)
		reported("climate.ac", "400")
		w.want(t, setting{18, 24, true, 4})
		desire(`{"climate":{"maxTemperature":24}}`)
		reported("climate.ac", "200")

		// The line goes down for an hour. The back end changes its mind, somebody opens a
		// window, and the board is switched off and on.
		line(false)
		desire(`{"climate":{"maxTemperature":25}}`)
		w.degrees.Store(18)
		time.Sleep(time.Hour)
		off()
		w.degrees.Store(19)
		off = switchOn()
		time.Sleep(10 * time.Second)
		w.want(t, setting{18, 24, true, 5})
		line(true)
		reported("status.temperature", "18") // as it was kept, before a minute has passed
		reported("climate.value.maxTemperature", "25")
		w.want(t, setting{18, 25, true, 6}) // the fan's setting is the same, and is not made again
		reported("status.temperature", "19")

		desire(`{"climate":null}`)
		reported("status.fan", "false")
		w.want(t, setting{5, 30, false, 8})
		off()
		off = switchOn()
		time.Sleep(time.Minute)
		w.want(t, setting{5, 30, false, 8}) // nothing has changed
		off()
	})
}
