package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/transport"
)

// openBoth asks for both features of the twin, the one right behind the other.
func openBoth(t *testing.T, c transport.Conn, ids ...string) {
	t.Helper()
	for i, feature := range []transport.Feature{transport.TwinResponses, transport.DesiredChanges} {
		if err := c.Send(t.Context(), transport.Frame{Kind: transport.Open, Feature: feature, ID: ids[i]}); err != nil {
			t.Fatalf("Open %s: %v", feature, err)
		}
	}
}

// wantTwinLinks wants so many links for the twin to have been tried.
func wantTwinLinks(t *testing.T, hub *eventHub, when string, want int) {
	t.Helper()
	hub.call(func() {
		if n := len(hub.twin); n != want {
			t.Errorf("%s: %d links for the twin were tried; want %d", when, n, want)
		}
	})
}

// refusing refuses the twin's link of one direction.
func refusing(hub *eventHub, receiving bool, condition string) {
	hub.call(func() {
		hub.onTwin = func(ev *amqpwire.Attaching) bool {
			if (ev.Source != "") != receiving {
				return false
			}
			ev.Link.Refuse(&amqpwire.Error{Condition: condition})
			return true
		}
	})
}

// What is not used costs nothing: the twin's links come with its first use, and
// what is sent right behind that waits for them.
func TestTwinLinksWhenUsed(t *testing.T) { both(t, testTwinLinksWhenUsed) }
func testTwinLinksWhenUsed(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	tell(t, c, "a", "b")
	wantText(t, "telemetry", hear(t, c, 2), "a b")
	time.Sleep(30 * time.Minute)
	wantTwinLinks(t, hub, "with telemetry alone", 0)
	openBoth(t, c, "1", "2")
	wantText(t, "at first", hear(t, c, 2), "1 2")
	wantTwinLinks(t, hub, "once it is used", 2)
	hub.call(func() {
		model, pair := hub.twin[0].Properties["com.microsoft:model-id"], hub.twin[0].Properties["com.microsoft:channel-correlation-id"]
		if model != "dtmi:com:example:Fan;1" || pair == "" || pair != hub.twin[1].Properties["com.microsoft:channel-correlation-id"] {
			t.Errorf("the links say %q and %q", hub.twin[0].Properties, hub.twin[1].Properties)
		}
	})
	openBoth(t, c, "3", "4")
	wantText(t, "again", hear(t, c, 2), "3 4")
	getTwin(t, c)
	wantTwinLinks(t, hub, "later", 2)
	closeConn(t, c)

	// Close of the feature needs no links, and a request is a use.
	hub, c = meetEvents(t, pooled)
	if err := c.Send(t.Context(), transport.Frame{Kind: transport.Close, Feature: transport.TwinResponses, ID: "1"}); err != nil {
		t.Fatal(err)
	}
	wantText(t, "Close", hear(t, c, 1), "1")
	wantTwinLinks(t, hub, "after Close", 0)
	getTwin(t, c)
	wantTwinLinks(t, hub, "after a request", 2)
}

// A hub that refuses the twin's links answers what waits for them. The connection
// and telemetry live on, and the next use tries again.
func TestTwinRefused(t *testing.T) { both(t, testTwinRefused) }
func testTwinRefused(t *testing.T, pooled bool) {
	for condition, status := range map[string]int{
		"amqp:not-allowed": 400, "amqp:not-implemented": 400, "amqp:internal-error": 503,
		"amqp:resource-limit-exceeded": 429, "com.microsoft:unheard-of": 503,
	} {
		for _, receiving := range []bool{false, true} {
			hub, c := meetEvents(t, pooled)
			refusing(hub, receiving, condition)
			want := fmt.Sprintf("1:%d 2:%d g:%d", status, status, status)
			for range 20 {
				openBoth(t, c, "1", "2")
				if err := c.Send(t.Context(), get("g")); err != nil {
					t.Fatal(err)
				}
				wantText(t, condition, hear(t, c, 3), want)
			}
			tell(t, c, "a")
			wantText(t, condition+": telemetry", hear(t, c, 1), "a")
			hub.call(func() { hub.onTwin = nil })
			openBoth(t, c, "3", "4")
			wantText(t, condition+": later", hear(t, c, 2), "3 4")
			getTwin(t, c)
			closeConn(t, c)
		}
	}
}

