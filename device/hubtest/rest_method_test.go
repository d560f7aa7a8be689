package hubtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// later sends a request that takes its time, and returns a function that waits
// for the reply.
func (s service) later(method, path, body string) func() reply {
	done := make(chan reply, 1)
	go func() {
		r, err := s.try(method, path, body)
		if err != nil {
			r = reply{body: err.Error()}
		}
		done <- r
	}()
	return func() reply { return <-done }
}

func TestRESTMethod(t *testing.T) { bubble(t, testRESTMethod) }
func testRESTMethod(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	s := owner(t, h)
	c := login(t, h, d)
	const path = "/twins/dev1/methods"
	r := s.do("POST", path, `{"methodName":"reboot","payload":{"delay":5}}`)
	if got := r.code(t); r.status != 404 || got != "404103" || !strings.Contains(r.body, `Timed out waiting for device to connect.`) || !strings.Contains(r.body, `00:00:00`) {
		t.Errorf("connected, but not subscribed: got %d %s", r.status, r.body)
	}

	c.play(`
		> SUBSCRIBE 1 [$iothub/methods/POST/# Q1]
		< SUBACK 1 [1]
	`)
	for _, test := range []struct{ name, request, told, answer, want string }{
		{"a payload", `{"methodName":"reboot","payload":{"delay":5},"responseTimeoutInSeconds":5}`, `reboot/?$rid=1 {"delay":5}`, `200/?$rid=1 {"ok":true}`, `{"status":200,"payload":{"ok":true}}`},
		{"no payload", `{"methodName":"comp*cmd"}`, `comp*cmd/?$rid=2`, `404/?$rid=2`, `{"status":404,"payload":null}`},
		{"a null payload", `{"methodName":"x","payload":null}`, `x/?$rid=3 null`, `-1/?$rid=3 [1,"a"]`, `{"status":-1,"payload":[1,"a"]}`},
	} {
		wait := s.later("POST", path, test.request)
		c.play("< PUBLISH Q0 $iothub/methods/POST/" + test.told)
		c.play("> PUBLISH Q0 $iothub/methods/res/" + test.answer)
		if r := wait(); r.status != 200 || r.body != test.want {
			t.Errorf("%s: got %d %s, want 200 %s", test.name, r.status, r.body, test.want)
		}
	}
	if got := h.Device("dev1").Stats().methods; got != 3 {
		t.Errorf("Methods: got %d, want 3", got)
	}

	// No answer in time; the late one is dropped.
	began := time.Now()
	r = s.do("POST", path, `{"methodName":"slow","responseTimeoutInSeconds":7}`)
	if got := r.code(t); r.status != 504 || got != "504101" || !strings.Contains(r.body, "Timed out waiting for the response from device.") || !strings.Contains(r.body, "00:00:07") {
		t.Errorf("no answer: got %d %s", r.status, r.body)
	}
	if took := time.Since(began); took != 7*time.Second {
		t.Errorf("no answer: it took %v, want 7s", took)
	}
	began = time.Now()
	s.do("POST", path, `{"methodName":"slow"}`).want(t, "no answer, no time-out given", 504)
	if took := time.Since(began); took != 30*time.Second {
		t.Errorf("no answer, no time-out given: it took %v, want 30s", took)
	}
	c.play(`
		< PUBLISH Q0 $iothub/methods/POST/slow/?$rid=4
		< PUBLISH Q0 $iothub/methods/POST/slow/?$rid=5
		> PUBLISH Q1 9 $iothub/methods/res/200/?$rid=4 {}
		< PUBACK 9
	`)

	// An answer that is no JSON, and a line that ends before the answer.
	wait := s.later("POST", path, `{"methodName":"bad"}`)
	c.play(`
		< PUBLISH Q0 $iothub/methods/POST/bad/?$rid=6
		> PUBLISH Q0 $iothub/methods/res/200/?$rid=6 oops
	`)
	wait().want(t, "an answer that is no JSON", 502)
	wait = s.later("POST", path, `{"methodName":"cut"}`)
	c.play("< PUBLISH Q0 $iothub/methods/POST/cut/?$rid=7")
	if err := h.Device("dev1").Cut(); err != nil {
		t.Fatalf("Cut: %v", err)
	}
	if r := wait(); r.code(t) != "404104" {
		t.Errorf("a line that ended: got %s, want 404104", r.body)
	}

	// Patience: the device comes, and subscribes, within the connect time-out.
	wait = s.later("POST", path, `{"methodName":"late","connectTimeoutInSeconds":60}`)
	time.Sleep(50 * time.Second)
	p := hello(t, h, d)
	p.clean = true
	c = open(t, h)
	c.send(p.bytes())
	c.play(`
		< CONNACK sp=0 rc=0
		> SUBSCRIBE 1 [$iothub/methods/POST/late/# Q1]
		< SUBACK 1 [1]
		< PUBLISH Q0 $iothub/methods/POST/late/?$rid=8
		> PUBLISH Q0 $iothub/methods/res/200/?$rid=8
	`)
	wait().want(t, "a device that came in time", 200)
	began = time.Now()
	r = s.do("POST", path, `{"methodName":"other","connectTimeoutInSeconds":60}`)
	if took := time.Since(began); r.code(t) != "404103" || took != time.Minute || !strings.Contains(r.body, "00:01:00") {
		t.Errorf("subscribed to another method alone: got %s after %v", r.body, took)
	}
	// A topic without a status ends the connection.
	c.play(`
		> PUBLISH Q0 $iothub/methods/res/ok/?$rid=8
		< close
	`)
}

