package mqtt_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/transport"
)

// The transcripts are those of the protocol reference, 13.1 to 13.4, byte by
// byte.

const (
	subscribeResponses = "\x82\x17\x00\x01\x00\x12$iothub/twin/res/#\x01"
	subscribeDesired   = "\x82\x2c\x00\x02\x00\x27$iothub/twin/PATCH/properties/desired/#\x01"
	patchReported      = "$iothub/twin/PATCH/properties/reported/"
)

var (
	openResponses = transport.Frame{Kind: transport.Open, Feature: transport.TwinResponses, ID: "o1"}
	openDesired   = transport.Frame{Kind: transport.Open, Feature: transport.DesiredChanges, ID: "o2"}
)

func get(id string) transport.Frame {
	return transport.Frame{Kind: transport.GetTwin, ID: id}
}

func patch(id string, version int64, body string) transport.Frame {
	return transport.Frame{Kind: transport.PatchReported, ID: id, Version: version, Body: []byte(body)}
}

func response(id string, status int, version int64, body string) transport.Frame {
	f := transport.Frame{Kind: transport.Response, ID: id, Status: status, Version: version}
	if body != "" {
		f.Body = []byte(body)
	}
	return f
}

func change(version int64, body string) transport.Frame {
	return transport.Frame{Kind: transport.Desired, Version: version, Body: []byte(body)}
}

func accepted(id string) transport.Frame { return transport.Frame{Kind: transport.Accepted, ID: id} }

// open opens both features of a connection.
func open(t *testing.T, c transport.Conn, p *peer) {
	t.Helper()
	send(t, c, openResponses)
	p.wantBytes("the device subscribes to responses", subscribeResponses)
	p.say("\x90\x03\x00\x01\x01")
	wantFrame(t, "the first subscription is granted", c, accepted("o1"))
	send(t, c, openDesired)
	p.wantBytes("the device subscribes to desired changes", subscribeDesired)
	p.say("\x90\x03\x00\x02\x01")
	wantFrame(t, "the second subscription is granted", c, accepted("o2"))
}

// 13.1 First start, SAS.
func TestFirstStart(t *testing.T) { synctest.Test(t, testFirstStart) }
func testFirstStart(t *testing.T) {
	const sas = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&se=1767225600"
	token, err := auth.ParseToken(sas)
	if err != nil {
		t.Fatal(err)
	}
	p, done := dial(t.Context(), t, transport.Login{
		Identity:  auth.Identity{Host: "myhub.azure-devices.net", DeviceID: "dev1"},
		Token:     token,
		Product:   "mysdk/1.2.3",
		KeepAlive: 240 * time.Second,
	})
	const user = "myhub.azure-devices.net/dev1/?api-version=2021-04-12&DeviceClientType=mysdk%2F1.2.3"
	p.wantBytes("CONNECT of level 4, not clean, with user and password, 240 s",
		packet(0x10, "\x00\x04MQTT\x04\xc0\x00\xf0"+text("dev1")+text(user)+text(sas)))
	p.say("\x20\x02\x00\x00")
	d := <-done
	wantError(t, "Dial", d.err, nil)
	c := d.conn
	t.Cleanup(func() { c.Close() })
	if c.(transport.Resumer).Resumed() {
		t.Error("Resumed: got true; want false, for CONNACK said so")
	}

	open(t, c, p)
	send(t, c, get("1"))
	p.wantBytes("the device asks for its twin", "\x30\x1a\x00\x18$iothub/twin/GET/?$rid=1")
	const twin = `{"desired":{"$version":1},"reported":{"$version":1}}`
	p.say(publish(res+"200/?$rid=1", twin))
	wantFrame(t, "the hub answers with a twin never written", c, response("1", 200, 0, twin))

	const report = `{"fw":"1.0","net":{"ip":"10.0.0.1"}}`
	send(t, c, patch("2", 0, report))
	p.wantBytes("the device reports", publish(patchReported+"?$rid=2", report))
	p.say(publish(res+"204/?$rid=2&$version=2", ""))
	wantFrame(t, "the hub answers with version 2", c, response("2", 204, 2, ""))

	wantError(t, "Close", c.Close(), nil)
	p.wantBytes("the device says goodbye", "\xe0\x00")
	p.wantEnd("and ends the stream")
}

