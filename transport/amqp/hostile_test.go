package amqp_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// A turncoat is a hub that lets a device in, and once the device has asked
// something says nothing but what the test has it say, and hangs up.
type turncoat struct {
	engine *amqpwire.Conn
	stream net.Conn
	says   func(net.Conn)
	stays  bool                                 // until the device hangs up
	on     func(*turncoat, amqpwire.Event) bool // answers an event of the login in the hub's place, or nil for none
	done   chan struct{}
}

// newTurncoat starts one, and returns the way to it.
func newTurncoat(says func(net.Conn), stays bool) (*turncoat, transport.StreamFunc) {
	return newOddHub(says, stays, nil)
}

// newOddHub is one that is odd at the login already.
func newOddHub(says func(net.Conn), stays bool, on func(*turncoat, amqpwire.Event) bool) (*turncoat, transport.StreamFunc) {
	client, server := memconn.Pipe("device", "hub")
	h := &turncoat{engine: amqpwire.NewConn(time.Now(), nil), stream: server, says: says, stays: stays, on: on, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		defer server.Close()
		h.serve()
	}()
	return h, func(context.Context, transport.Target) (net.Conn, error) { return client, nil }
}

func (h *turncoat) serve() {
	b := make([]byte, 4<<10)
	var answers *amqpwire.Link // of $cbs
	for {
		n, err := h.stream.Read(b)
		if err != nil {
			return
		}
		h.engine.Feed(time.Now(), b[:n])
		for ev := h.engine.Next(); ev != nil; ev = h.engine.Next() {
			if h.on != nil && h.on(h, ev) {
				continue
			}
			switch ev := ev.(type) {
			case *amqpwire.Attaching:
				ev.Link.Accept(100)
				if ev.Source == "$cbs" {
					answers = ev.Link
				}
			case *amqpwire.Delivery:
				if ev.Settled { // the device asks something of its twin
					h.says(h.stream)
					if h.stays {
						_, _ = io.Copy(io.Discard, h.stream)
					}
					return
				}
				ev.Link.Settle(ev.ID, amqpwire.Outcome{State: amqpwire.Accepted})
				h.grant(answers, ev)
			}
		}
		if _, err := h.stream.Write(h.engine.AppendOutput(time.Now(), nil)); err != nil {
			return
		}
	}
}

// grant takes any token.
func (h *turncoat) grant(answers *amqpwire.Link, put *amqpwire.Delivery) {
	m, err := amqpwire.DecodeMessage(put.Payload)
	if err != nil {
		return
	}
	ok, err := amqpwire.EncodeMessage(&amqpwire.Message{
		Properties:            &amqpwire.MessageProperties{CorrelationID: m.Properties.MessageID},
		ApplicationProperties: map[string]any{"status-code": int32(200), "status-description": "OK"},
	})
	if err == nil {
		_ = answers.Send(amqpwire.Outgoing{Payload: ok})
	}
}

// dialOver is a Dialer, or a pool, over a stream.
func dialOver(t *testing.T, stream transport.StreamFunc, pooled bool) transport.Dialer {
	t.Helper()
	if pooled {
		return amqp.NewPool(amqp.Dialer{Stream: stream}, nil)
	}
	return amqp.Dialer{Stream: stream}
}

