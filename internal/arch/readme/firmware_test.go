package readme

import (
	"context"
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
	if _, err := dev.OnDesired("fan.rpm", twin.Typed(func(ctx context.Context, rpm int, c twin.Change) error {
		if c.Value.Exists() {
			return nil // turn the motor
		}
		return nil // nothing is desired: stop it
	}), &device.ListenOptions{Acknowledge: true}); err != nil {
		t.Fatal(err)
	}
	if err := dev.Connect(ctx); err != nil {
		t.Fatal(err)
	}

	// The back end's side.
	if _, err := hub.SetDesired("fan1", `{"fan":{"rpm":900}}`); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.WaitReported(ctx, "fan1", "fan.rpm.ac", "200"); err != nil {
		t.Fatal(err)
	}
}
