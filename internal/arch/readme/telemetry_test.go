package readme

import (
	"context"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// What follows stands in README.md, as the test in firmware_test.go does.

func TestAlertArrives(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	hub := hubtest.New(t, nil)
	board, err := hub.AddDevice("oven1")
	if err != nil {
		t.Fatal(err)
	}

	// The firmware under test: a reading that may wait, and an alert.
	dev := device.New(board.Identity, board.Credential, mqtt.Dialer{Stream: hub.Stream}, nil)
	defer dev.Close()
	if err := dev.SendLater(ctx, device.Message{Body: []byte(`{"temperature":93.5}`)}); err != nil {
		t.Fatal(err) // the queue is in memory: it works before Connect, too
	}
	if err := dev.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	alert := device.Message{Body: []byte("too hot"), Properties: map[string]string{"alert": "true"}, Urgent: true}
	if err := dev.Send(ctx, alert); err != nil {
		t.Fatal(err) // nil says that the hub has it
	}

	// The back end's side: what the hub has, and what comes.
	for m, err := range board.Messages(ctx) {
		if err != nil {
			t.Fatal(err) // ctx has ended, and no alert came
		}
		if m.Properties["alert"] == "true" {
			break
		}
	}
}
