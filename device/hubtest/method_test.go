package hubtest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A callee is a device that hears its calls and answers them by hand, over
// either protocol.
type callee interface {
	hear() heardCall // the next call
	answer(id string, status int, body string) error
	silent(d time.Duration) bool // no call comes for so long
}

// heardCall is a call as it reached the device.
type heardCall struct{ id, method, body string }

// callees bring a device online; the function they return has it listen to
// methods. What both do with them is one table's.
func callees() map[string]func(*testing.T, *Hub, Device) func() callee {
	return map[string]func(*testing.T, *Hub, Device) func() callee{
		"MQTT": func(t *testing.T, h *Hub, d Device) func() callee {
			c := login(t, h, d)
			return func() callee {
				c.play(`
					> SUBSCRIBE 1 [$iothub/methods/POST/# Q0]
					< SUBACK 1 [0]
				`)
				return mqttCallee{c}
			}
		},
		"AMQP": func(t *testing.T, h *Hub, d Device) func() callee {
			c := openAMQP(t, h)
			c.admit(d, time.Now())
			c.twin(d)
			return func() callee { return c.methods(d) }
		},
	}
}

type mqttCallee struct{ *raw }

func (c mqttCallee) hear() heardCall {
	c.t.Helper()
	packet := c.receiveIn(patience)
	rest, ok := strings.CutPrefix(packet, "PUBLISH Q0 $iothub/methods/POST/")
	topic, body, _ := strings.Cut(rest, " ")
	method, id, ok2 := strings.Cut(topic, "/?$rid=")
	if !ok || !ok2 {
		c.t.Fatalf("got %q, want a call", packet)
	}
	return heardCall{id, method, body}
}

func (c mqttCallee) answer(id string, status int, body string) error {
	_, err := c.conn.Write(packetBytes(c.t, fmt.Sprintf("PUBLISH Q0 $iothub/methods/res/%d/?$rid=%s %s", status, id, body)))
	return err
}

func (c mqttCallee) silent(d time.Duration) bool { return c.receiveIn(d) == "silence" }

// target is a device to be called, and its path in REST.
type target struct {
	h    *Hub
	d    Device
	s    service
	path string
}

// newTarget is one on a hub of its own: dev1, or its module m.
func newTarget(t *testing.T, module bool) target {
	t.Helper()
	h := New(t, nil)
	x := target{h: h, d: addDevice(t, h, "dev1"), s: owner(t, h), path: "/twins/dev1/methods"}
	if module {
		x.d = must[Device](t, "AddModule")(h.AddDevice("dev1/m"))
		x.path = "/twins/dev1/modules/m/methods"
	}
	return x
}

// call calls a method; the function returned waits for what comes of it: the
// answer's body, or the code of an error.
func (x target) call(rest string) func() string {
	wait := x.s.later("POST", x.path, `{"methodName":"reboot"`+rest+`}`)
	return func() string {
		r := wait()
		if r.status == 200 {
			return r.body
		}
		return r.code(x.s.t)
	}
}