// A hub may take a token and judge its owner at the first link only: that is the
// end of the connection, whichever link it is.
func TestRefusedAtTheFirstLink(t *testing.T) { both(t, testRefusedAtTheFirstLink) }
func testRefusedAtTheFirstLink(t *testing.T, pooled bool) {
	for _, condition := range []string{"amqp:unauthorized-access", "amqp:not-found"} {
		for _, use := range []string{"twin", "telemetry"} {
			hub, c := meetEvents(t, pooled)
			if use == "twin" {
				refusing(hub, false, condition)
				openBoth(t, c, "1", "2")
			} else {
				hub.call(func() { hub.refuse = &amqpwire.Error{Condition: condition} })
				tell(t, c, "a")
			}
			_, err := receiveIn(t, c, time.Minute)
			wantError(t, condition+": "+use, err, transport.ErrUnauthorized)
			closeConn(t, c)
		}
	}
}

// Without a token the hub judges who it is where the twin's links are attached, so
// Dial does that. One that has no twin has judged, too.
func TestTwinLinksWithoutToken(t *testing.T) { bubble(t, testTwinLinksWithoutToken) }
func testTwinLinksWithoutToken(t *testing.T) {
	for _, test := range []struct {
		condition string
		want      error
	}{
		{"", nil},
		{"amqp:not-allowed", nil},
		{"amqp:not-implemented", nil},
		{"amqp:unauthorized-access", transport.ErrUnauthorized},
		{"amqp:not-found", transport.ErrUnauthorized},
		{"amqp:internal-error", transport.ErrUnavailable},
	} {
		for _, receiving := range []bool{false, true} {
			hub, stream := newEventHub(t)
			if test.condition != "" {
				refusing(hub, receiving, test.condition)
			}
			login := anyLogin(t)
			login.Token = auth.Token{}
			c, err := dialOver(t, stream, false).Dial(t.Context(), login)
			if !errors.Is(err, test.want) {
				t.Errorf("%s: Dial: %v; want %v", test.condition, err, test.want)
			}
			if err == nil {
				hub.call(func() {
					if len(hub.twin) == 0 {
						t.Error("no link for the twin was tried")
					}
				})
				tell(t, c, "a")
				wantText(t, test.condition, hear(t, c, 1), "a")
				openBoth(t, c, "1", "2")
				want := "1 2"
				if test.condition != "" {
					want = "1:400 2:400"
				}
				wantText(t, test.condition, hear(t, c, 2), want)
				closeConn(t, c)
			}
			<-hub.done
		}
	}
}

// silent answers none of the twin's links, or only the first.
func silent(hub *eventHub, first bool) {
	hub.call(func() {
		hub.onTwin = func(*amqpwire.Attaching) bool { return !first || len(hub.twin) > 1 }
	})
}

// Close ends what waits for the links, and no goroutine stays.
func TestCloseWhileAttaching(t *testing.T) { both(t, testCloseWhileAttaching) }
func testCloseWhileAttaching(t *testing.T, pooled bool) {
	for _, first := range []bool{false, true} {
		hub, c := meetEvents(t, pooled)
		silent(hub, first)
		openBoth(t, c, "1", "2")
		time.Sleep(10 * time.Minute) // nothing ends however long the hub takes
		tell(t, c, "a")
		wantText(t, "telemetry meanwhile", hear(t, c, 1), "a")
		start := time.Now()
		closeConn(t, c)
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		wantError(t, "Send", c.Send(t.Context(), get("g")), transport.ErrClosed)
		<-hub.done // and the bubble ends only when every goroutine has
	}
}

// The end of the session, or of the line, ends the connection while it waits for
// the links.
func TestEndsWhileAttaching(t *testing.T) { both(t, testEndsWhileAttaching) }
func testEndsWhileAttaching(t *testing.T, pooled bool) {
	for desc, end := range map[string]func(h *eventHub){
		"END":              func(h *eventHub) { h.twin[0].Link.Session().End(nil) },
		"END with a word":  func(h *eventHub) { h.twin[0].Link.Session().End(&amqpwire.Error{Condition: "amqp:not-allowed"}) },
		"CLOSE":            func(h *eventHub) { h.engine.Close(nil) },
		"a cut":            func(h *eventHub) { _ = h.stream.Close() },
		"the first link's": func(h *eventHub) { h.twin[0].Link.Detach(&amqpwire.Error{Condition: "amqp:link:detach-forced"}) },
	} {
		for _, first := range []bool{false, true} {
			if !first && strings.HasPrefix(desc, "the first") {
				continue
			}
			hub, c := meetEvents(t, pooled)
			silent(hub, first)
			openBoth(t, c, "1", "2")
			synctest.Wait()
			hub.call(func() { end(hub) })
			if strings.HasPrefix(desc, "the first") {
				hub.call(func() { hub.twin[1].Link.Refuse(&amqpwire.Error{Condition: "amqp:link:detach-forced"}) })
				wantText(t, desc, hear(t, c, 2), "1:503 2:503")
				closeConn(t, c)
				continue
			}
			f, err := receiveIn(t, c, time.Minute)
			if errors.Is(err, context.DeadlineExceeded) || err == nil || sentinels(err) != 1 {
				t.Errorf("%s: got %+v, %v; want the end", desc, f, err)
			}
			closeConn(t, c)
		}
	}
}

