package mqtt_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// publish1 is a PUBLISH of QoS 1. If again is set, it is a duplicate.
func publish1(id uint16, again bool, topic, payload string) string {
	first := byte(0x32)
	if again {
		first |= 8
	}
	return packet(first, text(topic)+string(binary.BigEndian.AppendUint16(nil, id))+payload)
}

// puback is a PUBACK.
func puback(id uint16) string {
	return "\x40\x02" + string(binary.BigEndian.AppendUint16(nil, id))
}

func delivered(f transport.Frame, number uint64) transport.Frame {
	f.Delivery = number
	return f
}

func settle(number uint64, outcome transport.Kind) transport.Frame {
	return transport.Frame{Kind: outcome, Delivery: number}
}

// TestAcknowledgesNothingByItself has a hub deliver what an earlier program
// subscribed to, as it does after a login with clean session 0. A PUBACK would
// delete a message that nobody took.
func TestAcknowledgesNothingByItself(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"a cloud-to-device message", publish1(7, false, "devices/dev1/messages/devicebound/%24.mid=m1&cmd=open-valve", "{}")},
		{"one without properties", publish1(7, false, "devices/dev1/messages/devicebound/", "")},
		{"one that is repeated", publish1(7, true, "devices/dev1/messages/devicebound/%24.mid=m1", "{}")},
		{"one and its repetition", publish1(7, false, "devices/dev1/messages/devicebound/a=b", "1") + publish1(7, true, "devices/dev1/messages/devicebound/a=b", "1")},
		{"one of 60 KB", largeMessage()},
		{"a message of a module", publish1(8, false, "devices/dev1/modules/m/messages/devicebound/", "{}")},
		{"an input of a module", publish1(9, false, "devices/dev1/modules/m/inputs/in1/a=b", "{}")},
		{"a method", publish1(10, false, "$iothub/methods/POST/reboot/?$rid=1", "null")},
		{"an unknown topic", publish1(11, false, "x/y/z", "")},
		{"an unknown topic of the hub", publish1(12, false, "$iothub/credentials/res/202/?$rid=1", "")},
		{"a malformed answer", publish1(13, false, res+"x/?$rid=1", "{}")},
		{"an answer without id", publish1(13, false, res+"200/", "{}")},
		{"a malformed change", publish1(14, false, desired+"x", "{}")},
		{"QoS 2 on a topic that nobody takes", packet(0x34, text("devices/dev1/messages/devicebound/")+"\x00\x0f{}")},
		{"QoS 2, repeated", packet(0x3c, text("devices/dev1/modules/m/inputs/a/")+"\x00\x0f{}")},
		{"fifty at once", strings.Repeat(publish1(7, false, "devices/dev1/messages/devicebound/", "{}"), 50)},
		{"a change", publish1(15, false, desired+"?$version=2", "{}")},
		{"an answer", publish1(16, false, res+"204/?$rid=1&$version=2", "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, p := connect(t, login(patient))
				p.say(c.says + publish(desired+"?$version=9", "{}"))
				for {
					f, err := conn.Receive(t.Context())
					wantError(t, "Receive", err, nil)
					if f.Version == 9 {
						break
					}
				}
				p.wantSilence("nothing is acknowledged", time.Minute)
				send(t, conn, get("1"))
				p.wantBytes("the connection lives on", publish("$iothub/twin/GET/?$rid=1", ""))
			})
		})
	}
}

// largeMessage is a message that is larger than every buffer.
func largeMessage() string {
	body := text("devices/dev1/messages/devicebound/") + "\x00\x07" + strings.Repeat("x", 60<<10)
	n := len(body)
	return string([]byte{0x32, byte(n) | 0x80, byte(n>>7) | 0x80, byte(n >> 14)}) + body
}

// TestSettle has the receiver decide.
func TestSettle(t *testing.T) { synctest.Test(t, testSettle) }
func testSettle(t *testing.T) {
	c, p := connect(t, login(patient))
	topic := desired + "?$version=2"
	p.say(publish1(0x0102, false, topic, "{}") + publish1(0x0103, true, topic, "{}") + publish1(0x0104, false, topic, "{}"))
	wantFrame(t, "the first", c, delivered(change(2, "{}"), 1))
	wantFrame(t, "the second, repeated", c, delivered(change(2, "{}"), 2))
	wantFrame(t, "the third", c, delivered(change(2, "{}"), 3))

	send(t, c, settle(1, transport.Complete))
	p.wantBytes("the first is acknowledged", puback(0x0102))
	wantError(t, "Settle twice", c.Send(t.Context(), settle(1, transport.Complete)), transport.ErrUnsupported)
	send(t, c, settle(2, transport.Release))
	wantError(t, "Settle of what was released", c.Send(t.Context(), settle(2, transport.Complete)), transport.ErrUnsupported)
	wantError(t, "no settling", c.Send(t.Context(), settle(3, "reject")), transport.ErrUnsupported)
	wantError(t, "Settle without an outcome", c.Send(t.Context(), settle(3, "")), transport.ErrUnsupported)
	p.wantSilence("which is all", time.Minute)

	// The hub repeats what waits, and what was given back.
	p.say(publish1(0x0104, true, topic, "{}") + publish1(0x0103, true, topic, "{}"))
	wantFrame(t, "what was given back comes again, what waits does not", c, delivered(change(2, "{}"), 4))
	send(t, c, settle(3, transport.Complete))
	send(t, c, settle(4, transport.Complete))
	p.wantBytes("acknowledged in the order of arrival", puback(0x0104)+puback(0x0103))

	// A packet id that was acknowledged names another message.
	p.say(publish1(0x0102, false, topic, "{}"))
	wantFrame(t, "a packet id is used again", c, delivered(change(2, "{}"), 5))
	wantError(t, "Settle of its first use", c.Send(t.Context(), settle(1, transport.Complete)), transport.ErrUnsupported)
	p.wantSilence("acknowledges nothing", time.Minute)
}

