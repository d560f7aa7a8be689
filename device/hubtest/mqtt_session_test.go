package hubtest

import (
	"testing"
	"time"
)

func TestSessions(t *testing.T) { bubble(t, testSessions) }
func testSessions(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	connect := func(clean bool, want string) *raw {
		t.Helper()
		p := hello(t, h, d)
		p.clean = clean
		c := open(t, h)
		c.send(p.bytes())
		c.play(want)
		return c
	}
	const get = `
		> PUBLISH Q0 $iothub/twin/GET/?$rid=1
		< PUBLISH Q0 $iothub/twin/res/200/?$rid=1 …
	`
	const lost = `
		> PUBLISH Q0 $iothub/twin/GET/?$rid=1
		< silence
	`
	connect(false, `< CONNACK sp=0 rc=0`).play(lost + subscribed + get + `
		> DISCONNECT
		< close
	`)
	// A session of clean=0 brings its subscriptions back, those of QoS 0 too.
	c := connect(false, `< CONNACK sp=1 rc=0`)
	setDesired(t, h, "dev1", `{"a":1}`)
	c.play(`< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"a":1,"$version":2}` + get)
	// It survives a takeover, and the end of a line.
	c = connect(false, `< CONNACK sp=1 rc=0`)
	c.play(get)
	if err := h.Device("dev1").Cut(); err != nil {
		t.Errorf("Cut: %v", err)
	}
	c.play(`< close`)
	// clean=1 forgets it, and leaves none.
	connect(true, `< CONNACK sp=0 rc=0`).play(lost + subscribed + get + `
		> DISCONNECT
		< close
	`)
	connect(false, `< CONNACK sp=0 rc=0`).play(lost)
	connect(true, `< CONNACK sp=0 rc=0`).play(subscribed)
	connect(false, `< CONNACK sp=0 rc=0`).play(lost) // took over from a clean one
}

func TestModulesAreTheirOwn(t *testing.T) { bubble(t, testModulesAreTheirOwn) }
func testModulesAreTheirOwn(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	m, err := h.AddDevice("dev1/mod")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	cd, cm := login(t, h, d), login(t, h, m)
	cd.play(subscribed)
	cm.play(subscribed)
	setDesired(t, h, "dev1/mod", `{"a":1}`)
	setDesired(t, h, "dev1", `{"b":1}`)
	cm.play(`
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"a":1,"$version":2}
		< silence
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1 {"m":1}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2
	`)
	cd.play(`
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"b":1,"$version":2}
		> PUBLISH Q0 $iothub/twin/GET/?$rid=1
		< PUBLISH Q0 $iothub/twin/res/200/?$rid=1 {"desired":{"b":1,"$version":2},"reported":{"$version":1}}
	`)
	if got := h.Stats().Takeovers; got != 0 {
		t.Errorf("takeovers: got %d, want 0", got)
	}
	if err := h.Device("dev1").SetEnabled(false); err != nil {
		t.Fatalf("SetEnabled: %v", err)
	}
	cd.play(`< close`)
	cm.play(`< close`) // a disabled device takes its modules with it
}

