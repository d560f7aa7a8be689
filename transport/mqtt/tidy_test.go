package mqtt_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// connectTo logs in at a peer that may know the session.
func connectTo(t *testing.T, l transport.Login, present bool) (transport.Conn, *peer) {
	t.Helper()
	p, done := dial(t.Context(), t, l)
	p.wantPacket("the device logs in", 0x10)
	connack := "\x20\x02\x00\x00"
	if present {
		connack = "\x20\x02\x01\x00"
	}
	p.say(connack)
	d := <-done
	wantError(t, "Dial", d.err, nil)
	t.Cleanup(func() { d.conn.Close() })
	return d.conn, p
}

// unsubscribe is an UNSUBSCRIBE.
func unsubscribe(id byte, filters ...string) string {
	body := string([]byte{0, id})
	for _, f := range filters {
		body += text(f)
	}
	return packet(0xa2, body)
}

// TestTidy gives back what an earlier program subscribed to.
func TestTidy(t *testing.T) {
	const (
		device  = "devices/dev1/messages/devicebound/#"
		module  = "devices/dev1/modules/m1/"
		methods = "$iothub/methods/POST/#"
	)
	for _, c := range []struct {
		name          string
		module        string
		tidy, present bool
		want          []string
	}{
		{"a device with a session", "", true, true, []string{methods, device}},
		{"a module with a session", "m1", true, true, []string{methods, module + "messages/devicebound/#", module + "inputs/#", module + "#"}},
		{"no session", "", true, false, nil},
		{"not asked to", "", false, true, nil},
		{"a module without a session", "m1", true, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := login(patient)
				l.Identity.ModuleID, l.Tidy = c.module, c.tidy
				conn, p := connectTo(t, l, c.present)
				send(t, conn, openResponses)
				send(t, conn, openDesired)
				p.wantBytes("the features first, alone", subscribeResponses+subscribeDesired)
				send(t, conn, patch("0", 0, "{}"))
				p.wantBytes("a patch leaves alone", publish(patchReported+"?$rid=0", "{}"))
				send(t, conn, get("1"))
				want := publish("$iothub/twin/GET/?$rid=1", "")
				if c.want != nil {
					want += unsubscribe(3, c.want...)
				}
				p.wantBytes("the first GET", want)
				send(t, conn, get("2"))
				p.wantBytes("the next GET leaves alone", publish("$iothub/twin/GET/?$rid=2", ""))
				p.say("\xb0\x02\x00\x03" + publish(desired+"?$version=2", "{}"))
				wantFrame(t, "UNSUBACK is no frame", conn, change(2, "{}"))
				p.wantSilence("and that is all", time.Minute)
			})
		})
	}
}

// TestTidyKeepsItsPacketID: until UNSUBACK no other packet has the same id.
func TestTidyKeepsItsPacketID(t *testing.T) { synctest.Test(t, testTidyKeepsItsPacketID) }
func testTidyKeepsItsPacketID(t *testing.T) {
	l := login(patient)
	l.Tidy = true
	c, p := connectTo(t, l, true)
	send(t, c, get("1"))
	p.wantBytes("GET and UNSUBSCRIBE", publish("$iothub/twin/GET/?$rid=1", "")+
		unsubscribe(1, "$iothub/methods/POST/#", "devices/dev1/messages/devicebound/#"))
	for i := 2; i <= 1<<16; i++ {
		send(t, c, openResponses)
		id := p.wantPacket("the device subscribes", 0x82)[:2]
		if id[0] == 0 && id[1] <= 1 {
			t.Fatalf("SUBSCRIBE %d has packet id %d", i, id[1])
		}
		p.say("\x90\x03" + string(id) + "\x01")
		wantFrame(t, "SUBACK", c, accepted("o1"))
	}
	// SUBACK and UNSUBACK don't answer each other.
	p.say("\x90\x03\x00\x01\x01" + publish(desired+"?$version=2", "{}"))
	wantFrame(t, "a SUBACK for UNSUBSCRIBE is skipped", c, change(2, "{}"))
}

// TestTidyAfterAGetThatDidNotLeave: a GET that never left takes nothing with it.
func TestTidyAfterAGetThatDidNotLeave(t *testing.T) {
	synctest.Test(t, testTidyAfterAGetThatDidNotLeave)
}
func testTidyAfterAGetThatDidNotLeave(t *testing.T) {
	l := login(patient)
	l.Tidy = true
	c, p := connectTo(t, l, true)
	wantError(t, "Send with an ended context", c.Send(ended(t), get("1")), context.Canceled)
	wantError(t, "Send of what cannot be said", c.Send(t.Context(), get("a b")), transport.ErrUnsupported)
	send(t, c, get("2"))
	p.wantBytes("GET and UNSUBSCRIBE", publish("$iothub/twin/GET/?$rid=2", "")+
		unsubscribe(1, "$iothub/methods/POST/#", "devices/dev1/messages/devicebound/#"))
}

// TestCloseFeature unsubscribes.
func TestCloseFeature(t *testing.T) { synctest.Test(t, testCloseFeature) }
func testCloseFeature(t *testing.T) {
	c, p := connect(t, login(patient))
	open(t, c, p)
	send(t, c, transport.Frame{Kind: transport.Close, Feature: transport.DesiredChanges, ID: "c1"})
	p.wantBytes("the device unsubscribes", unsubscribe(3, desired+"#"))
	// UNSUBACK for another packet, and SUBACK for this one: neither is its answer.
	p.say("\xb0\x02\x00\x09" + "\x90\x03\x00\x03\x01" + "\xb0\x02\x00\x03" + "\xb0\x02\x00\x03")
	wantFrame(t, "UNSUBACK answers", c, accepted("c1"))
	p.say(publish(desired+"?$version=2", "{}"))
	wantFrame(t, "once", c, change(2, "{}"))
}
