package hubtest

import (
	"testing"
	"time"
)

func TestRESTFaults(t *testing.T) { bubble(t, testRESTFaults) }
func testRESTFaults(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	s := owner(t, h)
	const patch = `{"tags":{"a":1}}`
	version0 := func() int64 { return twinOf(t, h, "dev1").Version }

	h.Intercept(FromService("GET /twins/dev1"), Fail(429001).RetryAfter(1500*time.Millisecond))
	s.do("PATCH", "/twins/dev1", patch).want(t, "another request", 200)
	r := s.do("GET", "/twins/dev1", "")
	if got := r.code(t); r.status != 429 || got != "ThrottlingException" || r.header.Get("Retry-After") != "2" {
		t.Errorf("throttled: got %d %s, Retry-After %q", r.status, r.body, r.header.Get("Retry-After"))
	}
	s.do("GET", "/twins/dev1", "").want(t, "the next request", 200)

	h.Intercept(FromService(""), Fail(503001).Times(2))
	r = s.do("POST", "/twins/dev1/methods", `{"methodName":"x"}`)
	if got := r.code(t); r.status != 503 || got != "503001" { // the dialect of methods
		t.Errorf("unavailable: got %d %s", r.status, r.body)
	}
	s.do("DELETE", "/devices/dev1", "").want(t, "unavailable again", 503)
	h.Intercept(FromService(""), Answer(418, "teapot"))
	if r := s.do("GET", "/twins/dev1", ""); r.status != 418 || r.body != "teapot" {
		t.Errorf("Answer: got %d %s", r.status, r.body)
	}
	h.Intercept(FromService(""), Answer(99, ""))
	s.do("GET", "/twins/dev1", "").want(t, "a status that HTTP has not", 500)

	// The match sees who and what.
	var seen Message
	h.Intercept(func(m Message) bool {
		seen = m
		return false
	}, Pass())
	s.do("PATCH", "/twins/dev1/modules/a%20b", patch).want(t, "a module of nobody", 404)
	if seen.Op != Rest || seen.Device != "dev1/a b" || seen.Method != "PATCH /twins/dev1/modules/a b" || string(seen.Body) != patch {
		t.Errorf("seen: got %+v", seen)
	}

	before := version0()
	h.Intercept(FromService(""), Cut())
	if _, err := s.try("PATCH", "/twins/dev1", patch); err == nil || version0() != before {
		t.Errorf("Cut: got %v, version %d; want an error and version %d", err, version0(), before)
	}
	h.Intercept(FromService(""), CutAfter())
	if _, err := s.try("PATCH", "/twins/dev1", patch); err == nil || version0() != before+1 {
		t.Errorf("CutAfter: got %v, version %d; want an error and version %d", err, version0(), before+1)
	}
	h.Intercept(FromService(""), Duplicate())
	if s.do("PATCH", "/twins/dev1", patch).want(t, "Duplicate", 200); version0() != before+3 {
		t.Errorf("Duplicate: got version %d, want %d", version0(), before+3)
	}
	for _, act := range []Action{Delay(20 * time.Second), Late(20 * time.Second)} {
		h.Intercept(FromService(""), act)
		began := time.Now()
		s.do("GET", "/twins/dev1", "").want(t, "delayed", 200)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("delayed: took %v, want 20s", took)
		}
	}
	for _, act := range []Action{Drop(), Freeze()} {
		h.Intercept(FromService(""), act)
		began := time.Now()
		if r, err := s.try("PATCH", "/twins/dev1", patch); err == nil || time.Since(began) < time.Minute || version0() != before+3 {
			t.Errorf("dropped: got %+v, %v after %v", r, err, time.Since(began))
		}
	}
	// Everyone's line is a service's, too.
	if err := h.Stall(true); err != nil {
		t.Fatalf("Stall: %v", err)
	}
	wait := s.later("GET", "/twins/dev1", "")
	time.Sleep(time.Second)
	_ = h.Stall(false)
	wait().want(t, "after a stall", 200)
	_ = h.SetLine(false)
	if _, err := s.try("GET", "/twins/dev1", ""); err == nil {
		t.Errorf("line down: got no error")
	}
}
