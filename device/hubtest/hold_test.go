package hubtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHoldTelemetryOverMQTT(t *testing.T) { bubble(t, testHoldTelemetryOverMQTT) }
func testHoldTelemetryOverMQTT(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := login(t, h, d)
	hold(t, d, true)
	c.play(`> PUBLISH Q1 1 devices/dev1/messages/events/ a
		> PUBLISH Q1 2 devices/dev1/messages/events/ b
		< silence`)
	if got := bodies(kept(t, d)); got != "a b" {
		t.Errorf("kept %q", got)
	}
	hold(t, d, false)
	c.play("< PUBACK 1\n< PUBACK 2\n> PUBLISH Q1 3 devices/dev1/messages/events/ c\n< PUBACK 3")
	if err := h.Device("nobody").HoldTelemetry(true); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: got %v", err)
	}
	hold(t, d, true)
	for n := range maxHeld + 1 {
		c.send(packetBytes(t, fmt.Sprintf("PUBLISH Q1 %d devices/dev1/messages/events/ x", n+1)))
	}
	if got := c.receive(); got != "close" {
		t.Errorf("more than are held: got %s", got)
	}
}

func hold(t testing.TB, d Device, on bool) {
	t.Helper()
	if err := d.HoldTelemetry(on); err != nil {
		t.Fatalf("HoldTelemetry: %v", err)
	}
}

func TestHoldTelemetryOverAMQP(t *testing.T) { bubble(t, testHoldTelemetryOverAMQP) }
func testHoldTelemetryOverAMQP(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := openAMQP(t, h)
	c.admit(d, time.Now())
	s := c.events("/devices/dev1/messages/events")
	results := make(chan string, 2)
	// Sent before the hub withholds credit, and settled after.
	h.Intercept(FromDevice("dev1", Telemetry), Delay(time.Millisecond))
	go func() { results <- "first " + outcome(t, s, data("", "1")) }()
	synctest.Wait()
	hold(t, d, true)
	synctest.Wait()
	go func() { results <- "second " + outcome(t, s, data("", "2")) }()
	time.Sleep(10 * time.Millisecond)
	if got := bodies(kept(t, d)); got != "1" || len(results) != 0 {
		t.Errorf("without credit: kept %q, %d settled", got, len(results))
	}
	late := c.events("/devices/dev1/messages/events")
	// go-amqp has a condition of its own for what waited for credit in vain.
	if got := outcome(t, late, data("", "3")); got != "amqp:link:transfer-limit-exceeded" || bodies(kept(t, d)) != "1" {
		t.Errorf("a link without credit: %s", got)
	}
	<-results // both had a second
	<-results
	hold(t, d, false)
	if got := outcome(t, late, data("", "4")); got != "accepted" || !strings.HasSuffix(bodies(kept(t, d)), "4") {
		t.Errorf("with credit: %s, kept %q", got, bodies(kept(t, d)))
	}
}
