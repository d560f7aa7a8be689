package device_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// A liar is a line on which the next bytes from the hub are replaced.
type liar struct {
	net.Conn
	lies chan []byte
}

func (l *liar) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	select {
	case lie := <-l.lies:
		return copy(b, lie), err
	default:
		return n, err
	}
}

func TestPacketsThatLie(t *testing.T) {
	for name, lie := range map[string][]byte{
		"256 MB announced":            {0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'},
		"a topic past the end":        {0x30, 4, 0xff, 0xff, 'a', 'b'},
		"five bytes of length":        {0x30, 0x80, 0x80, 0x80, 0x80, 1},
		"a kind that MQTT lacks":      {0xf0, 0},
		"a packet of a client's":      {0x10, 0},
		"SUBACK without its codes":    {0x90, 2, 0, 1},
		"QoS 3":                       {0x36, 5, 0, 1, 'a', 0, 1},
		"a topic that is not UTF-8":   {0x30, 4, 0, 2, 0xff, 0xfe},
		"CONNACK in mid-conversation": {0x20, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				lies := make(chan []byte, 1)
				stream := func(ctx context.Context, target transport.Target) (net.Conn, error) {
					conn, err := w.hub.Stream(ctx, target)
					return &liar{conn, lies}, err
				}
				var waits []error
				c := device.New(w.dev.Identity, w.dev.Credential, mqtt.Dialer{Stream: stream}, &device.Options{
					OnState: func(s device.State) {
						if s.Phase == device.Waiting {
							waits = append(waits, s.Err)
						}
					},
				})
				defer c.Close()
				w.setDesired(`{"a":1}`)
				var a ears
				if _, err := c.OnDesired("a", a.listener, nil); err != nil {
					t.Fatal(err)
				}
				if err := c.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantLines(t, "at the start", a.take(), "start 1")
				lies <- lie
				w.setDesired(`{"a":2}`) // its notification is what the lie replaces
				time.Sleep(time.Minute)
				wantLines(t, "after the lie", a.take(), "reconnect 2")
				if len(waits) != 1 || !errors.Is(waits[0], transport.ErrProtocol) {
					t.Errorf("the causes are %v, want one ErrProtocol", waits)
				}
			})
		})
	}
}