func TestTopics(t *testing.T) {
	tests := []struct{ desc, script string }{
		{"QoS 0 and 1 are granted, 2 becomes 1", `
			> SUBSCRIBE 7 [$iothub/twin/res/# Q0, $iothub/twin/PATCH/properties/desired/# Q1, $iothub/methods/POST/# Q2]
			< SUBACK 7 [0 1 1]`},
		{"the documented filters", `
			> SUBSCRIBE 7 [devices/dev1/messages/devicebound/# Q1, devices/+/messages/devicebound/# Q1, $iothub/methods/POST/reboot/# Q0]
			< SUBACK 7 [1 1 0]`},
		{"five subscriptions, again and again", `
			> SUBSCRIBE 7 [$iothub/twin/res/# Q0, $iothub/twin/PATCH/properties/desired/# Q0, $iothub/methods/POST/# Q0, devices/dev1/messages/devicebound/# Q1, $iothub/methods/POST/a/# Q0]
			< SUBACK 7 [0 0 0 1 0]
			> SUBSCRIBE 8 [$iothub/methods/POST/a/# Q1]
			< SUBACK 8 [1]
			> UNSUBSCRIBE 9 [$iothub/methods/POST/a/#, $iothub/methods/POST/never/#]
			< UNSUBACK 9
			> SUBSCRIBE 10 [$iothub/methods/POST/b/# Q0]
			< SUBACK 10 [0]
			> SUBSCRIBE 11 [$iothub/methods/POST/c/# Q0]
			< close`},
		{"unknown filter", "> SUBSCRIBE 7 [foo/# Q1]\n< close"},
		{"filter of all", "> SUBSCRIBE 7 [# Q0]\n< close"},
		{"another device's", "> SUBSCRIBE 7 [devices/dev2/messages/devicebound/# Q1]\n< close"},
		{"a module's", "> SUBSCRIBE 7 [devices/dev1/modules/m/inputs/# Q1]\n< close"},
		{"method below a method", "> SUBSCRIBE 7 [$iothub/methods/POST/a/b/# Q1]\n< close"},
		{"one bad among good", "> SUBSCRIBE 7 [$iothub/twin/res/# Q1, foo Q1]\n< close"},
		{"QoS 3", "> SUBSCRIBE 7 [$iothub/twin/res/# Q3]\n< close"},
		{"unsubscribed: the answer is lost", subscribed + `
			> UNSUBSCRIBE 3 [$iothub/twin/res/#]
			< UNSUBACK 3
			> PUBLISH Q0 $iothub/twin/GET/?$rid=1
			< silence`},
		{"a body in GET means nothing", subscribed + "> PUBLISH Q0 $iothub/twin/GET/?$rid=1  \n< PUBLISH Q0 $iothub/twin/res/200/?$rid=1 …"},
		{"rid as written, others ignored", subscribed + `
			> PUBLISH Q0 $iothub/twin/GET/?x=1&$rid=a%20B-+&y {bad
			< close`}, // '+' is no character of a topic
		{"rid percent-encoded", subscribed + `
			> PUBLISH Q0 $iothub/twin/GET/?x=1&$rid=a%20B-&y
			< PUBLISH Q0 $iothub/twin/res/200/?$rid=a%20B- …`},
		{"QoS 1 is acknowledged first", subscribed + `
			> PUBLISH Q1 300 $iothub/twin/PATCH/properties/reported/?$rid=1 {}
			< PUBACK 300
			< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2`},
		{"bad version", subscribed + `
			> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1&$version=x {}
			< PUBLISH Q0 $iothub/twin/res/400/?$rid=1 {"errorCode":400004,…
			> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1&$version=0 {}
			< PUBLISH Q0 $iothub/twin/res/412/?$rid=1 {"errorCode":412001,…`},
		{"GET without rid", "> PUBLISH Q0 $iothub/twin/GET/\n< close"},
		{"GET with an empty rid", "> PUBLISH Q0 $iothub/twin/GET/?$rid=\n< close"},
		{"GET without question mark", "> PUBLISH Q0 $iothub/twin/GET/$rid=1\n< close"},
		{"PATCH desired", "> PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$rid=1 {}\n< close"},
		{"PUT reported", "> PUBLISH Q0 $iothub/twin/PUT/properties/reported/?$rid=1 {}\n< close"},
		{"unknown topic", "> PUBLISH Q0 hello x\n< close"},
		{"telemetry", "> PUBLISH Q1 5 devices/dev1/messages/events/%24.mid=m-1&a=b hi\n< PUBACK 5\n> PUBLISH Q0 devices/dev1/messages/events hi\n> PINGREQ\n< PINGRESP"},
		{"another device's telemetry", "> PUBLISH Q1 5 devices/dev2/messages/events/ hi\n< close"},
		{"telemetry of a longer name", "> PUBLISH Q1 5 devices/dev1/messages/eventsX hi\n< close"},
		{"method answer", "> PUBLISH Q1 5 $iothub/methods/res/200/?$rid=1 {}\n< PUBACK 5"},
		{"method answer without rid", "> PUBLISH Q1 5 $iothub/methods/res/200/ {}\n< close"},
		{"QoS 2", "> PUBLISH Q2 5 devices/dev1/messages/events/ hi\n< close"},
		{"packet identifier 0", "> PUBLISH Q1 0 devices/dev1/messages/events/ hi\n< close"},
		{"ping", "> PINGREQ\n< PINGRESP"},
		{"goodbye", "> DISCONNECT\n< close"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				login(t, h, addDevice(t, h, "dev1")).play(tt.script)
			})
		})
	}
}

