package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// What a hub may say to one device's session is no matter to another's.
func TestReviewHubSays(t *testing.T) { bubble(t, testReviewHubSays) }
func testReviewHubSays(t *testing.T) {
	said := func(condition string) string {
		return "\x00\x53\x1d\xc0" + string([]byte{byte(len(condition) + 3), 1, 0xa3, byte(len(condition))}) + condition
	}
	for _, test := range []struct {
		desc  string
		frame string // on channel 1, after an answer
		want  error  // of the device; nil if it goes on
	}{
		{"END with an error", frame(1, kindEnd, "", said("amqp:resource-limit-exceeded")), transport.ErrQuota},
		{"END without", frame(1, kindEnd, ""), transport.ErrLost},
		{"DETACH of the receiver", frame(1, kindDetach, "", one, yes, said("amqp:link:detach-forced")), transport.ErrUnavailable},
		{"DETACH of the receiver that does not close", frame(1, kindDetach, "", one, no), transport.ErrLost},
		{"a message on no link", frame(1, kindTransfer, "\x00\x53\x75\xa0\x02hi", hundred, hundred, tag, zero, yes), transport.ErrLost},
		{"DETACH of no link", frame(1, kindDetach, "", hundred, yes), transport.ErrLost},
		{"FLOW that wants an echo, of the sender", frame(1, kindFlow, "", one, hundred, one, hundred, zero, one, hundred, null, no, yes), nil},
		{"FLOW that drains the sender", frame(1, kindFlow, "", one, hundred, one, hundred, zero, one, hundred, null, yes, no), nil},
		{"FLOW that wants an echo, of the receiver", frame(1, kindFlow, "", one, hundred, one, hundred, one, one, hundred, null, no, yes), nil},
		{"FLOW of the session that wants an echo", frame(1, kindFlow, "", one, hundred, one, hundred, null, null, null, null, null, yes), nil},
		{"a disposition of nothing", frame(1, 0x15, "", no, hundred, hundred, yes, null), nil},
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
		// The answer brings it: Send may see the end already.
		_ = conns[0].Send(t.Context(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"})
		_, _ = conns[0].Receive(t.Context())
		synctest.Wait()
		if test.want == nil {
			err := conns[0].Send(t.Context(), transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g2"})
			for err == nil {
				var f transport.Frame
				limit, cancel := context.WithTimeout(t.Context(), time.Minute)
				f, err = conns[0].Receive(limit)
				cancel()
				if f.ID == "g2" {
					break
				}
			}
			if err != nil {
				t.Errorf("%s: the device: %v; want it to go on", test.desc, err)
			}
		} else {
			limit, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := conns[0].Receive(limit)
			cancel()
			if !errors.Is(err, test.want) || sentinels(err) != 1 {
				t.Errorf("%s: the device: %v; want %v", test.desc, err, test.want)
			}
		}
		closeConn(t, conns[0])
		getTwin(t, conns[1])
		closeConn(t, conns[1])
		m.want(t, test.desc, 1, 0)
	}
}

// A BEGIN without an answer, and one that comes late, are that device's matter.
func TestReviewBeginUnanswered(t *testing.T) { bubble(t, testReviewBeginUnanswered) }
func testReviewBeginUnanswered(t *testing.T) {
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
		m.want(t, fmt.Sprintf("late %v", late), 1, 0)
	}
}

// A device that never calls Receive holds up nobody, whatever is changed for it.
func TestReviewNeverReceives(t *testing.T) { bubble(t, testReviewNeverReceives) }
func testReviewNeverReceives(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	conns := join(t, amqp.NewPool(amqp.Dialer{Stream: hub.Stream}, nil), addMany(t, hub, 2)...)
	open(t, conns[0])
	for i := range 200 {
		if _, err := hub.SetDesired("dev0", fmt.Sprintf(`{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			getTwin(t, conns[1])
		}
	}
	getTwin(t, conns[1])
	for i := range 200 {
		f, err := conns[0].Receive(t.Context())
		if err != nil || f.Kind != transport.Desired || f.Version != int64(i+2) {
			t.Fatalf("change %d: got %+v, %v", i, f, err)
		}
	}
}

// A line that was full is not full for ever: when tokens have ended there is room.
func TestReviewFullIsNotForEver(t *testing.T) { bubble(t, testReviewFullIsNotForEver) }
func testReviewFullIsNotForEver(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{ConnectionTokens: 2, Logger: discard()})
	p, m := newPool(hub, nil)
	devices := addMany(t, hub, 4)
	stays, err := p.Dial(t.Context(), loginOf(t, devices[0], 24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(t, stays)
	closeConn(t, join(t, p, devices[1])[0])
	closeConn(t, join(t, p, devices[2])[0]) // finds it full, and opens another
	m.want(t, "while the token of dev1 is good", 2, 1)
	time.Sleep(2 * time.Hour)
	closeConn(t, join(t, p, devices[3])[0])
	m.want(t, "after it", 2, 1)
}
