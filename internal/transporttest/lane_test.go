package transporttest_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest/hubpeer"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// lane is a lane with two places, to a hub.
func lane(t *testing.T) (*transporttest.Lane, transport.Conn) {
	t.Helper()
	hub := hubtest.New(t, nil)
	over := func(s transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: s} }
	p := hubpeer.New(hub, hub.Stream, over)
	login, err := p.Login("dev1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	l := transporttest.NewLane(p.Dialer(nil), 2)
	c, err := l.Dial(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return l, c
}

func telemetry(n int) transport.Frame {
	return transport.Frame{Kind: transporttest.LaneKind, ID: fmt.Sprint("t", n), Body: []byte("{}")}
}

func wantFrame(t *testing.T, c transport.Conn, kind transport.Kind, id string) transport.Frame {
	t.Helper()
	f, err := c.Receive(t.Context())
	if err != nil || f.Kind != kind || f.ID != id {
		t.Fatalf("Receive: got %+v, %v; want %v %q", f, err, kind, id)
	}
	return f
}

// TestLaneWithoutRoom: without room for ten minutes the twin has its answers at
// once, and then room is reported once.
func TestLaneWithoutRoom(t *testing.T) { synctest.Test(t, testLaneWithoutRoom) }
func testLaneWithoutRoom(t *testing.T) {
	l, c := lane(t)
	send := func(f transport.Frame) error { return c.Send(t.Context(), f) }
	if err := errors.Join(send(telemetry(1)), send(telemetry(2)), send(transport.Frame{Kind: transport.Open, Feature: transport.TwinResponses, ID: "o"})); err != nil {
		t.Fatal(err)
	}
	wantFrame(t, c, transport.Accepted, "o")
	for i := range 10 {
		start := time.Now()
		if err := send(telemetry(3)); !errors.Is(err, transport.ErrBusy) {
			t.Fatalf("Send without room: got %v; want ErrBusy", err)
		}
		id := fmt.Sprint("g", i)
		if err := send(transport.Frame{Kind: transport.GetTwin, ID: id}); err != nil {
			t.Fatal(err)
		}
		wantFrame(t, c, transport.Response, id)
		if took := time.Since(start); took != 0 {
			t.Errorf("the GET took %v", took)
		}
		time.Sleep(time.Minute)
	}
	l.Answer(1)
	wantFrame(t, c, transport.Accepted, "t1")
	if f := wantFrame(t, c, transport.Ready, ""); f.Feature != transporttest.LaneFeature {
		t.Errorf("Ready names feature %q, want %q", f.Feature, transporttest.LaneFeature)
	}
	if err := send(telemetry(3)); err != nil {
		t.Fatal(err)
	}
	l.Answer(9)
	wantFrame(t, c, transport.Accepted, "t2")
	wantFrame(t, c, transport.Accepted, "t3")
	if got := l.Sent(); got != 3 {
		t.Errorf("%d frames were sent, want 3", got)
	}
}

// TestLaneIsAConn: a connection with the lane keeps the contract in all else.
func TestLaneIsAConn(t *testing.T) {
	over := func(s transport.StreamFunc) transport.Dialer {
		return transporttest.NewLane(mqtt.Dialer{Stream: s}, 2)
	}
	for _, c := range transporttest.Cases() {
		switch c.Name {
		case "SendUnsayable": // Telemetry can be said
			continue
		case "ReceiveContextEnded": // the connection below is cancelled instead
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := hubtest.New(t, nil)
				c.Run(t, hubpeer.New(hub, hub.Stream, over))
			})
		})
	}
}
