package amqp_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// A line that dies at the moment in which ctx ends Dial leaves no Dial behind.
func TestReviewLineDiesAsContextEnds(t *testing.T) {
	t.Run("pool", func(t *testing.T) {
		testReviewLineDies(t, func(s transport.StreamFunc) transport.Dialer { return amqp.NewPool(amqp.Dialer{Stream: s}, nil) })
	})
	t.Run("alone", func(t *testing.T) {
		testReviewLineDies(t, func(s transport.StreamFunc) transport.Dialer { return amqp.Dialer{Stream: s} })
	})
}

func testReviewLineDies(t *testing.T, dialer func(transport.StreamFunc) transport.Dialer) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	devices := addMany(t, hub, 8)
	logins := make([]transport.Login, 8)
	for i, d := range devices {
		logins[i] = loginOf(t, d, time.Hour)
	}
	for round := range 1500 {
		b := &breaker{to: hub.Stream}
		p := dialer(b.stream)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			var all sync.WaitGroup
			for _, l := range logins {
				all.Go(func() {
					if c, err := p.Dial(ctx, l); err == nil {
						_ = c.Close()
					}
				})
			}
			all.Wait()
		}()
		<-time.After(time.Duration(rand.IntN(1500)) * time.Microsecond)
		cancel()
		b.cut()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			stacks := make([]byte, 1<<20)
			t.Fatalf("round %d: Dial hangs for 20s after its ctx has ended and its line is dead\n%s", round, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// Nor does it leave a Send or a Renew behind.
func TestReviewLineDiesUnderUse(t *testing.T) {
	for desc, use := range map[string]func(ctx context.Context, c transport.Conn, l transport.Login){
		"Send": func(ctx context.Context, c transport.Conn, _ transport.Login) {
			for ctx.Err() == nil && c.Send(ctx, transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"}) == nil {
			}
		},
		"Renew": func(ctx context.Context, c transport.Conn, l transport.Login) {
			for ctx.Err() == nil && c.(transport.Renewer).Renew(ctx, l.Token) == nil {
			}
		},
	} {
		t.Run(desc, func(t *testing.T) {
			hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
			login := loginOf(t, addMany(t, hub, 1)[0], time.Hour)
			for round := range 3000 {
				b := &breaker{to: hub.Stream}
				c, err := amqp.Dialer{Stream: b.stream}.Dial(t.Context(), login)
				if err != nil {
					continue // the hub ends the one before in this moment
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					use(ctx, c, login)
				}()
				go func() {
					for {
						if _, err := c.Receive(t.Context()); err != nil {
							return
						}
					}
				}()
				<-time.After(time.Duration(rand.IntN(300)) * time.Microsecond)
				cancel()
				b.cut()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					stacks := make([]byte, 1<<20)
					t.Errorf("round %d: %s hangs for 10s after its ctx has ended and the line is dead\n%s", round, desc, stacks[:runtime.Stack(stacks, true)])
				}
				closeConn(t, c)
				<-done
				if t.Failed() {
					return
				}
			}
		})
	}
}
