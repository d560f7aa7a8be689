package amqp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// wideWindow is a window of a hub's.
const wideWindow = "\x70\x00\x00\xff\xff"

// A miser is a hub that gives a device no room for what it sends.
type miser struct {
	desc   string
	pooled bool
	room   string // the fields of the FLOW that takes the room away, behind next-incoming-id
	noEnd  bool   // it does not answer END
}

func misers() []miser {
	return []miser{
		{"no credit, alone", false, "credit", false},
		{"no window, alone", false, "window", false},
		{"no credit, in company", true, "credit", false},
		{"no window, in company", true, "window", false},
		{"no credit, and no answer to END", true, "credit", true},
		{"no window, and no answer to END", true, "window", true},
	}
}

// meet has a device meet the miser, who is one until release.
func (m miser) meet(t *testing.T) (c, company transport.Conn, login transport.Login, release func()) {
	t.Helper()
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	channel := byte(0)
	if m.pooled {
		channel = 2
	}
	var mean, over atomic.Bool
	p, meter := tapped(hub, func(c *tap) {
		moved, sent := 0, 0 // transfers and messages of the twin's
		c.leaves = func(f []byte) []byte {
			if code(f) == kindTransfer && channelOf(f) == uint16(channel) {
				moved++
				if m.pooled || moved > 1 { // the first is a token
					sent++
				}
			}
			return f
		}
		took := false
		c.comes = func(f []byte) []byte {
			if len(f) <= 8 || channelOf(f) != uint16(channel) || !mean.Load() {
				return f
			}
			number := func(n int) string { return string([]byte{0x52, byte(n)}) }
			handle := zero
			if !m.pooled {
				handle = "\x52\x02"
			}
			room := func(window, credit string) string {
				return frame(channel, kindFlow, "", number(moved), window, hundred, wideWindow, handle, number(sent), credit)
			}
			switch {
			case m.noEnd && code(f) == kindEnd:
				return nil
			case over.Load():
				if took {
					took = false
					return append(f, room(wideWindow, hundred)...)
				}
			case code(f) == kindFlow:
				return nil
			case !took:
				took = true
				if m.room == "window" {
					return append(f, room(zero, hundred)...)
				}
				return append(f, room(wideWindow, zero)...)
			}
			return f
		}
	})
	devices := addMany(t, hub, 2)
	var d transport.Dialer = amqp.Dialer{Stream: meter.stream}
	if m.pooled {
		d = p
		company = join(t, p, devices[0])[0]
	}
	c, err := dialIn(t, d, devices[1], time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	open(t, c)
	mean.Store(true)
	getTwin(t, c) // the answer brings the FLOW
	return c, company, loginOf(t, devices[1], time.Hour), func() {
		over.Store(true)
		if err := c.Send(t.Context(), get("none")); err != nil && !errors.Is(err, transport.ErrBusy) {
			t.Error(err)
		}
		if _, err := hub.Device("dev1").SetDesired(`{"over":true}`); err != nil {
			t.Error(err)
		}
	}
}

// Send never waits for credit or window: it takes what its queue holds, says
// ErrBusy, and nothing ends however long the hub gives no room. When it does, all
// leave in their order, and Ready comes.
func TestSendWithoutRoom(t *testing.T) { bubble(t, testSendWithoutRoom) }
func testSendWithoutRoom(t *testing.T) {
	for _, m := range misers() {
		c, company, _, release := m.meet(t)
		sent := 0
		var err error
		start := time.Now()
		for ; err == nil && sent < 1000; sent++ {
			err = c.Send(t.Context(), get(fmt.Sprint(sent)))
		}
		sent--
		wantError(t, m.desc+": Send", err, transport.ErrBusy)
		if took := time.Since(start); took != 0 || sent != 16 {
			t.Errorf("%s: %d messages were taken in %v; want 16 at once", m.desc, sent, took)
		}
		time.Sleep(10 * time.Minute)
		wantError(t, m.desc+": Send, later", c.Send(t.Context(), get("late")), transport.ErrBusy)
		if company != nil {
			getTwin(t, company)
		}
		release()
		ready := 0
		for next := 0; next < sent; {
			f, err := receiveIn(t, c, time.Minute)
			switch {
			case err != nil:
				t.Fatalf("%s: after %d answers: %v", m.desc, next, err)
			case f.Kind == transport.Ready && f.Feature == transport.TwinResponses:
				ready++
			case f.Kind == transport.Response && f.ID == fmt.Sprint(next):
				next++
			case f.Kind != transport.Desired:
				t.Errorf("%s: got %+v; want answer %d", m.desc, f, next)
			}
		}
		if ready != 1 {
			t.Errorf("%s: Ready came %d times; want once", m.desc, ready)
		}
		getTwin(t, c)
		closeConn(t, c)
		if company != nil {
			getTwin(t, company)
			closeConn(t, company)
		}
	}
}

// What waits for room holds up neither Close nor Renew, and is forgotten with the
// connection.
func TestCloseWithoutRoom(t *testing.T) { bubble(t, testCloseWithoutRoom) }
func testCloseWithoutRoom(t *testing.T) {
	for _, m := range misers() {
		c, company, login, _ := m.meet(t)
		for i := range 3 {
			if err := c.Send(t.Context(), get(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		if m.pooled { // else the token has no room either
			if err := c.(transport.Renewer).Renew(t.Context(), login.Token); err != nil {
				t.Errorf("%s: Renew: %v", m.desc, err)
			}
		}
		start := time.Now()
		closeConn(t, c)
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: Close took %v", m.desc, took)
		}
		wantError(t, m.desc+": Send", c.Send(t.Context(), get("g")), transport.ErrClosed)
		if company != nil {
			getTwin(t, company)
			closeConn(t, company)
		}
	}
}

// The answers that Send gives by itself are bounded too.
func TestAcceptedIsBounded(t *testing.T) { bubble(t, testAcceptedIsBounded) }
func testAcceptedIsBounded(t *testing.T) {
	hub := hubtest.New(t, nil)
	c := dial(t, hub, loginOf(t, add(t, hub, "dev1"), time.Hour))
	var err error
	sent := 0
	for ; err == nil && sent < 1000; sent++ {
		err = c.Send(t.Context(), transport.Frame{Kind: transport.Open, Feature: transport.TwinResponses, ID: fmt.Sprint(sent)})
	}
	sent--
	wantError(t, "Send", err, transport.ErrBusy)
	for i := range sent {
		if f, err := receiveIn(t, c, time.Second); err != nil || f.Kind != transport.Accepted || f.ID != fmt.Sprint(i) {
			t.Fatalf("got %+v, %v; want answer %d", f, err, i)
		}
	}
	if f, err := receiveIn(t, c, time.Second); err != nil || f.Kind != transport.Ready {
		t.Errorf("got %+v, %v; want Ready", f, err)
	}
	getTwin(t, c)
}

// What a hub's link does not take is refused, and ends nothing.
func TestSendTooLargeForTheLink(t *testing.T) { bubble(t, testSendTooLargeForTheLink) }
func testSendTooLargeForTheLink(t *testing.T) {
	const mega, few = "\x80\x00\x00\x00\x00\x00\x10\x00\x00", "\x80\x00\x00\x00\x00\x00\x00\x04\x00" // 1 MB and 1 KB
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := tapped(hub, func(c *tap) {
		c.comes = func(f []byte) []byte {
			if code(f) == kindAttach {
				return bytes.Replace(f, []byte(mega), []byte(few), 1)
			}
			return f
		}
	})
	c := join(t, p, add(t, hub, "dev1"))[0]
	patch := func(size int) transport.Frame {
		body := `{"k":"` + strings.Repeat("x", size-len(`{"k":""}`)) + `"}`
		return transport.Frame{Kind: transport.PatchReported, ID: "p", Body: []byte(body)}
	}
	getTwin(t, c)
	err := c.Send(t.Context(), patch(2000))
	wantError(t, "Send", err, transport.ErrTooLarge)
	if !strings.Contains(err.Error(), "limit on this link is 1024") {
		t.Errorf("%v does not name the limit", err)
	}
	if err := c.Send(t.Context(), patch(500)); err != nil {
		t.Fatal(err)
	}
	if f, err := receiveIn(t, c, time.Minute); err != nil || f.Status != 200 {
		t.Errorf("got %+v, %v; want the patch taken", f, err)
	}
}

// A lost line ends a renewal under way at once.
func TestRenewEndsWithTheLine(t *testing.T) { bubble(t, testRenewEndsWithTheLine) }
func testRenewEndsWithTheLine(t *testing.T) {
	for _, pooled := range []bool{false, true} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		b := &breaker{to: hub.Stream}
		var d transport.Dialer = amqp.Dialer{Stream: b.stream}
		if pooled {
			d = amqp.NewPool(amqp.Dialer{Stream: b.stream}, nil)
		}
		dev := add(t, hub, "dev1")
		c, err := dialIn(t, d, dev, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		hub.Intercept(hubtest.FromDevice("dev1", hubtest.Connect), hubtest.Drop())
		token, renewed := tokenOf(t, dev, time.Hour), make(chan error, 1)
		go func() { renewed <- c.(transport.Renewer).Renew(context.Background(), token) }()
		time.Sleep(10 * time.Second)
		start := time.Now()
		b.cut()
		err = <-renewed
		if took := time.Since(start); took != 0 || !errors.Is(err, transport.ErrLost) {
			t.Errorf("pooled %v: Renew returned %v after %v; want ErrLost at once", pooled, err, took)
		}
		_, err = receiveIn(t, c, time.Minute)
		wantError(t, "Receive", err, transport.ErrLost)
		closeConn(t, c)
	}
}
