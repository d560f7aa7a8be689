package hubtest

import (
	"testing"
	"testing/synctest"
	"time"
)

const getTwin = "\n> PUBLISH Q0 $iothub/twin/GET/?$rid=g\n"
const gotTwin = "\n< PUBLISH Q0 $iothub/twin/res/200/?$rid=g …\n"
const patchOne = "\n> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=p {\"a\":1}\n"
const patchedTo2 = "\n< PUBLISH Q0 $iothub/twin/res/204/?$rid=p&$version=2\n"
const patchedTo3 = "\n< PUBLISH Q0 $iothub/twin/res/204/?$rid=p&$version=3\n"
const patchOther = "\n> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=o {\"b\":{\"c\":null}}\n"
const patchedOther = "\n< PUBLISH Q0 $iothub/twin/res/204/?$rid=o&$version=2\n"
const ping = "\n> PINGREQ\n< PINGRESP\n"

func TestIntercept(t *testing.T) {
	in, out := func(op Op) func(Message) bool { return FromDevice("dev1", op) }, func(op Op) func(Message) bool { return FromHub("", op) }
	tests := []struct {
		desc   string
		match  func(Message) bool
		do     Action
		script string
		want   int64 // reported version at the end
	}{
		{"pass", in(PatchReported), Pass(), patchOne + patchedTo2, 2},
		{"drop a request, once", in(PatchReported), Drop(), patchOne + "< silence" + patchOne + patchedTo2, 2},
		{"drop an answer", out(PatchReported), Drop(), patchOne + "< silence" + patchOne + patchedTo3, 3},
		{"duplicate a request", in(PatchReported), Duplicate(), patchOne + patchedTo2 + patchedTo3, 3},
		{"duplicate an answer", out(PatchReported), Duplicate(), patchOne + patchedTo2 + patchedTo2, 2},
		{"delay a request; others overtake", in(PatchReported), Delay(1500 * time.Millisecond), patchOne + getTwin + gotTwin + "< silence" + patchedTo2, 2},
		{"delay an answer; others overtake", out(PatchReported), Delay(1500 * time.Millisecond), patchOne + getTwin + gotTwin + "< silence" + patchedTo2, 2},
		{"a late request", in(PatchReported), Late(1500 * time.Millisecond), patchOne + ping + "< silence" + patchedTo2, 2},
		{"a late ping", in(Ping), Late(1500 * time.Millisecond), "> PINGREQ\n< silence\n< PINGRESP", 1},
		{"answer", in(PatchReported), Answer(500, `oops`), patchOne + "< PUBLISH Q0 $iothub/twin/res/500/?$rid=p oops" + patchOne + patchedTo2, 2},
		{"fail", in(GetTwin), Fail(429001), getTwin + `< PUBLISH Q0 $iothub/twin/res/429/?$rid=g {"errorCode":429001,"trackingId":"…","message":"…","timestampUtc":"…"}`, 1},
		{"replace an answer", out(PatchReported), Fail(503001), patchOne + `< PUBLISH Q0 $iothub/twin/res/503/?$rid=p {"errorCode":503001,…`, 2},
		{"fail, and ask for a pause", in(GetTwin), Fail(429001).RetryAfter(1500 * time.Millisecond), getTwin + `< PUBLISH Q0 $iothub/twin/res/429/?$rid=g&retry-after=2 {"errorCode":429001,…`, 1},
		{"an answer replaced by a wish for a pause", out(PatchReported), Answer(429, "").RetryAfter(time.Minute), patchOne + "< PUBLISH Q0 $iothub/twin/res/429/?$rid=p&retry-after=60", 2},
		{"silence at one GET", in(GetTwin), Drop(), getTwin + "< silence" + getTwin + gotTwin, 1},
		{"hang up at a key", PatchNaming("dev1", "a"), Cut().Times(-1), patchOther + patchedOther + patchOne + "< close", 2},
		{"refuse at a key", PatchNaming("", "a"), Fail(400004).Times(-1), patchOne + "< PUBLISH Q0 $iothub/twin/res/400/?$rid=p …" + patchOther + patchedOther + patchOne + "< PUBLISH Q0 $iothub/twin/res/400/?$rid=p …", 2},
		{"refuse at a key below", PatchNaming("dev1", "b.c"), Fail(400004), patchOne + patchedTo2 + patchOther + "< PUBLISH Q0 $iothub/twin/res/400/?$rid=o …", 2},
		{"silence at a key", PatchNaming("dev1", "b"), Drop(), patchOther + "< silence" + patchOther + patchedOther, 2},
		{"a key of another's", PatchNaming("dev2", "a"), Drop().Times(-1), patchOne + patchedTo2, 2},
		{"a key below what is no object", PatchNaming("dev1", "a.b"), Drop().Times(-1), patchOne + patchedTo2, 2},
		{"fail twice", in(GetTwin), Fail(429001).Times(2), getTwin + "< PUBLISH Q0 $iothub/twin/res/429/…" + getTwin + "< PUBLISH Q0 $iothub/twin/res/429/…" + getTwin + gotTwin, 1},
		{"refuse a subscription", in(Subscribe), Answer(128, ""), "> SUBSCRIBE 9 [$iothub/methods/POST/# Q1]\n< SUBACK 9 [128]", 1},
		{"refuse a subscription on its way out", out(Subscribe), Answer(128, ""), "> SUBSCRIBE 9 [$iothub/methods/POST/# Q1]\n< SUBACK 9 [128]", 1},
		{"what has no answer is lost", in(Ping), Answer(500, ""), "> PINGREQ\n< silence" + ping, 1},
		{"cut before", in(PatchReported), Cut(), patchOne + "< close", 1},
		{"cut instead of answering", in(PatchReported), CutAfter(), patchOne + "< close", 2},
		{"cut an answer", out(PatchReported), Cut(), patchOne + "< close", 2},
		{"cut after an answer", out(PatchReported), CutAfter(), patchOne + patchedTo2 + "< close", 2},
		{"freeze on a request", in(Ping), Freeze(), "> PINGREQ\n< silence" + patchOne + "< silence", 1},
		{"freeze on an answer", out(Ping), Freeze(), "> PINGREQ\n< silence" + patchOne + "< silence", 1},
		{"drop a PUBACK", out(Ack), Drop(), "> PUBLISH Q1 9 devices/dev1/messages/events/ x\n< silence", 1},
		{"drop telemetry", in(Telemetry), Drop(), "> PUBLISH Q1 9 devices/dev1/messages/events/ x\n< silence", 1},
		{"another device", FromDevice("dev2", Ping), Drop(), ping, 1},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				c := login(t, h, addDevice(t, h, "dev1"))
				c.play(subscribed)
				h.Intercept(tt.match, tt.do)
				c.play(tt.script)
				if got := twinOf(t, h, "dev1").Reported.Version; got != tt.want {
					t.Errorf("reported version: got %d, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestInterceptLogin(t *testing.T) {
	tests := []struct {
		desc   string
		match  func(Message) bool
		do     Action
		script string
	}{
		{"throttled", FromDevice("dev1", Connect), Fail(429001), "< CONNACK sp=0 rc=3\n< close"},
		{"return code", FromDevice("dev1", Connect), Answer(4, ""), "< CONNACK sp=0 rc=4\n< close"},
		{"unauthorized", FromDevice("dev1", Connect), Fail(401003), "< CONNACK sp=0 rc=5\n< close"},
		{"no answer", FromDevice("dev1", Connect), Drop(), "< silence"},
		{"no answer, on its way out", FromHub("dev1", Connect), Drop(), "< silence" + ping},
		{"late", FromDevice("dev1", Connect), Delay(1500 * time.Millisecond), "< silence\n< CONNACK sp=0 rc=0"},
		{"cut", FromDevice("dev1", Connect), Cut(), "< close"},
		{"cut after", FromDevice("dev1", Connect), CutAfter(), "< close"},
		{"cut on its way out", FromHub("dev1", Connect), Cut(), "< close"},
		{"freeze", FromDevice("dev1", Connect), Freeze(), "< silence"},
		{"refused on its way out", FromHub("dev1", Connect), Answer(3, ""), "< CONNACK sp=0 rc=3\n< close"},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := New(t, nil)
				d := addDevice(t, h, "dev1")
				h.Intercept(tt.match, tt.do)
				c := open(t, h)
				c.send(hello(t, h, d).bytes())
				c.play(tt.script)
				_ = c.conn.Close()
				login(t, h, d).play(ping) // spent: the next is well
			})
		})
	}
}

