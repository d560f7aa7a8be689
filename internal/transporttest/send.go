package transporttest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/devicetwin/devicetwin-go/transport"
)

func sendCases() []Case {
	return []Case{
		{Name: "SendConcurrently", Run: sendConcurrently,
			Rule: "Send may be called concurrently; frames never interleave"},
		{Name: "SendKeepsNoBody", Run: sendKeepsNoBody,
			Rule: "The body is not kept by Send"},
		{Name: "SendContextEnded", Run: sendContextEnded,
			Rule: "A Send whose context has ended before sends nothing, and harms nobody"},
		{Name: "SendContextWhileWaiting", Virtual: true, Run: sendContextWaiting,
			Rule: "ctx bounds the wait for this frame's turn"},
		{Name: "SendUnsayable", Run: sendUnsayable,
			Rule: "A frame that cannot be said is refused before its first byte, and harms nobody"},
		{Name: "SendUnknownDelivery", Run: sendUnknownDelivery,
			Rule: "A Settle of a delivery that is unknown returns ErrUnsupported, and harms nobody"},
		{Name: "SendTooLarge", Run: sendTooLarge,
			Rule: "A body of up to MaxBody bytes is carried; a larger one is refused with ErrTooLarge before its first byte, and harms nobody"},
		{Name: "SendTelemetryUnsayable", Run: sendTelemetryUnsayable,
			Rule: "Telemetry without a message, or with an ID that cannot be said, is refused with ErrUnsupported, and harms nobody"},
		{Name: "SendTelemetryTooLarge", Run: sendTelemetryTooLarge,
			Rule: "A message over MaxMessage is refused with ErrTooLarge before its first byte, and harms nobody"},
		{Name: "SendWithoutReceive", Run: sendWithoutReceive,
			Rule: "Send never waits for room: it sends, or returns ErrBusy at once, and then Ready comes when there is room"},
		{Name: "SendFails", Run: sendFails,
			Rule: "After a failed write the Conn is dead, a Receive under way too"},
	}
}

// large is nearly the longest text that a hub stores.
func large(c string) string { return strings.Repeat(c, 4000) }

