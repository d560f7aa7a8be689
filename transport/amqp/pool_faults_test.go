package amqp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
)

// What a hub says to one device's session is no matter to another's.
func TestPoolHubSays(t *testing.T) { bubble(t, testPoolHubSays) }
func testPoolHubSays(t *testing.T) {
	said := func(condition string) string {
		return "\x00\x53\x1d\xc0" + string([]byte{byte(len(condition) + 3), 1, 0xa3, byte(len(condition))}) + condition
	}
	for _, test := range []struct {
		desc  string
		frame string // on channel 1, after an answer
		want  error  // that the device meets; nil if it goes on
	}{
		{"END with an error", frame(1, kindEnd, "", said("amqp:resource-limit-exceeded")), transport.ErrQuota},
		{"END without", frame(1, kindEnd, ""), transport.ErrLost},
		{"DETACH of the receiver", frame(1, kindDetach, "", one, yes, said("amqp:link:detach-forced")), transport.ErrUnavailable},
		{"DETACH of the receiver that does not close", frame(1, kindDetach, "", one, no), transport.ErrLost},
		{"a message on no link", frame(1, kindTransfer, "\x00\x53\x75\xa0\x02hi", hundred, hundred, tag, zero, yes), transport.ErrLost},
		{"DETACH of no link", frame(1, kindDetach, "", hundred, yes), transport.ErrLost},
		{"FLOW that wants an echo, of the sender", frame(1, kindFlow, "", one, hundred, one, hundred, zero, one, hundred, null, no, yes), nil},
		{"FLOW that drains the sender, and gives credit again", frame(1, kindFlow, "", one, hundred, one, hundred, zero, one, hundred, null, yes, no) +
			frame(1, kindFlow, "", one, hundred, one, hundred, zero, "\x52\x65", hundred), nil},
		{"FLOW that wants an echo, of the receiver", frame(1, kindFlow, "", one, hundred, one, hundred, one, one, hundred, null, no, yes), nil},
		{"FLOW of the session that wants an echo", frame(1, kindFlow, "", one, hundred, one, hundred, null, null, null, null, null, yes), nil},
		{"a disposition of nothing", frame(1, kindDisposition, "", no, hundred, hundred, yes, null), nil},
		{"an empty message", frame(1, kindTransfer, "", one, hundred, tag, zero, yes), nil},
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		p, m := tapped(hub, func(c *tap) {
			over := false
			c.comes = func(f []byte) []byte {
				if code(f) == kindTransfer && channelOf(f) == 1 && !over {
					over = true
					return append(f, test.frame...)
				}
				if over && len(f) > 8 && channelOf(f) == 1 && code(f) == test.frame[10] && code(f) >= kindDetach {
					return nil // the hub behind the tap takes our answer for a question
				}
				return f
			}
		})
		conns := join(t, p, addMany(t, hub, 2)...)
		// The answer brings it, and Send may see its end already.
		_ = conns[0].Send(t.Context(), get("g"))
		_, _ = conns[0].Receive(t.Context())
		synctest.Wait()
		err := conns[0].Send(t.Context(), get("next"))
		for f := (transport.Frame{}); err == nil && f.ID != "next"; {
			f, err = receiveIn(t, conns[0], time.Minute)
		}
		wantError(t, test.desc, err, test.want)
		if err != nil && sentinels(err) != 1 {
			t.Errorf("%s: %v matches %d sentinels", test.desc, err, sentinels(err))
		}
		closeConn(t, conns[0])
		getTwin(t, conns[1])
		closeConn(t, conns[1])
		m.want(t, test.desc, 1, 0)
	}
}

