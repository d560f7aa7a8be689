// Package hubpeer puts the hub in the box at the far end of the cases of
// internal/transporttest. It stands apart from them: they ask for no more of a
// hub than an interface does.
package hubpeer

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// tokenLifetime is longer than any case: at a token's end a hub hangs up, and
// the usual hour is too short for some.
const tokenLifetime = 48 * time.Hour

// A Peer is a transport with a hub at its far end.
type Peer struct {
	*hubtest.Hub
	over    func(transport.StreamFunc) transport.Dialer
	stream  transport.StreamFunc
	devices map[string]hubtest.Device
}

var _ transporttest.Peer = Peer{}

// New makes a peer of a hub, a stream to it, and the transport that is spoken
// over the stream. It is for one goroutine.
func New(hub *hubtest.Hub, stream transport.StreamFunc, over func(transport.StreamFunc) transport.Dialer) Peer {
	return Peer{Hub: hub, over: over, stream: stream, devices: map[string]hubtest.Device{}}
}

// SetDesired merges a patch into a device's desired properties.
func (p Peer) SetDesired(id, patchJSON string) (int64, error) {
	return p.Device(id).SetDesired(patchJSON)
}

// Cut ends a device's line without a word.
func (p Peer) Cut(id string) error { return p.Device(id).Cut() }

// Stall makes a device's line half-open, or well again.
func (p Peer) Stall(id string, on bool) error { return p.Device(id).Stall(on) }

// Dialer is the transport.
func (p Peer) Dialer(wrap transporttest.Wrap) transport.Dialer {
	if wrap == nil {
		return p.over(p.stream)
	}
	return p.over(func(ctx context.Context, target transport.Target) (net.Conn, error) {
		stream, err := p.stream(ctx, target)
		if err != nil {
			return nil, err
		}
		return wrap(stream)
	})
}

// Login is one by a token.
func (p Peer) Login(id string, keepAlive time.Duration) (transport.Login, error) {
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
	credential := auth.SAS(key, &auth.SASOptions{Lifetime: tokenLifetime})
	token, err := auth.TokenOf(context.Background(), credential, d.Identity.Audience(), time.Now())
	return transport.Login{Identity: d.Identity, Token: token, KeepAlive: keepAlive}, err
}

// A Way is a kind of stream to a hub.
type Way struct {
	// Name names it among all.
	Name string
	// Real says that it has real sockets, so that no virtual time may be used.
	Real bool
	// Stream is the way to one hub. Where it has real sockets the hub listens
	// for the protocols given, none meaning all.
	Stream func(t transporttest.TB, h *hubtest.Hub, speaks ...hubtest.Protocol) transport.StreamFunc
}

// Ways are all: bare and in memory, by TLS in memory, and by TLS over TCP.
func Ways() []Way {
	trusting := func(h *hubtest.Hub) *tls.Config { return &tls.Config{RootCAs: h.RootCAs()} }
	return []Way{
		{"memory", false, func(_ transporttest.TB, h *hubtest.Hub, _ ...hubtest.Protocol) transport.StreamFunc {
			return h.Stream
		}},
		{"TLS in memory", false, func(_ transporttest.TB, h *hubtest.Hub, _ ...hubtest.Protocol) transport.StreamFunc {
			return transport.TLS(&transport.TLSOptions{Config: trusting(h), DialContext: h.DialContext})
		}},
		{"TLS over TCP", true, func(t transporttest.TB, h *hubtest.Hub, speaks ...hubtest.Protocol) transport.StreamFunc {
			t.Helper()
			addr, err := h.Listen("127.0.0.1:0", speaks...)
			if err != nil {
				t.Fatalf("%v", err)
			}
			return transport.TLS(&transport.TLSOptions{Config: trusting(h), Address: addr.String()})
		}},
	}
}
