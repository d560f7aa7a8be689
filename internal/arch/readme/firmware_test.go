package readme

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/twin"
)

// What follows stands in README.md, to the letter: arch.TestDocuments holds
// that. It has a package of its own, so that the rules of arch run also while
// device or hubtest do not build.

func TestFanFollowsTheHub(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	hub := hubtest.New(t, nil) // ends with the test
	board, err := hub.AddDevice("fan1")
	if err != nil {
		t.Fatal(err)
	}

	// The firmware under test: it sets the speed, and acknowledges by itself.
	dev := device.New(board.Identity, board.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
	defer dev.Close()
	var motor atomic.Int64
	if _, err := dev.OnDesired("fan.rpm", twin.TypedOr(0, func(_ context.Context, rpm int, _ twin.Change) error {
		motor.Store(int64(rpm)) // 0 where nothing is desired
		return nil
	}), &device.ListenOptions{Acknowledge: true}); err != nil {
		t.Fatal(err)
	}
	if err := dev.Connect(ctx); err != nil {
		t.Fatal(err)
	}

	// The back end's side.
	if _, err := board.SetDesired(twin.Set("fan.rpm", 900)); err != nil {
		t.Fatal(err)
	}
	if _, err := board.WaitReported(ctx, "fan.rpm.ac", "200"); err != nil {
		t.Fatal(err)
	}
	if got := motor.Load(); got != 900 {
		t.Errorf("the motor is at %d, want 900", got)
	}
}