func sendConcurrently(t TB, p Peer) {
	c := dialOpen(t, p)
	const senders, each = 8, 10
	var outcomes []<-chan error
	room := newGate()
	for s := range senders {
		body := `{"s%d":{"n":%d}}`
		if s == 0 { // one has frames beyond every buffer on the way
			body = fmt.Sprintf(`{"s%%d":{"n":%%d,"a":%q,"b":%[1]q,"c":%[1]q,"d":%[1]q,"e":%[1]q}}`, large("x"))
		}
		outcomes = append(outcomes, background(func() error {
			for i := range each {
				f := patchReported(fmt.Sprintf("%d-%d", s, i), fmt.Sprintf(body, s, i))
				if err := room.send(t.Context(), c, f); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	seen := map[string]bool{}
	for len(seen) < senders*each {
		f := receive(t, c)
		if f.Kind == transport.Ready {
			room.open()
			continue
		}
		if f.Kind != transport.Response || !is(f.Status, patched) || seen[f.ID] {
			t.Fatalf("got %s, body %.300q; want each patch accepted once", show(f), f.Body)
		}
		seen[f.ID] = true
	}
	for _, o := range outcomes {
		want(t, "Send", <-o, nil)
	}
	got := reported(t, c, "end")
	for s := range senders {
		last, _ := got[fmt.Sprintf("s%d", s)].(map[string]any)
		if last["n"] != float64(each-1) {
			t.Fatalf("sender %d: the hub has %v; want its frames whole and in its order", s, last["n"])
		}
	}
}

func sendKeepsNoBody(t TB, p Peer) {
	c := dialOpen(t, p)
	f := patchReported("1", `{"k":"before"}`)
	send(t, c, f)
	copy(f.Body, `{"k":"after!"}`)
	if got := receive(t, c); !is(got.Status, patched) {
		t.Fatalf("got %s; want it accepted", show(got))
	}
	if got := reported(t, c, "2"); got["k"] != "before" {
		t.Fatalf("the hub has %v; want what the body was when Send was called", got["k"])
	}
}

func sendContextEnded(t TB, p Peer) {
	c := dialOpen(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "Send", c.Send(ctx, patchReported("1", `{"k":1}`)), context.Canceled)
	if got := reported(t, c, "2"); got["k"] != nil {
		t.Fatalf("the hub has %v; want nothing to have been sent", got["k"])
	}
}

func sendContextWaiting(t TB, p Peer) {
	c := dial(t, p)
	mustStall(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// So many frames that the line is full: one writes, the others wait.
	const senders = 300
	outcomes := make(chan error, senders)
	for i := range senders {
		body := fmt.Sprintf(`{"a":%q}`, large("x"))
		go func() { outcomes <- c.Send(ctx, patchReported(fmt.Sprint(i), body)) }()
	}
	full := background(func() error { <-afterSoon(); return nil })
	<-full
	cancel()
	waited := 0
	for range senders {
		err := within(t, "Send after its context ended", noticed, outcomes)
		if errors.Is(err, context.Canceled) || errors.Is(err, transport.ErrBusy) {
			waited++
		} else if err != nil && !errors.Is(err, transport.ErrStalled) {
			t.Fatalf("Send: got %v; want nil, the context's end, ErrBusy, or for the writer itself ErrStalled", err)
		}
	}
	if waited == 0 {
		t.Fatalf("of %d Sends none waited for its turn or was busy; is the line stalled?", senders)
	}
}

func sendUnsayable(t TB, p Peer) {
	c := dialOpen(t, p)
	for _, f := range []transport.Frame{
		{},
		getTwin(""),
		getTwin("a b"),
		getTwin("a&b"),
		getTwin("é"),
		{Kind: "other", ID: "1"},
		{Kind: transport.Open, Feature: "other", ID: "1"},
		{Kind: transport.Close, Feature: "other", ID: "1"},
		{Kind: transport.Close, Feature: transport.DesiredChanges, ID: "a b"},
		{Kind: transport.Accepted, ID: "1"},
		{Kind: transport.Response, ID: "1", Status: 200},
		{Kind: transport.Telemetry, ID: "1", Body: []byte("{}")},
		{Kind: transport.Ready, Feature: transport.TwinResponses},
		{Kind: transport.Desired, Version: 1},
	} {
		want(t, "Send "+show(f), c.Send(t.Context(), f), transport.ErrUnsupported)
	}
	wantAlive(t, c)
}

func sendUnknownDelivery(t TB, p Peer) {
	c := dialOpen(t, p)
	for _, d := range []uint64{0, 1, 1 << 40} {
		for _, o := range []transport.Kind{transport.Complete, transport.Release} {
			f := transport.Frame{Kind: o, Delivery: d}
			want(t, "Send "+show(f), c.Send(t.Context(), f), transport.ErrUnsupported)
		}
	}
	wantAlive(t, c)
}

func sendTooLarge(t TB, p Peer) {
	c := dialOpen(t, p)
	body := func(size int) string {
		const around = `{"k":""}`
		return `{"k":"` + strings.Repeat("x", size-len(around)) + `"}`
	}
	err := c.Send(t.Context(), patchReported("1", body(transport.MaxBody+1)))
	want(t, "Send", err, transport.ErrTooLarge)
	if !strings.Contains(err.Error(), fmt.Sprint(transport.MaxBody)) {
		t.Fatalf("%v does not name the limit", err)
	}
	wantAlive(t, c)
	send(t, c, patchReported("2", body(transport.MaxBody))) // which no hub takes
	if f := receive(t, c); f.Kind != transport.Response || f.ID != "2" || f.Status < 400 {
		t.Fatalf("got %s; want the hub's refusal", show(f))
	}
	wantAlive(t, c)
}

func sendTelemetryUnsayable(t TB, p Peer) {
	c := dialOpen(t, p)
	m := &transport.Message{Body: []byte("{}")}
	for _, f := range []transport.Frame{
		{Kind: transport.Telemetry, ID: "1"},
		{Kind: transport.Telemetry, Message: m},
		{Kind: transport.Telemetry, ID: "a b", Message: m},
	} {
		want(t, "Send "+show(f), c.Send(t.Context(), f), transport.ErrUnsupported)
	}
	wantAlive(t, c)
}

func sendTelemetryTooLarge(t TB, p Peer) {
	var streams tap
	c := dialWith(t, p.Dialer(streams.wrap), login(t, p, device))
	open(t, c, transport.TwinResponses, "open-1")
	before := streams.written.Load()
	// A byte in a property is over the limit, too.
	for _, m := range []*transport.Message{
		{Body: make([]byte, transport.MaxMessage+1)},
		{Body: make([]byte, transport.MaxMessage-1), Properties: map[string]string{"k": "v"}},
	} {
		err := c.Send(t.Context(), transport.Frame{Kind: transport.Telemetry, ID: "1", Message: m})
		want(t, "Send", err, transport.ErrTooLarge)
		if !strings.Contains(err.Error(), fmt.Sprint(transport.MaxMessage)) {
			t.Fatalf("%v does not name the limit", err)
		}
	}
	wantAlive(t, c)
	if n := streams.written.Load() - before; n >= transport.MaxMessage {
		t.Fatalf("%d bytes were written; want none of the messages", n)
	}
}

func sendWithoutReceive(t TB, p Peer) {
	c := dialOpen(t, p)
	const most = 200
	busy, sent := false, 0
	for ; sent < most && !busy; sent++ {
		f := getTwin(fmt.Sprint(sent))
		err := within(t, "Send", soon, background(func() error { return c.Send(t.Context(), f) }))
		if busy = errors.Is(err, transport.ErrBusy); busy {
			break
		}
		want(t, "Send", err, nil)
	}
	for answers := 0; answers < sent || busy; {
		switch f := receive(t, c); {
		case f.Kind == transport.Response && f.ID == fmt.Sprint(answers):
			answers++
		case f.Kind == transport.Ready && f.Feature == transport.TwinResponses && busy:
			busy = false
		default:
			t.Fatalf("got %s after %d of %d answers; want them in order, and Ready once if Send was busy", show(f), answers, sent)
		}
	}
	wantAlive(t, c)
}

func sendFails(t TB, p Peer) {
	var streams tap
	c := dialWith(t, p.Dialer(streams.wrap), login(t, p, device))
	open(t, c, transport.TwinResponses, "open")
	received := receiving(t.Context(), c)
	cause := errors.New("the cable is out")
	streams.breakWrites(cause)
	err := c.Send(t.Context(), getTwin("1"))
	want(t, "Send", err, cause, transport.ErrLost)
	want(t, "Receive under way", within(t, "Receive under way", soon, received), transport.ErrLost)
	streams.wantClosed(t, "after a failed write", 1)
	wantDead(t, c, transport.ErrLost)
}
