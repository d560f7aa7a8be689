package hubtest

import (
	"testing"
	"time"
)

// The acceptance transcripts of the protocol notes, section 13, byte for byte.

const (
	keyOne  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	sasOne  = "SharedAccessSignature sr=myhub.azure-devices.net%2Fdevices%2Fdev1&sig=v3cEShKGdwuRnUyQS3LODuW9%2B9Pt6pMJ3nmWt%2F5tP1U%3D&se=1767225600"
	dayOne  = 1767139200 // a day before the vectors' tokens end
	hostOne = "myhub.azure-devices.net"
)

// clockAt is a wall clock that is at the given second now, and goes on.
func clockAt(second int64) func() time.Time {
	start := time.Now()
	return func() time.Time { return time.Unix(second, 0).Add(time.Since(start)) }
}

// vectorHub is the hub of the test vectors, with dev1 and its key.
func vectorHub(t *testing.T) (*Hub, Device) {
	t.Helper()
	h := New(t, &Options{Host: hostOne, Now: clockAt(dayOne)})
	addDevice(t, h, "dev1")
	d, err := h.Device("dev1").SetKeys(keyOne, "")
	if err != nil {
		t.Fatalf("SetKeys: %v", err)
	}
	return h, d
}

func TestTranscriptFirstStart(t *testing.T) { bubble(t, testTranscriptFirstStart) }
func testTranscriptFirstStart(t *testing.T) { // 13.1
	h, _ := vectorHub(t)
	c := open(t, h)
	c.send(connectPacket{
		name: "MQTT", level: 4, keepAlive: 240, id: "dev1",
		user:     "myhub.azure-devices.net/dev1/?api-version=2021-04-12&DeviceClientType=mysdk%2F1.2.3",
		password: sasOne,
	}.bytes())
	c.play(`
		< CONNACK sp=0 rc=0
		> SUBSCRIBE 1 [$iothub/twin/res/# Q1]
		< SUBACK 1 [1]
		> SUBSCRIBE 2 [$iothub/twin/PATCH/properties/desired/# Q1]
		< SUBACK 2 [1]
		> PUBLISH Q0 $iothub/twin/GET/?$rid=1
		< PUBLISH Q0 $iothub/twin/res/200/?$rid=1 {"desired":{"$version":1},"reported":{"$version":1}}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=2 {"fw":"1.0","net":{"ip":"10.0.0.1"}}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=2&$version=2
		< silence
	`)
	if got, want := string(twinOf(t, h, "dev1").Reported.JSON), `{"fw":"1.0","net":{"ip":"10.0.0.1"}}`; got != want {
		t.Errorf("reported: got %s, want %s", got, want)
	}
}

func TestTranscriptDesired(t *testing.T) { bubble(t, testTranscriptDesired) }
func testTranscriptDesired(t *testing.T) { // 13.2
	h, d := vectorHub(t)
	setDesired(t, h, "dev1", `{"a":1}`)
	setDesired(t, h, "dev1", `{"b":{"x":1}}`)
	setDesired(t, h, "dev1", `{"b":{"y":2}}`)
	c := login(t, h, d)
	c.play(subscribed)
	setDesired(t, h, "dev1", `{"b":{"x":9}}`)
	setDesired(t, h, "dev1", `{"b":{"x":null},"c":[1]}`)
	if v, err := h.Device("dev1").ReplaceDesired(`{"a":1,"d":true}`); v != 7 || err != nil {
		t.Fatalf("ReplaceDesired: got %d, %v, want version 7", v, err)
	}
	c.play(`
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=5 {"b":{"x":9},"$version":5}
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=6 {"b":{"x":null},"c":[1],"$version":6}
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=7 {"a":1,"b":null,"c":null,"d":true,"$version":7}
		> PUBLISH Q0 $iothub/twin/GET/?$rid=g
		< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"a":1,"d":true,"$version":7},"reported":{"$version":1}}
	`)
}