// TestSettleIsBounded leaves everything unsettled: what is too much does not reach
// the receiver, so that the hub delivers it again.
func TestSettleIsBounded(t *testing.T) { synctest.Test(t, testSettleIsBounded) }
func testSettleIsBounded(t *testing.T) {
	const most = 128
	c, p := connect(t, login(patient))
	for id := uint16(1); id <= most+10; id++ {
		p.say(publish1(id, false, desired+"?$version=2", "{}"))
	}
	for i := range uint64(most) {
		wantFrame(t, "one of those that fit", c, delivered(change(2, "{}"), i+1))
	}
	p.say(publish(desired+"?$version=3", "{}"))
	wantFrame(t, "the next after those that did not", c, change(3, "{}"))
	send(t, c, settle(most, transport.Complete))
	p.wantBytes("one is acknowledged", puback(most))
	p.say(publish1(most+1, true, desired+"?$version=2", "{}"))
	wantFrame(t, "there is room for one again", c, delivered(change(2, "{}"), most+1))
}

// TestSettleNeverWaits settles on a line that takes nothing.
func TestSettleNeverWaits(t *testing.T) { synctest.Test(t, testSettleNeverWaits) }
func testSettleNeverWaits(t *testing.T) {
	c, p := connect(t, login(patient))
	p.say(publish1(1, false, desired+"?$version=2", "{}") + publish1(2, false, desired+"?$version=3", "{}"))
	wantFrame(t, "the first", c, delivered(change(2, "{}"), 1))
	wantFrame(t, "the second", c, delivered(change(3, "{}"), 2))
	big := strings.Repeat("x", 100<<10)
	sent := make(chan error, 1)
	go func() { sent <- c.Send(t.Context(), patch("1", 0, big)) }()
	synctest.Wait() // until the line is full
	start := time.Now()
	send(t, c, settle(1, transport.Complete))
	send(t, c, settle(2, transport.Complete))
	wantError(t, "Settle twice", c.Send(t.Context(), settle(1, transport.Complete)), transport.ErrUnsupported)
	// Repeated before their PUBACK could leave: they are settled.
	p.say(publish1(2, true, desired+"?$version=3", "{}") + publish(desired+"?$version=4", "{}"))
	wantFrame(t, "Receive goes on", c, change(4, "{}"))
	wantElapsed(t, "that took", start, 0)
	topic := text("$iothub/twin/PATCH/properties/reported/?$rid=1")
	n := len(topic) + len(big)
	p.wantBytes("the patch leaves whole", string([]byte{0x30, byte(n) | 0x80, byte(n>>7) | 0x80, byte(n >> 14)})+topic+big)
	wantError(t, "Send", <-sent, nil)
	p.wantBytes("then the PUBACKs", puback(1)+puback(2))
	p.wantSilence("once", time.Minute)
}

// TestSettleThenClose sends what was settled before the goodbye.
func TestSettleThenClose(t *testing.T) { synctest.Test(t, testSettleThenClose) }
func testSettleThenClose(t *testing.T) {
	c, p := connect(t, login(patient))
	p.say(publish1(1, false, desired+"?$version=2", "{}") + publish1(2, false, desired+"?$version=3", "{}"))
	wantFrame(t, "the first", c, delivered(change(2, "{}"), 1))
	wantFrame(t, "the second", c, delivered(change(3, "{}"), 2))
	send(t, c, settle(1, transport.Complete))
	wantError(t, "Close", c.Close(), nil)
	p.wantBytes("PUBACK of the settled one, then goodbye", puback(1)+"\xe0\x00")
	p.wantEnd("and the end")
	wantError(t, "Settle afterwards", c.Send(t.Context(), settle(2, transport.Complete)), transport.ErrClosed)
}

// TestSettlingDelaysNoPing: a device that only acknowledges still asks the hub for
// a sign of life.
func TestSettlingDelaysNoPing(t *testing.T) { synctest.Test(t, testSettlingDelaysNoPing) }
func testSettlingDelaysNoPing(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	p.say(publish1(1, false, desired+"?$version=2", "{}"))
	wantFrame(t, "a change", c, delivered(change(2, "{}"), 1))
	start := time.Now()
	<-time.After(keepAlive / 2)
	send(t, c, settle(1, transport.Complete))
	p.wantBytes("PUBACK", puback(1))
	p.wantBytes("PINGREQ, since nothing was heard for the keep-alive", ping)
	wantElapsed(t, "it came after", start, keepAlive)
}
