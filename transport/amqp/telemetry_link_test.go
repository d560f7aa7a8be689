package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// A link that the hub refuses is tried again for the next message. The twin goes on.
func TestTelemetryLinkRefused(t *testing.T) { both(t, testTelemetryLinkRefused) }
func testTelemetryLinkRefused(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	getTwin(t, c)
	for condition, want := range map[string]string{
		"amqp:unauthorized-access":     "a:401 b:401",
		"amqp:resource-limit-exceeded": "a:429 b:429",
		"amqp:not-allowed":             "a:503 b:503", // it says nothing of the messages
	} {
		hub.call(func() {
			hub.refuse = &amqpwire.Error{Condition: condition}
			tell(t, c, "a", "b")
		})
		wantText(t, condition, hear(t, c, 2), want)
		getTwin(t, c)
	}
	hub.call(func() { hub.refuse = nil })
	tell(t, c, "c")
	wantText(t, "later", hear(t, c, 1), "c")
	hub.call(func() {
		if len(hub.attached) != 4 {
			t.Errorf("%d links were tried; want 4", len(hub.attached))
		}
	})
}

// A link that the hub ends is attached again for the next message.
func TestTelemetryLinkDetached(t *testing.T) { both(t, testTelemetryLinkDetached) }
func testTelemetryLinkDetached(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	detach := func(err *amqpwire.Error) {
		hub.call(func() { hub.attached[len(hub.attached)-1].Link.Detach(err) })
	}
	busy := &amqpwire.Error{Condition: "amqp:link:detach-forced", Description: "Server Busy. Please retry operation"}
	tell(t, c, "a")
	wantText(t, "at first", hear(t, c, 1), "a")

	detach(busy) // while nothing is sent
	synctest.Wait()
	tell(t, c, "b")
	wantText(t, "after an idle link has ended", hear(t, c, 1), "b")

	hub.call(func() { hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return nil } })
	tell(t, c, "c")
	synctest.Wait()
	tell(t, c, "d")
	detach(busy) // under way
	wantText(t, "under way", hear(t, c, 2), "c:503 d:503")
	getTwin(t, c)

	tell(t, c, "e")
	synctest.Wait()
	detach(nil)
	wantText(t, "without a reason", hear(t, c, 1), "e:503")

	tell(t, c, "f")
	synctest.Wait()
	detach(&amqpwire.Error{Condition: "amqp:link:message-size-exceeded"})
	wantText(t, "for one message", hear(t, c, 1), "f:413")

	hub.call(func() { hub.hold = true })
	tell(t, c, "g")
	synctest.Wait()
	detach(&amqpwire.Error{Condition: "com.microsoft:device-container-throttled"})
	wantText(t, "while it waits for credit", hear(t, c, 1), "g:429")

	hub.call(func() {
		hub.hold, hub.held = false, nil
		hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return &amqpwire.Outcome{State: amqpwire.Accepted} }
	})
	tell(t, c, "h")
	wantText(t, "in the end", hear(t, c, 1), "h")
}

