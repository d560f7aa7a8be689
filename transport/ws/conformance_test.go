package ws_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// hubPeer is the far end of the suite's cases: a hub's front for WebSocket.
type hubPeer struct {
	*hubtest.Hub
	over    func(transport.StreamFunc) transport.Dialer
	stream  transport.StreamFunc
	devices map[string]hubtest.Device
}

func (p hubPeer) Dialer(wrap transporttest.Wrap) transport.Dialer {
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

// protocols are what is spoken over WebSocket.
func protocols() map[string]func(transport.StreamFunc) transport.Dialer {
	return map[string]func(transport.StreamFunc) transport.Dialer{
		"MQTT": func(s transport.StreamFunc) transport.Dialer { return mqtt.Dialer{Stream: s} },
		"AMQP": func(s transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: s} },
	}
}

// ways are the kinds of stream to the hub's own front.
func ways() []way {
	return []way{
		{"memory", false, func(_ *testing.T, h *hubtest.Hub) transport.StreamFunc { return h.Stream }},
		{"TLS in memory", false, func(_ *testing.T, h *hubtest.Hub) transport.StreamFunc {
			return transport.TLS(&transport.TLSOptions{Config: &tls.Config{RootCAs: h.RootCAs()}, Dial: h.Dial})
		}},
		{"TLS over TCP", true, func(t *testing.T, h *hubtest.Hub) transport.StreamFunc {
			addr, err := h.Listen("127.0.0.1:0", hubtest.HTTPS)
			if err != nil {
				t.Fatal(err)
			}
			return transport.TLS(&transport.TLSOptions{Config: &tls.Config{RootCAs: h.RootCAs()}, Address: addr.String()})
		}},
	}
}

type way struct {
	name   string
	real   bool // real sockets, so no virtual time
	stream func(*testing.T, *hubtest.Hub) transport.StreamFunc
}

// peer is a new hub at the end of a WebSocket.
func (w way) peer(t *testing.T, protocol string) hubPeer {
	hub := hubtest.New(t, nil)
	return hubPeer{hub, protocols()[protocol], ws.Stream(&ws.Options{Stream: w.stream(t, hub)}), map[string]hubtest.Device{}}
}

// run runs a test in virtual time where the way allows it.
func (w way) run(t *testing.T, name string, f func(*testing.T)) {
	t.Run(w.name+"/"+name, func(t *testing.T) {
		if w.real {
			f(t)
			return
		}
		synctest.Test(t, f)
	})
}

// TestConformance runs every case of the contract with both protocols over
// WebSocket.
func TestConformance(t *testing.T) {
	for protocol := range protocols() {
		for _, w := range ways() {
			for _, c := range transporttest.Cases() {
				if w.real && c.Virtual {
					continue // it takes too long for real sockets
				}
				w.run(t, protocol+"/"+c.Name, func(t *testing.T) {
					t.Log("rule:", c.Rule)
					c.Run(t, w.peer(t, protocol))
				})
			}
		}
	}
}

// TestX509 has a certificate of the TLS below prove who the device is.
func TestX509(t *testing.T) {
	for _, w := range ways()[1:] {
		for _, kind := range []string{"MQTT, self-signed", "MQTT, of a CA", "AMQP, self-signed", "AMQP, of a CA"} {
			w.run(t, kind, func(t *testing.T) {
				selfSigned := strings.HasSuffix(kind, "self-signed")
				p := w.peer(t, kind[:4])
				d, err := p.AddX509Device("dev1", &hubtest.X509Options{SelfSigned: selfSigned})
				if err != nil {
					t.Fatal(err)
				}
				cert, err := d.Credential.Certificate(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				login := transport.Login{Identity: d.Identity, Certificate: cert, KeepAlive: time.Minute}
				c, err := p.Dialer(nil).Dial(t.Context(), login)
				if err != nil {
					t.Fatalf("with its certificate: %v", err)
				}
				c.Close()
				login.Certificate = nil
				_, err = p.Dialer(nil).Dial(t.Context(), login)
				wantError(t, "without its certificate", err, transport.ErrUnauthorized)
			})
		}
	}
}
