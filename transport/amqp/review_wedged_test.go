package amqp_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A connection on which the hub answers nothing any more, but its heartbeats come, is
// not joined for ever: devices that give up and dial again get another.
func TestReviewWedgedLine(t *testing.T) { bubble(t, testReviewWedgedLine) }
func testReviewWedgedLine(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	var wedge, first atomic.Bool
	p, m := tapped(hub, func(c *tap) {
		mine := !first.Swap(true)
		c.comes = func(f []byte) []byte {
			if mine && wedge.Load() && len(f) > 8 {
				return []byte(heartbeat)
			}
			return f
		}
	})
	devices := addMany(t, hub, 5)
	conns := join(t, p, devices...)
	wedge.Store(true)
	var all sync.WaitGroup
	var well atomic.Int32
	for i, c := range conns {
		login := loginOf(t, devices[i], 24*time.Hour)
		all.Go(func() {
			time.Sleep(time.Duration(i) * 7 * time.Second) // each has its own rhythm
			for range 60 {
				if c != nil {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					err := c.Send(ctx, transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"})
					if err == nil {
						_, err = c.Receive(ctx)
					}
					cancel()
					if err == nil {
						well.Add(1)
						break
					}
					_ = c.Close()
				}
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				c, _ = p.Dial(ctx, login)
				cancel()
			}
			if c != nil {
				_ = c.Close()
			}
		})
	}
	start := time.Now()
	all.Wait()
	if n := well.Load(); n != 5 {
		t.Errorf("after %v, %d of 5 devices are well again; %d connections were opened", time.Since(start), n, m.opened.Load())
	}
}

// Sessions whose end the hub does not answer are bounded in number.
func TestReviewEndUnanswered(t *testing.T) { bubble(t, testReviewEndUnanswered) }
func testReviewEndUnanswered(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := tapped(hub, func(c *tap) {
		c.comes = func(f []byte) []byte {
			if code(f) == kindEnd {
				return nil
			}
			return f
		}
	})
	devices := addMany(t, hub, 2)
	stays := join(t, p, devices[0])[0]
	before := runtime.NumGoroutine()
	const times = 200
	for range times {
		c, err := dialIn(t, p, devices[1], time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		closeConn(t, c)
	}
	if more := runtime.NumGoroutine() - before; more > times/2 {
		t.Errorf("a device came and left %d times, and left %d goroutines on a line that lives on", times, more)
	}
	closeConn(t, stays)
}
