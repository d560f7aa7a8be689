package amqp

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// ReviewLines is how many lines the pool has.
func (p *Pool) ReviewLines() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range p.lines {
		n += len(all)
	}
	return n
}

// A device that leaves while another comes has left: its session ends, though it
// was the only one when it began to leave.
func TestReviewLeaveWhileAnotherJoins(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: slog.New(slog.DiscardHandler)})
	login := func(id string) transport.Login {
		d, err := hub.AddDevice(id)
		if err != nil {
			t.Fatal(err)
		}
		key, err := auth.ParseKey(d.PrimaryKey)
		if err != nil {
			t.Fatal(err)
		}
		token, err := auth.SAS(key, nil).Token(t.Context(), d.Identity.Audience(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return transport.Login{Identity: d.Identity, Token: token, KeepAlive: time.Minute}
	}
	one, two := login("one"), login("two")
	for round := range 300 {
		p := NewPool(Dialer{Stream: hub.Stream}, nil)
		leaves, err := p.Dial(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		// Whoever waits for over a millisecond gets a mutex in turn: so the other
		// joins between the two looks that leaving takes at the line.
		p.mu.Lock()
		left, joined := make(chan struct{}), make(chan transport.Conn, 1)
		go func() {
			defer close(left)
			_ = leaves.Close()
		}()
		waitMillis()
		go func() {
			c, err := p.Dial(t.Context(), two)
			if err != nil {
				t.Error(err)
			}
			joined <- c
		}()
		waitMillis()
		p.mu.Unlock()
		<-left
		c := <-joined
		if c == nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err = hub.Wait(ctx, "one", func(tw hubtest.Twin) bool { return !tw.Connected })
		cancel()
		if err != nil {
			t.Fatalf("round %d: the device is connected still: its session was never ended", round)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func waitMillis() { <-time.After(5 * time.Millisecond) }
