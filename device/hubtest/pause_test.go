package hubtest

import (
	"testing"
	"time"
)

// TestAMQPPause holds that a pause comes in the words of DPS, with every kind of
// answer that AMQP has.
func TestAMQPPause(t *testing.T) { bubble(t, testAMQPPause) }
func testAMQPPause(t *testing.T) {
	h, d := amqpHub(t)
	c := openAMQP(t, h)
	c.attachCBS()
	h.Intercept(FromDevice("dev1", Connect), Fail(429001).RetryAfter(2500*time.Millisecond))
	if status, _ := c.putToken(audience(d), tokenOf(t, d, time.Now(), time.Hour), "put"); status != 429 || c.pause != int32(3) {
		t.Errorf("put-token: got %d with a pause of %v, want 429 and 3", status, c.pause)
	}
	c.admit(d, time.Now())
	if c.pause != nil {
		t.Errorf("a good put-token asks for a pause of %v", c.pause)
	}
	l := c.twin(d)
	for _, test := range []struct {
		desc string
		act  Action
		want any
	}{
		{"with a pause", Fail(429001).RetryAfter(7 * time.Second), int32(7)},
		{"without", Fail(429001), nil},
		{"any answer", Answer(503, "").RetryAfter(time.Nanosecond), int32(1)},
	} {
		h.Intercept(FromDevice("dev1", GetTwin), test.act)
		l.send(twinMessage("g", "", "operation", "GET"))
		if got := l.receive().ApplicationProperties["retry-after"]; got != test.want {
			t.Errorf("%s: got retry-after %v, want %v", test.desc, got, test.want)
		}
	}
}