// 13.2 Desired PATCH then PUT by the service.
func TestDesiredChanges(t *testing.T) { synctest.Test(t, testDesiredChanges) }
func testDesiredChanges(t *testing.T) {
	c, p := connect(t, login(time.Minute))
	open(t, c, p)
	bodies := []string{
		`{"b":{"x":9},"$version":5}`,
		`{"b":{"x":null},"c":[1],"$version":6}`,
		`{"a":1,"b":null,"c":null,"d":true,"$version":7}`,
	}
	// They arrive in one piece, as a busy line delivers them.
	p.say(publish(desired+"?$version=5", bodies[0]) + publish(desired+"?$version=6", bodies[1]) + publish(desired+"?$version=7", bodies[2]))
	for i, body := range bodies {
		wantFrame(t, "changes come in order, with their versions", c, change(int64(5+i), body))
	}
}

// 13.3 Missed while offline: the session is there, and all is asked anew.
func TestResumed(t *testing.T) { synctest.Test(t, testResumed) }
func testResumed(t *testing.T) {
	p, done := dial(t.Context(), t, login(time.Minute))
	p.wantPacket("the device logs in", 0x10)
	p.say("\x20\x02\x01\x00")
	d := <-done
	wantError(t, "Dial", d.err, nil)
	c := d.conn
	t.Cleanup(func() { c.Close() })
	if !c.(transport.Resumer).Resumed() {
		t.Error("Resumed: got false; want true, for CONNACK said so")
	}
	send(t, c, openResponses)
	send(t, c, openDesired)
	send(t, c, get("g"))
	p.wantBytes("all leaves without waiting", subscribeResponses+subscribeDesired+publish("$iothub/twin/GET/?$rid=g", ""))

	// A change races with the answer, and SUBACKs come late: all arrive.
	const twin = `{"desired":{"d":true,"e":1,"$version":10},"reported":{"$version":3}}`
	p.say(publish(desired+"?$version=10", `{"e":1,"$version":10}`) + publish(res+"200/?$rid=g", twin) +
		"\x90\x03\x00\x02\x00" + "\x90\x03\x00\x01\x01")
	wantFrame(t, "the change", c, change(10, `{"e":1,"$version":10}`))
	wantFrame(t, "the answer", c, response("g", 200, 0, twin))
	wantFrame(t, "the second Open's SUBACK, first", c, accepted("o2"))
	wantFrame(t, "the first Open's SUBACK", c, accepted("o1"))
}

// 13.4 Errors.
func TestErrorAnswers(t *testing.T) { synctest.Test(t, testErrorAnswers) }
func testErrorAnswers(t *testing.T) {
	c, p := connect(t, login(time.Minute))
	open(t, c, p)
	send(t, c, patch("9", 3, "{}"))
	p.wantBytes("a patch names the version it expects", publish(patchReported+"?$rid=9&$version=3", "{}"))
	send(t, c, get("b"))
	p.wantPacket("a request while another waits", 0x30)

	const throttled = `{"errorCode":429001,"trackingId":"..","message":"..","timestampUtc":".."}`
	p.say(publish(res+"429/?$rid=b", throttled) + publish(res+"412/?$rid=9", `{"errorCode":412001}`))
	wantFrame(t, "the second question is answered first", c, response("b", 429, 0, throttled))
	wantFrame(t, "then the first", c, response("9", 412, 0, `{"errorCode":412001}`))

	p.Close()
	_, err := c.Receive(t.Context())
	wantError(t, "the hub hangs up", err, transport.ErrLost)
}

func TestRefusedOpen(t *testing.T) { synctest.Test(t, testRefusedOpen) }
func testRefusedOpen(t *testing.T) {
	c, p := connect(t, login(time.Minute))
	send(t, c, openResponses)
	p.wantBytes("the device subscribes", subscribeResponses)
	p.say("\x90\x03\x00\x01\x80")
	wantFrame(t, "a refused subscription is an answer with an error", c, response("o1", 403, 0, ""))
	// SUBACK again, and for a packet id never used: neither pairs with anything.
	p.say("\x90\x03\x00\x01\x01" + "\x90\x03\x00\x63\x01" + publish(desired+"?$version=2", "{}"))
	wantFrame(t, "what pairs with nothing is skipped", c, change(2, "{}"))
}