func TestRESTModuleMethod(t *testing.T) { bubble(t, testRESTModuleMethod) }
func testRESTModuleMethod(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	m, err := h.AddDevice("dev1/m")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	c := login(t, h, m)
	c.play(`
		> SUBSCRIBE 1 [$iothub/methods/POST/# Q0]
		< SUBACK 1 [0]
	`)
	wait := owner(t, h).later("POST", "/twins/dev1/modules/m/methods", `{"methodName":"x"}`)
	c.play(`
		< PUBLISH Q0 $iothub/methods/POST/x/?$rid=1
		> PUBLISH Q0 $iothub/methods/res/200/?$rid=1 7
	`)
	if r := wait(); r.body != `{"status":200,"payload":7}` {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

func TestCall(t *testing.T) { bubble(t, testCall) }
func testCall(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	other := login(t, h, addDevice(t, h, "dev2"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status := func(err error) int {
		var s *transport.StatusError
		if errors.As(err, &s) {
			return s.Code
		}
		return 0
	}
	if _, _, err := h.Device("nobody").Call(ctx, "x", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody: got %v, want ErrUnknown", err)
	}
	if _, _, err := h.Device("dev1").Call(ctx, "a/b", ""); status(err) != 400004 {
		t.Errorf("a slash: got %v, want 400004", err)
	}
	if _, _, err := h.Device("dev1").Call(ctx, "x", "{"); status(err) != 400006 {
		t.Errorf("no JSON: got %v, want 400006", err)
	}
	if _, _, err := h.Device("dev1").Call(ctx, "x", ""); status(err) != 404103 {
		t.Errorf("offline: got %v, want 404103", err)
	}
	c := login(t, h, d)
	c.play(`
		> SUBSCRIBE 1 [$iothub/methods/POST/# Q1]
		< SUBACK 1 [1]
	`)
	type outcome struct {
		status  int
		payload []byte
		err     error
	}
	done := make(chan outcome, 1)
	call := func(ctx context.Context) {
		go func() {
			status, payload, err := h.Device("dev1").Call(ctx, "x", `{"a":1}`)
			done <- outcome{status, payload, err}
		}()
	}
	call(ctx)
	c.play(`< PUBLISH Q0 $iothub/methods/POST/x/?$rid=1 {"a":1}`)
	other.play(`> PUBLISH Q0 $iothub/methods/res/666/?$rid=1 {}`) // not its business
	synctest.Wait()
	c.play(`> PUBLISH Q0 $iothub/methods/res/201/?$rid=1 {"b":2}`)
	if got := <-done; got.err != nil || got.status != 201 || string(got.payload) != `{"b":2}` {
		t.Errorf("got %d %s, %v; want 201", got.status, got.payload, got.err)
	}
	short, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	call(short)
	if got := <-done; !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("no answer: got %v, want DeadlineExceeded", got.err)
	}
	c.play(`< PUBLISH Q0 $iothub/methods/POST/x/?$rid=2 {"a":1}`)

	// Intercept sees both ways.
	h.Intercept(FromHub("dev1", Method), Answer(0, `{"a":2}`))
	var seen Message
	h.Intercept(func(m Message) bool {
		if m.Op == MethodAnswer {
			seen = m
		}
		return false
	}, Pass())
	call(ctx)
	c.play(`
		< PUBLISH Q0 $iothub/methods/POST/x/?$rid=3 {"a":2}
		> PUBLISH Q0 $iothub/methods/res/200/?$rid=3
	`)
	if got := <-done; got.err != nil || seen.Status != 200 || seen.RequestID != "3" {
		t.Errorf("got %v, seen %+v", got.err, seen)
	}
	call(ctx)
	synctest.Wait()
	_ = h.Close()
	if got := <-done; got.err == nil {
		t.Errorf("the hub closed: got no error")
	}
}
