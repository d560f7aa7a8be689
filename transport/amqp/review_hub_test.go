package amqp_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// A hub that sends more than there is credit for fills no memory: it is given up.
func TestReviewCreditIsABound(t *testing.T) { bubble(t, testReviewCreditIsABound) }
func testReviewCreditIsABound(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	const flood = 5000
	p, _ := tapped(hub, func(c *tap) {
		begun, over := 0, false
		c.comes = func(f []byte) []byte {
			if code(f) == kindBegin {
				begun++
			}
			if begun == 2 && channelOf(f) == 1 && code(f) == kindTransfer && !over {
				over = true
				return bytes.Repeat(f, flood)
			}
			return f
		}
	})
	c := join(t, p, addMany(t, hub, 1)...)[0]
	if err := c.Send(t.Context(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // all of it has been read, and nobody called Receive
	for n := range flood {
		if _, err := c.Receive(t.Context()); err != nil {
			t.Logf("after %d: %v", n, err)
			return
		}
	}
	t.Errorf("%d messages were held for a device that gave credit for 16", flood)
}

// Half a message that ctx cut off is not followed by another: the device's part ends,
// and nobody else's.
func TestReviewHalfAMessage(t *testing.T) { bubble(t, testReviewHalfAMessage) }
func testReviewHalfAMessage(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	var open atomic.Bool
	p, _ := tapped(hub, func(c *tap) {
		begun := 0
		var narrow byte
		c.comes = func(f []byte) []byte {
			switch {
			case code(f) == kindOpen: // a max-frame-size of 512
				return bytes.Replace(f, []byte("\x70\x00\x01\x00\x00"), []byte("\x70\x00\x00\x02\x00"), 1)
			case code(f) == kindBegin:
				begun++
				if begun == 3 { // the second device's session takes 3 transfers
					narrow = byte(channelOf(f))
					return []byte(frame(narrow, kindBegin, "", "\x60\x00\x02", zero, three, "\x70\x00\x00\xff\xff"))
				}
			case begun == 3 && code(f) == kindFlow && byte(channelOf(f)) == narrow && !open.Load():
				return []byte(frame(narrow, kindFlow, "", zero, three, zero, "\x70\x00\x00\xff\xff", zero, zero, hundred))
			case open.Load():
				open.Store(false)
				return append(f, frame(narrow, kindFlow, "", three, "\x70\x00\x00\xff\xff", zero, "\x70\x00\x00\xff\xff")...)
			}
			return f
		}
	})
	devices := addMany(t, hub, 2)
	conns := join(t, p, devices...)
	getTwin(t, conns[0])
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		body := []byte(`{"a":"` + strings.Repeat("x", 4000) + `"}`)
		sent <- conns[1].Send(ctx, transport.Frame{Kind: transport.Request, Op: transport.PatchReported, ID: "p", Body: body})
	}()
	select {
	case err := <-sent:
		t.Logf("Send: %v", err)
	case <-time.After(5 * time.Second):
		t.Logf("Send does not honour ctx while there is no window")
	}
	open.Store(true)
	getTwin(t, conns[0])
	if err := <-sent; err == nil {
		t.Fatal("Send: want an error")
	} else {
		t.Logf("Send: %v", err)
	}
	if err := conns[1].Send(t.Context(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"}); err == nil {
		limit, cancel := context.WithTimeout(t.Context(), time.Minute)
		f, err := conns[1].Receive(limit)
		cancel()
		if err != nil || f.ID != "g" {
			t.Errorf("after half a message the Conn lives on, and the next request ends in %+v, %v", f, err)
		}
	}
	getTwin(t, conns[0])
}

// Thirty logins that a hub leaves without an answer hold up nobody else.
func TestReviewThirtyUnanswered(t *testing.T) { bubble(t, testReviewThirtyUnanswered) }
func testReviewThirtyUnanswered(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p := amqp.NewPool(amqp.Dialer{Stream: hub.Stream}, nil)
	devices := addMany(t, hub, 32)
	join(t, p, devices[0])
	for i := 1; i <= 30; i++ {
		hub.Intercept(hubtest.FromDevice(fmt.Sprintf("dev%d", i), hubtest.Connect), hubtest.Drop())
		login := loginFor(t, devices[i])
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if c, err := p.Dial(ctx, login); err == nil {
				_ = c.Close()
			}
		}()
	}
	time.Sleep(time.Second)
	if _, err := dialIn(t, p, devices[31], 30*time.Second); err != nil {
		t.Errorf("the 31st: %v", err)
	}
	time.Sleep(2 * time.Minute)
}

// The hub's own: a login that waits for its answer keeps its place on the connection,
// and a device is not connected once the connection has ended.
func TestReviewHubKeepsWhoWaits(t *testing.T) { bubble(t, testReviewHubKeepsWhoWaits) }
func testReviewHubKeepsWhoWaits(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{ConnectionTokens: 1, Logger: discard()})
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 2)
	hub.Intercept(hubtest.FromDevice("dev0", hubtest.Connect), hubtest.Delay(10*time.Second))
	login := loginFor(t, devices[0])
	first := make(chan transport.Conn, 1)
	go func() {
		c, err := p.Dial(t.Context(), login)
		if err != nil {
			t.Logf("dev0: %v", err)
		}
		first <- c
	}()
	time.Sleep(time.Second)
	second := join(t, p, devices[1])[0]
	m.want(t, "two devices, of which a connection takes one", 2, 2)
	c := <-first
	if c != nil {
		getTwin(t, c)
		closeConn(t, c)
	}
	closeConn(t, second)
	time.Sleep(time.Minute)
	for _, id := range []string{"dev0", "dev1"} {
		if tw, err := hub.Twin(id); err != nil || tw.Connected {
			t.Errorf("%s, after all connections ended: connected is %v, %v", id, tw.Connected, err)
		}
	}
}

// The hub's own: a login that is performed after its connection has ended connects
// nobody.
func TestReviewHubLateLogin(t *testing.T) { bubble(t, testReviewHubLateLogin) }
func testReviewHubLateLogin(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := newPool(hub, nil)
	d := addMany(t, hub, 1)[0]
	hub.Intercept(hubtest.FromDevice("dev0", hubtest.Connect), hubtest.Late(10*time.Second))
	if _, err := dialIn(t, p, d, time.Second); err == nil {
		t.Fatal("Dial: want an error")
	}
	time.Sleep(time.Minute)
	if tw, err := hub.Twin("dev0"); err != nil || tw.Connected {
		t.Errorf("after its only connection ended: connected is %v, %v", tw.Connected, err)
	}
}