// What the link does not take is refused alone; the limits of a batch hold.
func TestTelemetrySizes(t *testing.T) { bubble(t, testTelemetrySizes) }
func testTelemetrySizes(t *testing.T) {
	hub, c := meetEvents(t, false)
	err := c.Send(t.Context(), event("x", strings.Repeat("x", transport.MaxMessage)))
	wantError(t, "Send", err, transport.ErrTooLarge)
	hub.call(func() { hub.hold = true })
	big := strings.Repeat("x", 100<<10)
	for _, id := range []string{"a", "b", "c", "d"} {
		if err := c.Send(t.Context(), event(id, big)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Send(t.Context(), event("e", strings.Repeat("x", transport.MaxMessage-1))); err != nil {
		t.Fatal(err)
	}
	hub.call(func() { hub.hold = false })
	wantText(t, "answers", hear(t, c, 5), "a b c d e")
	hub.call(func() {
		var sizes []int
		for _, d := range hub.got {
			sizes = append(sizes, len(bodies(t, d)))
			if d.Format != 0 && len(d.Payload) > transport.MaxMessage {
				t.Errorf("a batch of %d bytes", len(d.Payload))
			}
		}
		wantText(t, "messages in each transfer", fmt.Sprint(sizes), "[2 2 1]")
	})
}

func TestTelemetryTooLargeForTheLink(t *testing.T) { bubble(t, testTelemetryTooLargeForTheLink) }
func testTelemetryTooLargeForTheLink(t *testing.T) {
	hub, c := meetEvents(t, false)
	hub.call(func() { hub.max, hub.hold = "\x80\x00\x00\x00\x00\x00\x00\x04\x00", true }) // 1 KB
	for _, f := range []transport.Frame{event("a"), event("b", strings.Repeat("x", 900)), event("c", strings.Repeat("x", 1100)), event("d"), event("e")} {
		if err := c.Send(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	hub.call(func() { hub.hold = false })
	wantText(t, "answers", hear(t, c, 5), "a b c:413 d e")
}

// Close ends what waits for the hub, and no goroutine stays.
func TestTelemetryClose(t *testing.T) { both(t, testTelemetryClose) }
func testTelemetryClose(t *testing.T, pooled bool) {
	for _, hold := range []bool{true, false} { // without credit, and without an answer
		hub, c := meetEvents(t, pooled)
		hub.call(func() {
			hub.hold = hold
			hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return nil }
		})
		tell(t, c, "a")
		synctest.Wait()
		tell(t, c, "b", "c")
		start := time.Now()
		closeConn(t, c)
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		wantError(t, "Send", c.Send(t.Context(), event("d")), transport.ErrClosed)
		<-hub.done // and the bubble ends only when every goroutine has
	}
}

// The end of the session, or of the line, ends the connection with telemetry under
// way.
func TestTelemetryEndsWithTheLine(t *testing.T) { both(t, testTelemetryEndsWithTheLine) }
func testTelemetryEndsWithTheLine(t *testing.T, pooled bool) {
	for desc, end := range map[string]func(h *eventHub){
		"END":   func(h *eventHub) { h.got[0].Link.Session().End(nil) },
		"CLOSE": func(h *eventHub) { h.engine.Close(nil) },
		"a cut": func(h *eventHub) { _ = h.stream.Close() },
	} {
		hub, c := meetEvents(t, pooled)
		hub.call(func() { hub.judge = func(*amqpwire.Delivery) *amqpwire.Outcome { return nil } })
		tell(t, c, "a")
		synctest.Wait()
		hub.call(func() { end(hub) })
		f, err := receiveIn(t, c, time.Minute)
		if errors.Is(err, context.DeadlineExceeded) || err == nil {
			t.Errorf("%s: got %+v, %v; want the end", desc, f, err)
		}
		closeConn(t, c)
	}
}

// On a line that takes nothing at most one transfer of telemetry is ahead of a
// request, however many devices have some.
func TestTelemetryAheadOfRequests(t *testing.T) { bubble(t, testTelemetryAheadOfRequests) }
func testTelemetryAheadOfRequests(t *testing.T) {
	hub := hubtest.New(t, &hubtest.Options{Logger: discard()})
	var stalled atomic.Bool
	p, _ := tapped(hub, func(c *tap) { c.stall = stalled.Load })
	conns := join(t, p, addMany(t, hub, 5)...)
	for _, c := range conns {
		tell(t, c, "first") // attaches the link
		wantText(t, "answer", hear(t, c, 1), "first")
	}
	stalled.Store(true)
	for _, c := range conns {
		for _, id := range []string{"a", "b"} {
			if err := c.Send(t.Context(), event(id, strings.Repeat("x", 250<<10))); err != nil {
				t.Fatal(err)
			}
		}
	}
	synctest.Wait()
	if n := p.Unwritten(); n < 250<<10 || n > transport.MaxMessage+4<<10 {
		t.Errorf("%d bytes wait to be written; want one transfer", n)
	}
	for _, c := range conns {
		closeConn(t, c)
	}
}
