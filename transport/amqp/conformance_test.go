package amqp_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// hubPeer is the far end of the suite's cases.
type hubPeer struct {
	*hubtest.Hub
	stream  transport.StreamFunc
	devices map[string]hubtest.Device
}

func (p hubPeer) Dialer(wrap transporttest.Wrap) transport.Dialer {
	if wrap == nil {
		return amqp.Dialer{Stream: p.stream}
	}
	return amqp.Dialer{Stream: func(ctx context.Context, target transport.Target) (net.Conn, error) {
		stream, err := p.stream(ctx, target)
		if err != nil {
			return nil, err
		}
		return wrap(stream)
	}}
}

func (p hubPeer) Login(id string, keepAlive time.Duration) (transport.Login, error) {
	d, known := p.devices[id]
	if !known {
		var err error
		if d, err = p.AddDevice(id); err != nil {
			return transport.Login{}, err
		}
		p.devices[id] = d
	}
	key, err := auth.ParseKey(d.PrimaryKey)
	if err != nil {
		return transport.Login{}, err
	}
	// Some cases last longer than the usual hour, at whose end a hub hangs up.
	credential := auth.SAS(key, &auth.SASOptions{Lifetime: 48 * time.Hour})
	token, err := credential.Token(context.Background(), d.Identity.Audience(), time.Now())
	return transport.Login{Identity: d.Identity, Token: token, KeepAlive: keepAlive}, err
}

// streamsOf are the ways to a hub.
var streamsOf = []struct {
	name   string
	real   bool // real sockets, so no virtual time
	stream func(*testing.T, *hubtest.Hub) transport.StreamFunc
}{
	{"memory", false, func(_ *testing.T, h *hubtest.Hub) transport.StreamFunc { return h.Stream }},
	{"TLS in memory", false, func(_ *testing.T, h *hubtest.Hub) transport.StreamFunc {
		return transport.TLS(&transport.TLSOptions{Config: &tls.Config{RootCAs: h.RootCAs()}, Dial: h.Dial})
	}},
	{"TLS over TCP", true, func(t *testing.T, h *hubtest.Hub) transport.StreamFunc {
		addr, err := h.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return transport.TLS(&transport.TLSOptions{Config: &tls.Config{RootCAs: h.RootCAs()}, Address: addr.String()})
	}},
}

// TestConformance runs every case of the contract over every kind of stream.
func TestConformance(t *testing.T) {
	for _, way := range streamsOf {
		t.Run(way.name, func(t *testing.T) {
			for _, c := range transporttest.Cases() {
				if way.real && c.Virtual {
					continue
				}
				run := func(t *testing.T) {
					hub := hubtest.New(t, nil)
					t.Log("rule:", c.Rule)
					c.Run(t, hubPeer{hub, way.stream(t, hub), map[string]hubtest.Device{}})
				}
				if !way.real {
					inner := run
					run = func(t *testing.T) { synctest.Test(t, inner) }
				}
				t.Run(c.Name, run)
			}
		})
	}
}