func TestRetainIsTolerated(t *testing.T) { bubble(t, testRetainIsTolerated) }
func testRetainIsTolerated(t *testing.T) {
	h := New(t, nil)
	c := login(t, h, addDevice(t, h, "dev1"))
	c.play(subscribed)
	b := packetBytes(t, "PUBLISH Q1 5 $iothub/twin/PATCH/properties/reported/?$rid=1 {}")
	b[0] |= 9 // DUP and RETAIN
	c.send(b)
	c.play(`
		< PUBACK 5
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2
	`)
}

func TestMalformedPackets(t *testing.T) {
	tests := []struct {
		desc  string
		bytes []byte
	}{
		{"reserved type", []byte{0, 0}},
		{"type 15", []byte{0xf0, 0}},
		{"CONNACK", []byte{0x20, 2, 0, 0}},
		{"PINGRESP", []byte{0xd0, 0}},
		{"PUBREL", []byte{0x62, 2, 0, 1}},
		{"PINGREQ with a body", []byte{0xc0, 1, 0}},
		{"SUBSCRIBE with bad flags", []byte{0x80, 0}},
		{"SUBSCRIBE of nothing", []byte{0x82, 2, 0, 1}},
		{"SUBSCRIBE whose filter is longer than it", []byte{0x82, 6, 0, 1, 0xff, 0xff, 'a', 0}},
		{"PUBLISH whose topic is longer than it", []byte{0x30, 3, 0xff, 0xff, 'a'}},
		{"PUBLISH with an empty topic", []byte{0x30, 2, 0, 0}},
		{"PUBLISH with QoS 3", []byte{0x36, 5, 0, 1, 'a', 0, 1}},
		{"length of five bytes", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}},
		{"over the limit", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				c := login(t, h, addDevice(t, h, "dev1"))
				c.send(tt.bytes)
				c.play(`< close`)
			})
		})
	}
}

// A packet that never ends is as good as silence.
func TestHalfAPacket(t *testing.T) { bubble(t, testHalfAPacket) }
func testHalfAPacket(t *testing.T) {
	h := New(t, nil)
	c := login(t, h, addDevice(t, h, "dev1")) // keep-alive 240 s
	c.send([]byte{0x30, 100, 0})
	if got := c.receiveIn(359 * time.Second); got != "silence" {
		t.Errorf("before 360 s: got %s, want silence", got)
	}
	if got := c.receiveIn(2 * time.Second); got != "close" {
		t.Errorf("after 360 s: got %s, want close", got)
	}
}

// Every prefix of a good login ends without an answer, and without a panic.
func TestTruncatedLogin(t *testing.T) { bubble(t, testTruncatedLogin) }
func testTruncatedLogin(t *testing.T) {
	h := New(t, nil)
	whole := hello(t, h, addDevice(t, h, "dev1")).bytes()
	for n := range whole {
		c := open(t, h)
		c.send(whole[:n])
		if got := c.receiveIn(31 * time.Second); got != "close" {
			t.Errorf("%d of %d bytes: got %s, want close", n, len(whole), got)
		}
	}
}
