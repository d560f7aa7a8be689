package amqp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
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
	dialer  func(p hubPeer, d amqp.Dialer, wrapped bool) transport.Dialer
}

func (p hubPeer) Dialer(wrap transporttest.Wrap) transport.Dialer {
	if wrap == nil {
		return p.dialer(p, amqp.Dialer{Stream: p.stream}, false)
	}
	return p.dialer(p, amqp.Dialer{Stream: func(ctx context.Context, target transport.Target) (net.Conn, error) {
		stream, err := p.stream(ctx, target)
		if err != nil {
			return nil, err
		}
		return wrap(stream)
	}}, true)
}

// A use is a way to use a stream.
type use struct {
	name   string
	dialer func(p hubPeer, d amqp.Dialer, wrapped bool) transport.Dialer
	skip   []string // cases that ask for what is another matter here
}

// uses are: by one device, in a pool, and in a pool whose connection another
// device uses too. A case that looks at the stream itself is spared the company.
func uses() []use {
	// A session that has failed keeps its place on the line until Close.
	pooled := []string{"ReceiveContext"}
	return []use{
		{"alone", func(_ hubPeer, d amqp.Dialer, _ bool) transport.Dialer { return d }, nil},
		{"pooled", func(_ hubPeer, d amqp.Dialer, _ bool) transport.Dialer { return amqp.NewPool(d, nil) }, pooled},
		{"in company", func(p hubPeer, d amqp.Dialer, wrapped bool) transport.Dialer {
			pool := amqp.NewPool(d, nil)
			if wrapped {
				return pool
			}
			return &companionship{Pool: pool, peer: p}
		}, slices.Concat(pooled, []string{
			// What ends a device's links is no end of the line: TestPoolIsolation.
			"Cut", "TakenOver",
			// The hub cannot stall the line of one who shares it.
			"CloseUnderSend", "SendContextWhileWaiting", "StallWhileIdle", "StallWhileSending", "StallWithLargeFrames", "Idle",
			// The company is one device. TestPoolManyAtOnce.
			"DialManyAtOnce",
		})},
	}
}

// companionship is a pool on which another device is, as long as there is a Conn.
type companionship struct {
	*amqp.Pool
	peer hubPeer
}

func (s *companionship) Dial(ctx context.Context, login transport.Login) (transport.Conn, error) {
	other, err := s.peer.Login("company", login.KeepAlive)
	if err != nil {
		return nil, err
	}
	company, err := s.Pool.Dial(ctx, other)
	if err != nil {
		return nil, err
	}
	c, err := s.Pool.Dial(ctx, login)
	if err != nil {
		return nil, errors.Join(err, company.Close())
	}
	return accompanied{c, company}, nil
}

type accompanied struct {
	transport.Conn
	company transport.Conn
}

func (a accompanied) Close() error { return errors.Join(a.Conn.Close(), a.company.Close()) }

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

// TestConformance runs every case of the contract over every kind of stream, and for
// every use of it.
func TestConformance(t *testing.T) {
	for _, way := range streamsOf {
		for _, use := range uses() {
			t.Run(way.name+"/"+use.name, func(t *testing.T) {
				for _, c := range transporttest.Cases() {
					if way.real && c.Virtual || slices.Contains(use.skip, c.Name) {
						continue
					}
					run := func(t *testing.T) {
						hub := hubtest.New(t, nil)
						t.Log("rule:", c.Rule)
						c.Run(t, hubPeer{hub, way.stream(t, hub), map[string]hubtest.Device{}, use.dialer})
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
}