// anyLogin is one at a hub that takes all.
func anyLogin(t *testing.T) transport.Login {
	t.Helper()
	id := auth.Identity{Host: "hub", DeviceID: "dev1"}
	key, err := auth.ParseKey("a2V5")
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.TokenOf(t.Context(), auth.SAS(key, nil), id.Audience(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return transport.Login{Identity: id, Token: token, KeepAlive: time.Minute}
}

// betray has a device meet a hub that turns on it: whatever the hub says, the
// session ends, soon, and the process does not.
func betray(t *testing.T, says []byte, stays, pooled bool) error {
	t.Helper()
	hub, stream := newTurncoat(func(w net.Conn) { _, _ = w.Write(says) }, stays)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := dialOver(t, stream, pooled).Dial(ctx, anyLogin(t))
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	err = c.Send(ctx, get("g"))
	for err == nil {
		_, err = c.Receive(ctx)
	}
	if ctx.Err() != nil {
		t.Errorf("the session outlived its hub: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-hub.done
	return err
}

// TestTurncoat has hubs say what would end a process on go-amqp alone.
func TestTurncoat(t *testing.T) {
	lethal := "\x00\x53\x72\xc1\x10\x02\x00\x80\x00\x00\x00\x00\x00\x00\x0f\x82\xa0\x01a\x40"
	for _, test := range []struct {
		desc string
		says func(channel byte, out, in string) string // on the device's session, and its links' handles
		want error

		hangsUp bool // the hub must: the device lives on
	}{
		{"an annotation under a described key", func(c byte, _, in string) string {
			return frame(c, kindTransfer, lethal, in, zero, tag, zero, yes)
		}, transport.ErrProtocol, false},
		{"a FLOW for a link without its credit", func(c byte, out, _ string) string {
			return frame(c, kindFlow, "", one, hundred, one, hundred, out, zero)
		}, transport.ErrLost, true},
		{"a disposition of four billion deliveries", func(c byte, _, _ string) string {
			return frame(c, kindDisposition, "", yes, zero, "\x70\xff\xff\xff\xff", yes, null)
		}, transport.ErrProtocol, false},
		{"a frame of two gigabytes", func(byte, string, string) string { return "\x7f\xff\xff\xff\x02\x00\x00\x00" }, transport.ErrProtocol, false},
		{"an END", func(c byte, _, _ string) string { return frame(c, kindEnd, "") }, transport.ErrLost, false},
		{"a link that nobody asked for", func(c byte, _, _ string) string {
			return frame(c, kindAttach, "", "\xa1\x01x", "\x52\x09", yes, null, null, null, null)
		}, transport.ErrProtocol, false},
		{"a second OPEN", func(byte, string, string) string { return frame(0, kindOpen, "", "\xa1\x01x") }, transport.ErrProtocol, false},
		{"a second protocol header", func(byte, string, string) string { return protoHeader + protoHeader }, transport.ErrProtocol, false},
		{"a BEGIN that nobody asked for", func(byte, string, string) string {
			return frame(9, kindBegin, "", "\x60\x00\x09", one, hundred, zero)
		}, transport.ErrProtocol, false},
	} {
		wantError(t, test.desc, betray(t, []byte(test.says(0, "\x52\x02", "\x52\x03")), !test.hangsUp, false), test.want)
		wantError(t, test.desc+", on a shared line", betray(t, []byte(test.says(1, zero, one)), !test.hangsUp, true), test.want)
	}
}

// FuzzTurncoat has a hub say anything.
func FuzzTurncoat(f *testing.F) {
	const notes = "\x00\x53\x72\xc1\x05\x02\xc1\x01\x00\x40" // a map is the key of a map
	for c, pooled := range []bool{false, true} {
		c := byte(c)
		for _, says := range []string{
			"",
			frame(c, kindFlow, "", null, hundred, one, hundred),
			frame(c, kindFlow, "", three, hundred, one, hundred, zero, zero),
			frame(c, kindFlow, "", three, hundred, one, hundred, zero, zero, hundred),
			frame(c, kindTransfer, "\x00\x53\x75\xa0\x02hi", three, zero, tag, zero, yes),
			frame(c, kindTransfer, "\x00\x53\x75", three, zero, tag, zero, yes, yes) + frame(c, kindTransfer, "\xa0\x02hi", three),
			frame(c, kindTransfer, notes, three, zero, tag, zero, yes),
			frame(c, kindEnd, ""),
			frame(c, kindEnd, "") + frame(c, kindBegin, "", "\x60\x00\x00", one, hundred, zero),
		} {
			f.Add([]byte(says), pooled)
		}
	}
	f.Fuzz(func(t *testing.T, says []byte, pooled bool) {
		if len(says) <= 64<<10 {
			_ = betray(t, says, false, pooled)
		}
	})
}
