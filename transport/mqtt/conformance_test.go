package mqtt_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest/hubpeer"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// over is the transport under test.
func over(stream transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: stream} }

// newPeer is a new hub at the end of a stream.
func newPeer(t *testing.T, way hubpeer.Way) hubpeer.Peer {
	t.Helper()
	hub := hubtest.New(t, nil)
	return hubpeer.New(hub, way.Stream(t, hub), over)
}

// TestConformance runs every case of the contract over every kind of stream.
func TestConformance(t *testing.T) {
	for _, way := range hubpeer.Ways() {
		t.Run(way.Name, func(t *testing.T) {
			for _, c := range transporttest.Cases() {
				if way.Real && c.Virtual {
					continue
				}
				run := func(t *testing.T) {
					t.Log("rule:", c.Rule)
					c.Run(t, newPeer(t, way))
				}
				if !way.Real {
					inner := run
					run = func(t *testing.T) { synctest.Test(t, inner) }
				}
				t.Run(c.Name, run)
			}
		})
	}
}

// TestDeafHubOverTLS has a write fail that TLS, on closing, would follow by 5 s
// of saying goodbye.
func TestDeafHubOverTLS(t *testing.T) { synctest.Test(t, testDeafHubOverTLS) }
func testDeafHubOverTLS(t *testing.T) {
	p := newPeer(t, hubpeer.Ways()[1])
	l, err := p.Login("dev1", keepAlive)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Dialer(nil).Dial(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := p.Stall("dev1", true); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	big := strings.Repeat("x", 30<<10)
	for err == nil {
		err = c.Send(t.Context(), patch("1", 0, big))
	}
	wantError(t, "Send", err, transport.ErrStalled)
	wantElapsed(t, "Send failed after", start, 10*time.Second)
	_, err = c.Receive(t.Context())
	wantError(t, "Receive", err, transport.ErrStalled)
	wantElapsed(t, "Receive failed after", start, 10*time.Second)
}