// A connection without the twin's links hears of the end of its line, too.
func TestEndsWithoutLinks(t *testing.T) { both(t, testEndsWithoutLinks) }
func testEndsWithoutLinks(t *testing.T, pooled bool) {
	for desc, end := range map[string]func(h *eventHub){
		"CLOSE": func(h *eventHub) { h.engine.Close(&amqpwire.Error{Condition: "amqp:connection:forced"}) },
		"a cut": func(h *eventHub) { _ = h.stream.Close() },
	} {
		for _, receives := range []bool{true, false} {
			hub, c := meetEvents(t, pooled)
			hub.call(func() { end(hub) })
			synctest.Wait()
			if receives {
				_, err := receiveIn(t, c, time.Minute)
				wantError(t, desc+": Receive", err, transport.ErrLost)
			}
			wantError(t, desc+": Send", c.Send(t.Context(), event("a")), transport.ErrLost)
			closeConn(t, c)
		}
	}
}

// While the links are attached the queue holds what it always holds. What the link
// turns out not to take is answered.
func TestQueueWhileAttaching(t *testing.T) { both(t, testQueueWhileAttaching) }
func testQueueWhileAttaching(t *testing.T, pooled bool) {
	hub, c := meetEvents(t, pooled)
	var waits []*amqpwire.Attaching
	hub.call(func() {
		hub.max = "\x80\x00\x00\x00\x00\x00\x00\x10\x00" // 4 KB
		hub.onTwin = func(ev *amqpwire.Attaching) bool {
			waits = append(waits, ev)
			return true
		}
	})
	if err := c.Send(t.Context(), transport.Frame{Kind: transport.PatchReported, ID: "large", Body: []byte(`"` + strings.Repeat("x", 5000) + `"`)}); err != nil {
		t.Fatal(err)
	}
	want := "large:413"
	var err error
	for i := 1; err == nil && i < 100; i++ {
		if err = c.Send(t.Context(), get(fmt.Sprint(i))); err == nil {
			want += fmt.Sprintf(" %d:200", i)
		}
	}
	wantError(t, "Send", err, transport.ErrBusy)
	if n := strings.Count(want, " "); n != 15 {
		t.Errorf("%d requests wait; want 15 beside the large one", n)
	}
	synctest.Wait()
	hub.call(func() {
		hub.onTwin = nil
		hub.take(waits[0])
	})
	all := hear(t, c, 17)
	rest := strings.Replace(all, " ready:"+string(transport.TwinResponses), "", 1)
	wantText(t, "answers", rest, want)
	if rest == all {
		t.Error("Ready did not come")
	}
}

// Without the twin's links the end of a session shows at the next frame, and no
// message is lost by it: it has no answer.
func TestSessionEndsWithoutTwinLinks(t *testing.T) { bubble(t, testSessionEndsWithoutTwinLinks) }
func testSessionEndsWithoutTwinLinks(t *testing.T) {
	for _, word := range []*amqpwire.Error{nil, {Condition: "amqp:not-allowed"}} {
		for _, next := range []transport.Frame{event("b"), {Kind: transport.Open, Feature: transport.TwinResponses, ID: "1"}} {
			hub, c := meetEvents(t, true)
			tell(t, c, "a")
			wantText(t, "telemetry", hear(t, c, 1), "a")
			hub.call(func() { hub.attached[0].Link.Session().End(word) })
			synctest.Wait()
			if err := c.Send(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			f, err := receiveIn(t, c, time.Minute)
			if errors.Is(err, context.DeadlineExceeded) || err == nil || sentinels(err) != 1 {
				t.Errorf("after END with %v: got %+v, %v; want the end", word, f, err)
			}
			closeConn(t, c)
		}
	}
}