// A patch that the hub took but performs only after its connection has ended,
// and after the next one's GET.
func TestLateApply(t *testing.T) { bubble(t, testLateApply) }
func testLateApply(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	h.Intercept(FromDevice("dev1", PatchReported), Late(time.Minute))
	c.play(subscribed + patchOne + "> DISCONNECT\n< close")
	c = login(t, h, d)
	c.play(getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"$version":1},"reported":{"$version":1}}`)
	time.Sleep(time.Minute)
	c.play("< silence" + getTwin + `< PUBLISH Q0 $iothub/twin/res/200/?$rid=g {"desired":{"$version":1},"reported":{"a":1,"$version":2}}`)
	// A delayed one is lost with its connection.
	h.Intercept(FromDevice("dev1", PatchReported), Delay(time.Minute))
	c.play(patchOne + "> DISCONNECT\n< close")
	time.Sleep(2 * time.Minute)
	if got := twinOf(t, h, "dev1").Reported.Version; got != 2 {
		t.Errorf("reported version: got %d, want 2", got)
	}
}

func TestInterceptSeesMessages(t *testing.T) { bubble(t, testInterceptSeesMessages) }
func testInterceptSeesMessages(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	var seen []Message
	lock := make(chan struct{}, 1)
	remove := h.Intercept(func(m Message) bool {
		lock <- struct{}{}
		defer func() { <-lock }()
		for i := range m.Body {
			m.Body[i] = 'x' // a copy: it harms nobody
		}
		seen = append(seen, m)
		_, _ = h.Device("dev1").Twin() // no lock is held
		return false
	}, Drop())
	c := login(t, h, d)
	c.play("> SUBSCRIBE 1 [$iothub/twin/res/# Q1, $iothub/twin/PATCH/properties/desired/# Q1]\n< SUBACK 1 [1 1]")
	setDesired(t, h, "dev1", `{"a":1}`)
	c.play(`
		< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"a":1,"$version":2}
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=p&$version=1 {"b":1}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=p&$version=2
	`)
	remove()
	remove() // again does nothing
	c.play(ping)
	synctest.Wait()
	want := []Message{
		{Device: "dev1", Op: Connect}, {Device: "dev1", Op: Connect, FromHub: true},
		{Device: "dev1", Op: Subscribe, Topics: []string{"$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"}},
		{Device: "dev1", Op: Subscribe, FromHub: true},
		{Device: "dev1", Op: Desired, FromHub: true, Version: 2, Body: []byte("xxxxxxxxxxxxxxxxxxxxx")[:len(`{"a":1,"$version":2}`)]},
		{Device: "dev1", Op: PatchReported, RequestID: "p", Version: 1, Body: []byte("xxxxxxx")},
		{Device: "dev1", Op: PatchReported, FromHub: true, RequestID: "p", Status: 204, Version: 2},
	}
	if len(seen) != len(want) {
		t.Fatalf("seen: got %+v, want %+v", seen, want)
	}
	for i, w := range want {
		g := seen[i]
		if g.Device != w.Device || g.Op != w.Op || g.FromHub != w.FromHub || g.RequestID != w.RequestID ||
			g.Status != w.Status || g.Version != w.Version || len(g.Topics) != len(w.Topics) || string(g.Body) != string(w.Body) {
			t.Errorf("message %d: got %+v, want %+v", i, g, w)
		}
	}
}

// Two rules that match take one message each, in the order of registration.
func TestInterceptOrder(t *testing.T) { bubble(t, testInterceptOrder) }
func testInterceptOrder(t *testing.T) {
	h := New(t, nil)
	c := login(t, h, addDevice(t, h, "dev1"))
	c.play(subscribed)
	h.Intercept(FromDevice("", GetTwin), Answer(500, ""))
	h.Intercept(FromDevice("", GetTwin), Answer(501, ""))
	forever := h.Intercept(FromDevice("", GetTwin), Answer(502, "").Times(-1))
	c.play(getTwin + "< PUBLISH Q0 $iothub/twin/res/500/?$rid=g" + getTwin + "< PUBLISH Q0 $iothub/twin/res/501/?$rid=g")
	for range 3 {
		c.play(getTwin + "< PUBLISH Q0 $iothub/twin/res/502/?$rid=g")
	}
	forever()
	c.play(getTwin + gotTwin)
}

func TestOpNames(t *testing.T) {
	for op, want := range map[Op]string{Connect: "Connect", Desired: "Desired", Ack: "Ack", 0: "Op(0)", 99: "Op(99)"} {
		if got := op.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
