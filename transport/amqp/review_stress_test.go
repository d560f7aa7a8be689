package amqp_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// A breaker keeps the streams it opened, and cuts them.
type breaker struct {
	to  transport.StreamFunc
	mu  sync.Mutex
	all []net.Conn
}

func (b *breaker) stream(ctx context.Context, target transport.Target) (net.Conn, error) {
	c, err := b.to(ctx, target)
	if err == nil {
		b.mu.Lock()
		b.all = append(b.all, c)
		b.mu.Unlock()
	}
	return c, err
}

func (b *breaker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.all {
		_ = c.Close()
	}
	b.all = nil
}

// sentinels is how many of the contract's errors err matches.
func sentinels(err error) (n int) {
	for _, s := range []error{
		transport.ErrClosed, transport.ErrLost, transport.ErrStalled, transport.ErrProtocol, transport.ErrUnauthorized,
		transport.ErrUntrusted, transport.ErrUnavailable, transport.ErrThrottled, transport.ErrUnsupported, transport.ErrQuota,
	} {
		if errors.Is(err, s) {
			n++
		}
	}
	return n
}

// Whatever happens when, nothing hangs or is left behind, and errors are the
// contract's: lines die under joining, leaving, asking and renewing, and contexts
// end between any two steps.
func TestReviewStorm(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard(), ConnectionTokens: 6})
	b := &breaker{to: hub.Stream}
	m := &meter{to: b.stream}
	p := amqp.NewPool(amqp.Dialer{Stream: m.stream}, &amqp.PoolOptions{Devices: 8})
	devices := addMany(t, hub, 20)
	stop := make(chan struct{})
	var storm, all sync.WaitGroup
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rand.IntN(30)) * time.Millisecond):
				b.cut()
			}
		}
	})
	for _, d := range devices {
		login := loginOf(t, d, time.Hour)
		all.Go(func() {
			for range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(20_000))*time.Microsecond)
				c, err := p.Dial(ctx, login)
				if err != nil && sentinels(err) != 1 {
					t.Errorf("Dial: %v matches %d sentinels", err, sentinels(err))
				}
				if err == nil {
					var inner sync.WaitGroup
					inner.Go(func() { _, _ = c.Receive(ctx) })
					inner.Go(func() { _ = c.Send(ctx, transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"}) })
					inner.Go(func() { _ = c.(transport.Renewer).Renew(ctx, login.Token) })
					if rand.IntN(2) == 0 {
						inner.Wait()
					}
					_ = c.Close()
					inner.Wait()
				}
				cancel()
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		stacks := make([]byte, 1<<21)
		t.Fatalf("something hangs:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	close(stop)
	storm.Wait()
	if open := m.opened.Load() - m.closed.Load(); open != 0 || p.ReviewLines() != 0 {
		t.Errorf("%d connections are open after all, and the pool has %d lines", open, p.ReviewLines())
	}
}
