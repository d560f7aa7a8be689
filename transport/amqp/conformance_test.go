package amqp_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest"
	"github.com/devicetwin/devicetwin-go/internal/transporttest/hubpeer"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// hubPeer is the far end of the suite's cases.
type hubPeer struct {
	hubpeer.Peer
	dialer func(p hubPeer, d amqp.Dialer, wrapped bool) transport.Dialer
}

func (p hubPeer) Dialer(wrap transporttest.Wrap) transport.Dialer {
	return p.dialer(p, p.Peer.Dialer(wrap).(amqp.Dialer), wrap != nil)
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

// TestConformance runs every case of the contract over every kind of stream, and for
// every use of it.
func TestConformance(t *testing.T) {
	over := func(stream transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: stream} }
	for _, way := range hubpeer.Ways() {
		for _, use := range uses() {
			t.Run(way.Name+"/"+use.name, func(t *testing.T) {
				for _, c := range transporttest.Cases() {
					if way.Real && c.Virtual || slices.Contains(use.skip, c.Name) {
						continue
					}
					run := func(t *testing.T) {
						hub := hubtest.New(t, nil)
						t.Log("rule:", c.Rule)
						c.Run(t, hubPeer{hubpeer.New(hub, way.Stream(t, hub), over), use.dialer})
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
}