func TestMethodAnswers(t *testing.T) { bubble(t, testMethodAnswers) }
func testMethodAnswers(t *testing.T) {
	text := func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }
	for protocol, online := range callees() {
		for _, module := range []bool{false, true} {
			x := newTarget(t, module)
			c := online(t, x.h, x.d)()
			ids := map[string]bool{}
			for _, test := range []struct {
				desc, call, heard string
				status            int
				answer, want      string
			}{
				{"a payload", `,"payload":{"delay":5}`, `{"delay":5}`, 200, `{"ok":true}`, `{"status":200,"payload":{"ok":true}}`},
				{"no payload", ``, ``, 404, ``, `{"status":404,"payload":null}`},
				{"null", `,"payload":null`, `null`, 0, `null`, `{"status":0,"payload":null}`},
				{"a status below 0", `,"payload":1`, `1`, -1, `[1,"a"]`, `{"status":-1,"payload":[1,"a"]}`},
				{"no JSON", `,"payload":2`, `2`, 200, `oops`, "502000"},
				{"half of JSON", `,"payload":2`, `2`, 200, `{"a":`, "502000"},
				{"as much as is allowed", `,"payload":` + text(maxPayload), text(maxPayload), 200, text(maxPayload), `{"status":200,"payload":` + text(maxPayload) + `}`},
				{"too much", `,"payload":3`, `3`, 200, text(maxPayload + 1), "502000"},
			} {
				what := fmt.Sprintf("%s over %s, module %v", test.desc, protocol, module)
				wait := x.call(test.call)
				call := c.hear()
				if call.method != "reboot" || call.body != test.heard {
					t.Errorf("%s: the device heard %s %.100q, want reboot %.100q", what, call.method, call.body, test.heard)
				}
				if ids[call.id] {
					t.Errorf("%s: the id %s comes again", what, call.id)
				}
				ids[call.id] = true
				if err := c.answer(call.id, test.status, test.answer); err != nil {
					t.Errorf("%s: answer: %v", what, err)
				}
				if got := wait(); got != test.want {
					t.Errorf("%s: got %.200s, want %.200s", what, got, test.want)
				}
			}
			if got := x.h.Device(joinID(x.d.Identity.DeviceID, x.d.Identity.ModuleID)).Stats().methods; got != len(ids) {
				t.Errorf("over %s: Methods: got %d, want %d", protocol, got, len(ids))
			}
		}
	}
}

func TestMethodTimes(t *testing.T) { bubble(t, testMethodTimes) }
func testMethodTimes(t *testing.T) {
	for protocol, online := range callees() {
		x := newTarget(t, false)
		took := func(what, call, want string, limit time.Duration) {
			t.Helper()
			start := time.Now()
			if got := x.call(call)(); got != want || time.Since(start) != limit {
				t.Errorf("%s over %s: got %s after %v, want %s after %v", what, protocol, got, time.Since(start), want, limit)
			}
		}
		took("offline", ``, "404103", 0)
		took("offline, with patience", `,"connectTimeoutInSeconds":60`, "404103", time.Minute)
		listen := online(t, x.h, x.d)
		took("online, not listening", ``, "404103", 0)

		wait := x.call(`,"connectTimeoutInSeconds":60`)
		time.Sleep(50 * time.Second)
		c := listen()
		if err := c.answer(c.hear().id, 200, "1"); err != nil {
			t.Fatalf("answer over %s: %v", protocol, err)
		}
		if got := wait(); got != `{"status":200,"payload":1}` {
			t.Errorf("a device that came to listen in time over %s: got %s", protocol, got)
		}

		took("no answer", `,"responseTimeoutInSeconds":7`, "504101", 7*time.Second)
		took("no answer, no time-out given", ``, "504101", 30*time.Second)
		late := []string{c.hear().id, c.hear().id}
		wait = x.call(``)
		now := c.hear().id
		for i, id := range append(late, now) {
			if err := c.answer(id, i, ""); err != nil {
				t.Fatalf("answer over %s: %v", protocol, err)
			}
		}
		if got := wait(); got != `{"status":2,"payload":null}` {
			t.Errorf("late answers over %s: got %s, want the one after them", protocol, got)
		}
	}
}

func TestMethodLineEnds(t *testing.T) { bubble(t, testMethodLineEnds) }
func testMethodLineEnds(t *testing.T) {
	for protocol, online := range callees() {
		for desc, test := range map[string]struct {
			end   func(x target) error
			after string // what a call comes to then
		}{
			"cut":      {func(x target) error { return x.h.Device("dev1").Cut() }, "404103"},
			"down":     {func(x target) error { return x.h.Device("dev1").SetLine(false) }, "404103"},
			"disabled": {func(x target) error { return x.h.Device("dev1").SetEnabled(false) }, "404103"},
			"removed":  {func(x target) error { return x.h.Device("dev1").Remove() }, "404001"},
			"taken over": {func(x target) error {
				openAMQP(t, x.h).admit(x.d, time.Now())
				return nil
			}, "404103"},
		} {
			x := newTarget(t, false)
			c := online(t, x.h, x.d)()
			wait := x.call(``)
			c.hear()
			start := time.Now()
			if err := test.end(x); err != nil {
				t.Fatalf("%s over %s: %v", desc, protocol, err)
			}
			if got := wait(); got != "404104" || time.Since(start) != 0 {
				t.Errorf("%s over %s while it waits: got %s after %v, want 404104 at once", desc, protocol, got, time.Since(start))
			}
			if got := x.call(``)(); got != test.after {
				t.Errorf("%s over %s: the next call got %s, want %s", desc, protocol, got, test.after)
			}
		}
	}
}

