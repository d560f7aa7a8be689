package amqp_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// Two logins of one device that both find the connection full do no harm.
func TestReviewFullForOneDeviceTwice(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	devices := addMany(t, hub, 2)
	first, keeper := loginOf(t, devices[0], time.Hour), loginOf(t, devices[1], time.Hour)
	for round := range 300 {
		p := amqp.NewPool(amqp.Dialer{Stream: hub.Stream}, nil)
		stays, err := p.Dial(t.Context(), keeper)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 * 3 {
			hub.Intercept(hubtest.FromDevice("dev0", hubtest.Connect), hubtest.Fail(403005))
		}
		ended := make(chan any, 4)
		for range 4 {
			go func() {
				defer func() { ended <- recover() }()
				if c, err := p.Dial(t.Context(), first); err == nil {
					_ = c.Close()
				}
			}()
		}
		for range 4 {
			if broken := <-ended; broken != nil {
				t.Fatalf("round %d: Dial panicked: %v", round, broken)
			}
		}
		closeConn(t, stays)
	}
}

// A hub that has no more channels refuses one device, and harms no other.
func TestReviewChannelMax(t *testing.T) { bubble(t, testReviewChannelMax) }
func testReviewChannelMax(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, m := tapped(hub, fewChannels)
	devices := addMany(t, hub, 6)
	var conns []transport.Conn
	for i, d := range devices {
		c, err := dialIn(t, p, d, time.Minute)
		if err != nil {
			t.Errorf("dev%d: %v; want it on another connection", i, err)
			continue
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		if err := c.Send(t.Context(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"}); err != nil {
			t.Errorf("a device that was there: %v; want it to be left alone", err)
		}
	}
	t.Logf("%d connections were opened", m.opened.Load())
}

// fewChannels has the hub announce a channel-max of 3.
func fewChannels(c *tap) {
	c.comes = func(f []byte) []byte {
		if code(f) == kindOpen {
			for i := range f[:len(f)-2] {
				if f[i] == 0x60 && f[i+1] == 0x1f && f[i+2] == 0xff {
					f[i+1], f[i+2] = 0, 3
				}
			}
		}
		return f
	}
}

// Nor does it lock anything up.
func TestReviewChannelMaxAtOnce(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	devices := addMany(t, hub, 8)
	logins := make([]transport.Login, 8)
	for i, d := range devices {
		logins[i] = loginOf(t, d, time.Hour)
	}
	for round := range 200 {
		p, _ := tapped(hub, fewChannels)
		done := make(chan struct{})
		go func() {
			defer close(done)
			var all sync.WaitGroup
			for _, l := range logins {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
					defer cancel()
					if c, err := p.Dial(ctx, l); err == nil {
						_ = c.Close()
					}
				})
			}
			all.Wait()
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second): // real time: a mutex is what hangs
			stacks := make([]byte, 1<<20)
			t.Fatalf("round %d: Dial or Close hangs:\n%s", round, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// A line whose link for tokens is gone takes nobody more: who comes next gets
// another.
func TestReviewTokenLinkGone(t *testing.T) { bubble(t, testReviewTokenLinkGone) }
func testReviewTokenLinkGone(t *testing.T) {
	for _, test := range []struct {
		desc   string
		handle string
		closed string
	}{
		{"the hub detaches the sender", zero, yes},
		{"the hub detaches the sender without closing it", zero, no},
		{"the hub detaches the receiver", one, yes},
		{"the hub detaches the receiver without closing it", one, no},
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		var now, over atomic.Bool
		p, _ := tapped(hub, func(c *tap) {
			var tokens uint16
			var begun, here bool
			c.comes = func(f []byte) []byte {
				if code(f) == kindBegin && !begun {
					begun, tokens = true, channelOf(f)
				}
				if now.Load() && !over.Swap(true) {
					here = true
					return append(f, frame(0, kindDetach, "", test.handle, test.closed)...)
				}
				if here && channelOf(f) == tokens && (code(f) == kindDetach || code(f) == kindTransfer) {
					return nil
				}
				return f
			}
			c.leaves = func(f []byte) []byte { // the hub behind the tap knows nothing of it
				if code(f) == kindDetach && channelOf(f) == 0 {
					return nil
				}
				return f
			}
		})
		devices := addMany(t, hub, 2)
		stays := join(t, p, devices[0])[0]
		now.Store(true)
		_ = stays.Send(t.Context(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"})
		_, _ = stays.Receive(t.Context())
		time.Sleep(time.Second)
		var err error
		for range 3 {
			var c transport.Conn
			if c, err = dialIn(t, p, devices[1], time.Minute); err == nil {
				closeConn(t, c)
				break
			}
			t.Logf("%s: Dial: %v", test.desc, err)
		}
		if err != nil {
			t.Errorf("%s: the next device never gets in: %v", test.desc, err)
		}
		closeConn(t, stays)
	}
}

// A hub that sends its messages unsettled is heard all the same.
func TestReviewUnsettled(t *testing.T) { bubble(t, testReviewUnsettled) }
func testReviewUnsettled(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := tapped(hub, func(c *tap) {
		var begun bool
		var tokens uint16
		c.comes = func(f []byte) []byte {
			if code(f) == kindBegin && !begun {
				begun, tokens = true, channelOf(f)
			}
			if code(f) == kindTransfer && channelOf(f) != tokens {
				unsettle(f)
			}
			return f
		}
	})
	c := join(t, p, addMany(t, hub, 1)...)[0]
	for i := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := c.Send(ctx, transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: fmt.Sprint("g", i)}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Receive(ctx)
		cancel()
		if err != nil {
			t.Fatalf("request %d: %v; want every answer", i, err)
		}
	}
}

// unsettle makes the field settled of a transfer false: the fifth.
func unsettle(f []byte) {
	at := 8 + 3 + 1 + 8 // a list32
	if f[11] == 0xc0 {
		at = 8 + 3 + 1 + 2
	}
	for range 4 {
		switch f[at] {
		case 0x52, 0x53:
			at += 2
		case 0x70:
			at += 5
		case 0xa0:
			at += 2 + int(f[at+1])
		default:
			at++
		}
	}
	if f[at] == 0x41 {
		f[at] = 0x42
	}
}

// What ends a Conn ends a Send under way, also in company.
func TestReviewSendUnderWay(t *testing.T) { bubble(t, testReviewSendUnderWay) }
func testReviewSendUnderWay(t *testing.T) {
	for _, test := range []struct {
		desc string
		end  func(t *testing.T, c transport.Conn)
	}{
		{"Close", closeConn},
		{"the ctx of Receive", func(t *testing.T, c transport.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := c.Receive(ctx); err == nil {
				t.Error("Receive: want an error")
			}
		}},
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		var mute atomic.Bool
		p, _ := tapped(hub, func(c *tap) {
			var last uint16
			c.comes = func(f []byte) []byte {
				if code(f) == kindBegin {
					last = channelOf(f)
				}
				if mute.Load() && len(f) > 8 && channelOf(f) == last && (code(f) == kindFlow || code(f) == kindEnd) {
					return nil // neither credit nor an answer to END
				}
				return f
			}
		})
		devices := addMany(t, hub, 2)
		company := join(t, p, devices[0])[0]
		mute.Store(true)
		c, err := p.Dial(t.Context(), loginOf(t, devices[1], time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() {
			sent <- c.Send(context.Background(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"})
		}()
		time.Sleep(time.Second)
		test.end(t, c)
		select {
		case err := <-sent:
			wantError(t, test.desc+": Send", err, transport.ErrClosed)
		case <-time.After(5 * time.Minute):
			t.Errorf("after %s: Send hangs for 5 minutes", test.desc)
		}
		closeConn(t, c)
		getTwin(t, company)
		closeConn(t, company)
		select {
		case err := <-sent:
			t.Logf("with the line it ends: %v", err)
		case <-time.After(time.Second):
		}
	}
}

// Dial honours ctx at every stage.
func TestReviewDialHonoursContext(t *testing.T) { bubble(t, testReviewDialHonoursContext) }
func testReviewDialHonoursContext(t *testing.T) {
	for _, test := range []struct {
		desc  string
		where int // the session that has no window, or whose write stalls
		stall bool
	}{
		{"a session of tokens without a window", 1, false},
		{"writes stall while another joins", 3, true},
		{"writes stall while the line is opened", 1, true},
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		var stalled atomic.Bool
		var stream *tap
		p, _ := tapped(hub, func(c *tap) {
			stream = c
			begun := 0
			c.stall = stalled.Load
			c.comes = func(f []byte) []byte {
				if code(f) == kindBegin {
					begun++
					switch {
					case begun != test.where:
					case test.stall:
						stalled.Store(true)
					default:
						return []byte(frame(byte(channelOf(f)), kindBegin, "", "\x60\x00\x00", zero, zero, "\x70\x00\x00\xff\xff"))
					}
				}
				if !test.stall && code(f) == kindFlow && channelOf(f) == 0 {
					return []byte(frame(0, kindFlow, "", zero, zero, zero, "\x70\x00\x00\xff\xff", zero, zero, "\x52\x64"))
				}
				return f
			}
		})
		devices := addMany(t, hub, 2)
		if test.where == 3 {
			join(t, p, devices[0])
		}
		start, done := time.Now(), make(chan error, 1)
		go func() {
			_, err := dialIn(t, p, devices[1], 2*time.Second)
			done <- err
		}()
		select {
		case err := <-done:
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("%s: Dial with 2s took %v: %v", test.desc, took, err)
			}
		case <-time.After(10 * time.Minute):
			t.Errorf("%s: Dial with 2s has not ended after 10m", test.desc)
			_ = stream.Close()
			t.Logf("with the stream it ends: %v", <-done)
		}
	}
}
