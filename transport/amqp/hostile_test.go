package amqp_test

import (
	"context"
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
	says   []byte
	done   chan struct{}
}

// newTurncoat starts one, and returns the way to it.
func newTurncoat(says []byte) (*turncoat, transport.StreamFunc) {
	client, server := memconn.Pipe("device", "hub")
	h := &turncoat{amqpwire.NewConn(time.Now(), nil), server, says, make(chan struct{})}
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
			switch ev := ev.(type) {
			case *amqpwire.Attaching:
				ev.Link.Accept(100)
				if ev.Source == "$cbs" {
					answers = ev.Link
				}
			case *amqpwire.Delivery:
				if ev.Settled { // the device asks something of its twin
					_, _ = h.stream.Write(h.says)
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
		_ = answers.Send([]byte("tag1"), ok, false)
	}
}

// betray has a device meet a hub that turns on it: whatever the hub says, the
// session ends, soon, and the process does not.
func betray(t *testing.T, says []byte, pooled bool) error {
	t.Helper()
	hub, stream := newTurncoat(says)
	var d transport.Dialer = amqp.Dialer{Stream: stream}
	if pooled {
		d = amqp.NewPool(amqp.Dialer{Stream: stream}, nil)
	}
	token, err := auth.ParseToken("SharedAccessSignature sr=hub&sig=c2ln&se=4102444800")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := d.Dial(ctx, transport.Login{Identity: auth.Identity{Host: "hub", DeviceID: "dev1"}, Token: token, KeepAlive: time.Minute})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	if err := c.Send(ctx, transport.Frame{Kind: transport.Request, Op: transport.GetTwin, ID: "g"}); err != nil {
		t.Fatalf("Send: %v", err)
	}
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
	onTwin := func(code byte, payload string, fields ...string) string { return frame(0, code, payload, fields...) }
	lethal := "\x00\x53\x72\xc1\x10\x02\x00\x80\x00\x00\x00\x00\x00\x00\x0f\x82\xa0\x01a\x40"
	for _, test := range []struct {
		desc, says string
		want       error
	}{
		{"an annotation under a described key", onTwin(0x14, lethal, "\x52\x03", zero, tag, zero, yes), transport.ErrProtocol},
		{"a FLOW for a link without its credit", onTwin(0x13, "", one, hundred, one, hundred, "\x52\x02", zero), transport.ErrLost},
		{"a disposition of four billion deliveries", onTwin(0x15, "", yes, zero, "\x70\xff\xff\xff\xff", yes, null), transport.ErrProtocol},
		{"a frame of two gigabytes", "\x7f\xff\xff\xff\x02\x00\x00\x00", transport.ErrProtocol},
		{"an END", onTwin(0x17, ""), transport.ErrLost},
		{"a link that nobody asked for", onTwin(0x12, "", "\xa1\x01x", "\x52\x09", yes, null, null), transport.ErrLost},
	} {
		for _, pooled := range []bool{false, true} {
			wantError(t, test.desc, betray(t, []byte(test.says), pooled), test.want)
		}
	}
}

// FuzzTurncoat has a hub say anything.
func FuzzTurncoat(f *testing.F) {
	set := frameSet()
	for _, says := range []string{"", set.flow, set.bare, set.single, set.first + set.second, set.notes + set.lethal, set.end, set.end + set.begin} {
		b := []byte(says)
		for i := 7; i < len(b); i += max(8, int(b[i-4])) { // on the device's channel
			if i > 6 && string(b[:1]) == "\x00" {
				b[7] = 0
			}
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		if len(says) > 64<<10 {
			return
		}
		_ = betray(t, says, len(says)%2 == 0)
	})
}