// A BEGIN without an answer, and one that comes late, are that device's matter.
func TestPoolBeginUnanswered(t *testing.T) { bubble(t, testPoolBeginUnanswered) }
func testPoolBeginUnanswered(t *testing.T) {
	for _, late := range []bool{false, true} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		var held []byte
		var release atomic.Bool
		p, m := tapped(hub, func(c *tap) {
			begun := 0
			c.comes = func(f []byte) []byte {
				if code(f) == kindBegin {
					if begun++; begun == 3 {
						held = f
						return nil
					}
				}
				if release.Swap(false) {
					return append(held, f...)
				}
				return f
			}
		})
		devices := addMany(t, hub, 3)
		stays := join(t, p, devices[0])[0]
		start := time.Now()
		_, err := dialIn(t, p, devices[1], time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Dial: %v after %v; want it to end with its ctx", err, time.Since(start))
		}
		release.Store(late)
		getTwin(t, stays)
		for range 3 {
			c := join(t, p, devices[1], devices[2])
			getTwin(t, c[0])
			getTwin(t, c[1])
			closeConn(t, c[0])
			closeConn(t, c[1])
		}
		getTwin(t, stays)
		closeConn(t, stays)
		m.want(t, fmt.Sprintf("late is %v", late), 1, 0)
	}
}