func TestTranscriptMissedOffline(t *testing.T) { bubble(t, testTranscriptMissedOffline) }
func testTranscriptMissedOffline(t *testing.T) { // 13.3
	h, d := vectorHub(t)
	c := login(t, h, d)
	c.play(subscribed + `
		> DISCONNECT
		< close
	`)
	setDesired(t, h, "dev1", `{"a":1,"d":true}`)
	setDesired(t, h, "dev1", `{"a":null}`)
	setDesired(t, h, "dev1", `{"e":1}`)
	c = open(t, h)
	c.send(hello(t, h, d).bytes())
	c.play(`
		< CONNACK sp=1 rc=0
		< silence
	` + subscribed + `
		> PUBLISH Q0 $iothub/twin/GET/?$rid=1
		< PUBLISH Q0 $iothub/twin/res/200/?$rid=1 {"desired":{"d":true,"e":1,"$version":4},"reported":{"$version":1}}
	`)
}

func TestTranscriptErrors(t *testing.T) { bubble(t, testTranscriptErrors) }
func testTranscriptErrors(t *testing.T) { // 13.4, with the addendum's 403100
	h, d := vectorHub(t)
	c := login(t, h, d)
	big := `{"a":"` + letters(4000) + `","b":"` + letters(4000) + `","c":"` + letters(4000) + `","d":"` + letters(4000) + `","e":"` +
		letters(4000) + `","f":"` + letters(4000) + `","g":"` + letters(4000) + `","h":"` + letters(4000) + `","i":"` + letters(4000) + `"}`
	c.play(subscribed + `
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=7 {"a.b":1}
		< PUBLISH Q0 $iothub/twin/res/400/?$rid=7 {"errorCode":400004,"trackingId":"…-G:0-TimeStamp:12/31/2025 00:00:00","message":"Property or Tag name has invalid characters. Error in Property/Tag a.b. Must not contain Control Characters, '.', '$', '#', or ' '.","timestampUtc":"2025-12-31T00:00:00.0000000Z"}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=8 {bad json
		< PUBLISH Q0 $iothub/twin/res/400/?$rid=8 {"errorCode":400006,…}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=8b {"v":1}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=8b&$version=2
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=9&$version=3 {"v":2}
		< PUBLISH Q0 $iothub/twin/res/412/?$rid=9 {"errorCode":412001,…}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$version=2&$rid=9b {"v":3}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=9b&$version=3
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=a ` + big + `
		< PUBLISH Q0 $iothub/twin/res/403/?$rid=a {"errorCode":403100,…"message":"'Properties.Reported' size should be less than 32768 bytes.",…}
	`)
	h.Intercept(FromDevice("dev1", GetTwin), Fail(429001))
	c.play(`
		> PUBLISH Q0 $iothub/twin/GET/?$rid=b
		< PUBLISH Q0 $iothub/twin/res/429/?$rid=b {"errorCode":429001,…}
		> PUBLISH Q2 5 $iothub/twin/GET/?$rid=c
		< close
	`)
	c = login(t, h, d)
	c.play(`
		> SUBSCRIBE 9 [foo/# Q1]
		< close
	`)
	if got, want := string(twinOf(t, h, "dev1").Reported.JSON), `{"v":3}`; got != want {
		t.Errorf("reported: got %s, want %s", got, want)
	}
}

func TestTranscriptTakeoverAndExpiry(t *testing.T) { bubble(t, testTranscriptTakeoverAndExpiry) }
func testTranscriptTakeoverAndExpiry(t *testing.T) { // 13.5
	h, d := vectorHub(t)
	a := login(t, h, d)
	b := login(t, h, d)
	a.play(`< close`)
	b.play(`
		> PINGREQ
		< PINGRESP
	`)
	if got := h.Device("dev1").Stats(); got.Takeovers != 1 || got.Connects != 2 {
		t.Errorf("stats: got %+v, want 2 connects, 1 takeover", got)
	}
	other := addDevice(t, h, "dev2")
	wrong := hello(t, h, d)
	wrong.password = hello(t, h, other).password
	c := open(t, h)
	c.send(wrong.bytes())
	c.play(`
		< CONNACK sp=0 rc=5
		< close
	`)
	b.play(`
		> PINGREQ
		< PINGRESP
	`)
}

func letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}