func TestMethodIntercept(t *testing.T) { bubble(t, testMethodIntercept) }
func testMethodIntercept(t *testing.T) {
	const answered = `{"status":200,"payload":{"b":2}}`
	for protocol, online := range callees() {
		for _, test := range []struct {
			desc  string
			match func(Message) bool
			do    Action
			heard []string
			want  string
			took  time.Duration
		}{
			{"a call dropped", FromHub("dev1", Method), Drop(), nil, "504101", 30 * time.Second},
			{"a call doubled", FromHub("dev1", Method), Duplicate(), []string{"1", "1"}, answered, 0},
			{"a call delayed", FromHub("dev1", Method), Delay(5 * time.Second), []string{"1"}, answered, 5 * time.Second},
			{"a call reworded", FromHub("dev1", Method), Answer(0, `{"a":2}`), []string{`{"a":2}`}, answered, 0},
			{"a cut before the call", FromHub("dev1", Method), Cut(), nil, "404104", 0},
			{"a cut after the call", FromHub("dev1", Method), CutAfter(), nil, "404104", 0}, // it may be lost with the line
			{"an answer dropped", FromDevice("dev1", MethodAnswer), Drop(), []string{"1"}, "504101", 30 * time.Second},
			{"an answer answered", FromDevice("dev1", MethodAnswer), Answer(500, ""), []string{"1"}, "504101", 30 * time.Second},
			{"an answer doubled", FromDevice("dev1", MethodAnswer), Duplicate(), []string{"1"}, answered, 0},
			{"an answer delayed", FromDevice("dev1", MethodAnswer), Delay(5 * time.Second), []string{"1"}, answered, 5 * time.Second},
			{"a cut before the answer", FromDevice("dev1", MethodAnswer), Cut(), []string{"1"}, "404104", 0},
			{"a cut after the answer", FromDevice("dev1", MethodAnswer), CutAfter(), []string{"1"}, answered, 0},
		} {
			x := newTarget(t, false)
			c := online(t, x.h, x.d)()
			x.h.Intercept(test.match, test.do)
			start := time.Now()
			wait := x.call(`,"payload":1`)
			var id string
			for _, want := range test.heard {
				call := c.hear()
				if call.body != want {
					t.Errorf("%s over %s: the device heard %s, want %s", test.desc, protocol, call.body, want)
				}
				id = call.id
			}
			if id != "" {
				_ = c.answer(id, 200, `{"b":2}`) // the line may be cut
			}
			if got := wait(); got != test.want || time.Since(start) != test.took {
				t.Errorf("%s over %s: got %s after %v, want %s after %v", test.desc, protocol, got, time.Since(start), test.want, test.took)
			}
		}

		x := newTarget(t, false)
		c := online(t, x.h, x.d)()
		var seen []Message
		x.h.Intercept(func(m Message) bool {
			if m.Op == Method || m.Op == MethodAnswer {
				seen = append(seen, m)
			}
			return false
		}, Pass())
		wait := x.call(`,"payload":1`)
		id := c.hear().id
		if err := c.answer(id, 204, "2"); err != nil {
			t.Fatalf("answer over %s: %v", protocol, err)
		}
		wait()
		if got, want := fmt.Sprintf("%+v", seen), fmt.Sprintf("%+v", []Message{
			{Device: "dev1", Op: Method, FromHub: true, RequestID: id, Method: "reboot", Body: []byte("1")},
			{Device: "dev1", Op: MethodAnswer, RequestID: id, Status: 204, Body: []byte("2")},
		}); got != want {
			t.Errorf("Intercept over %s saw %s, want %s", protocol, got, want)
		}
		if !c.silent(time.Minute) {
			t.Errorf("over %s more came than the calls", protocol)
		}
	}
}