// A message of more transfers than the window takes leaves as the window lets it.
// The others on the line go on meanwhile, and so does what reads.
func TestPoolHalfAMessage(t *testing.T) { bubble(t, testPoolHalfAMessage) }
func testPoolHalfAMessage(t *testing.T) {
	const (
		window = "\x70\x00\x00\xff\xff" // wide
		most   = "\x70\x00\x01\x00\x00" // bytes of a frame, as the hub says
		few    = "\x70\x00\x00\x02\x00"
	)
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	var widen atomic.Bool
	var parts atomic.Int32
	p, _ := tapped(hub, func(c *tap) {
		begun := 0
		var narrow byte // the channel of the second device, whose session takes 3 transfers
		c.leaves = func(f []byte) []byte {
			if code(f) == kindTransfer && channelOf(f) == 2 {
				parts.Add(1)
			}
			return f
		}
		c.comes = func(f []byte) []byte {
			switch {
			case code(f) == kindOpen:
				return bytes.Replace(f, []byte(most), []byte(few), 1)
			case code(f) == kindBegin:
				if begun++; begun == 3 {
					narrow = byte(channelOf(f))
					return []byte(frame(narrow, kindBegin, "", "\x60\x00\x02", zero, three, window))
				}
			case begun == 3 && code(f) == kindFlow && byte(channelOf(f)) == narrow && !widen.Load():
				return []byte(frame(narrow, kindFlow, "", zero, three, zero, window, zero, zero, hundred))
			case widen.Load() && parts.Load() == 3:
				return append(f, frame(narrow, kindFlow, "", three, window, zero, window)...)
			}
			return f
		}
	})
	conns := join(t, p, addMany(t, hub, 2)...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	body := []byte(`{"a":"` + strings.Repeat("x", 4000) + `"}`)
	if err := conns[1].Send(ctx, transport.Frame{Kind: transport.PatchReported, ID: "p", Body: body}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute) // ctx has ended, with three parts sent
	if n := parts.Load(); n != 3 {
		t.Errorf("%d transfers left; want as many as the window takes, 3", n)
	}
	getTwin(t, conns[0])
	widen.Store(true)
	getTwin(t, conns[0])
	if f, err := receiveIn(t, conns[1], time.Minute); err != nil || f.ID != "p" || f.Status != 200 {
		t.Errorf("got %+v, %v; want the patch taken", f, err)
	}
}

// Some gateways detach links without closing them, when a device is disabled as
// when it is cut: its session ends with the hub's words, also on an idle line,
// and the device comes back on the same connection.
func TestPoolDetachWithoutClose(t *testing.T) { bubble(t, testPoolDetachWithoutClose) }
func testPoolDetachWithoutClose(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	opened := 0
	p, m := tapped(hub, func(c *tap) {
		c.comes = func(f []byte) []byte {
			if code(f) == kindDetach && f[11] == 0xc0 {
				at := 8 + 3 + 3 + 1 // behind a handle of one byte
				if f[at-1] == 0x52 {
					at++
				}
				if f[at] == yes[0] {
					f[at] = no[0]
					opened++
				}
			}
			return f
		}
	})
	devices := addMany(t, hub, 2)
	conns := join(t, p, devices...)
	getTwin(t, conns[0])
	for range 3 {
		if err := hub.Device("dev0").SetEnabled(false); err != nil {
			t.Fatal(err)
		}
		_, err := receiveIn(t, conns[0], time.Minute)
		wantError(t, "Receive", err, transport.ErrUnavailable)
		closeConn(t, conns[0])
		if err := hub.Device("dev0").SetEnabled(true); err != nil {
			t.Fatal(err)
		}
		conns[0] = join(t, p, devices[0])[0]
		getTwin(t, conns[0])
		getTwin(t, conns[1])
	}
	if opened == 0 {
		t.Error("the hub detached no link")
	}
	m.want(t, "after all", 1, 1)
}

// A line whose link for tokens has ended takes nobody more: who comes next gets
// another.
func TestPoolTokenLinkEnds(t *testing.T) { bubble(t, testPoolTokenLinkEnds) }
func testPoolTokenLinkEnds(t *testing.T) {
	for _, test := range []struct{ desc, handle, closed string }{
		{"the hub closes the sender", zero, yes},
		{"the hub detaches the sender", zero, no},
		{"the hub closes the receiver", one, yes},
		{"the hub detaches the receiver", one, no},
	} {
		hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
		var now, over atomic.Bool
		p, m := tapped(hub, func(c *tap) {
			mine := false
			c.comes = func(f []byte) []byte {
				if now.Load() && !over.Swap(true) {
					mine = true
					return append(f, frame(0, kindDetach, "", test.handle, test.closed)...)
				}
				if mine && channelOf(f) == 0 && (code(f) == kindDetach || code(f) == kindTransfer) {
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
		_ = stays.Send(t.Context(), get("g"))
		_, _ = stays.Receive(t.Context())
		time.Sleep(time.Second)
		c, err := dialIn(t, p, devices[1], time.Minute)
		if err != nil { // it is the first to notice
			c, err = dialIn(t, p, devices[1], time.Minute)
		}
		if err != nil {
			t.Fatalf("%s: the next device never gets in: %v", test.desc, err)
		}
		getTwin(t, c)
		m.want(t, test.desc, 2, 1)
		closeConn(t, c)
		closeConn(t, stays)
	}
}

// A hub that sends more than there is credit for, to a device that does not call
// Receive, fills no memory: it is given up.
func TestPoolMindsCredit(t *testing.T) { bubble(t, testPoolMindsCredit) }
func testPoolMindsCredit(t *testing.T) {
	const flood = 5000
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := tapped(hub, func(c *tap) {
		over := false
		c.comes = func(f []byte) []byte {
			if channelOf(f) == 1 && code(f) == kindTransfer && !over {
				over = true
				return bytes.Repeat(f, flood)
			}
			return f
		}
	})
	c := join(t, p, addMany(t, hub, 1)...)[0]
	_ = c.Send(t.Context(), get("g")) // the line may be dead before it returns
	synctest.Wait()                   // all of it has come
	var err error
	for n := 0; n < flood && err == nil; n++ {
		_, err = c.Receive(t.Context())
	}
	wantError(t, "Receive", err, transport.ErrProtocol)
}

// A hub that sends its messages unsettled is heard for longer than its window.
func TestPoolUnsettled(t *testing.T) { bubble(t, testPoolUnsettled) }
func testPoolUnsettled(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	p, _ := tapped(hub, func(c *tap) {
		c.comes = func(f []byte) []byte {
			if code(f) == kindTransfer && channelOf(f) != 0 { // there are the tokens
				unsettle(f)
			}
			return f
		}
	})
	c := join(t, p, addMany(t, hub, 1)...)[0]
	for i := range 40 {
		if err := c.Send(t.Context(), get("g")); err != nil {
			t.Fatal(err)
		}
		if _, err := receiveIn(t, c, time.Minute); err != nil {
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
