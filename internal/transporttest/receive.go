package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

func receiveCases() []Case {
	return []Case{
		{Name: "ReceiveInOrder", Run: receiveInOrder,
			Rule: "Receive returns frames in the order of arrival"},
		{Name: "ReceiveOwnsBody", Run: receiveOwnsBody,
			Rule: "The frame's body belongs to the receiver: it neither changes nor does changing it harm"},
		{Name: "ReceiveContext", Run: receiveContext,
			Rule: "When Receive fails by ctx, the Conn is dead and its error says why"},
		{Name: "ReceiveContextEnded", Run: receiveContextEnded,
			Rule: "When Receive is called with a context that has ended, the Conn is dead"},
		{Name: "ReceiveContextsOfTheirOwn", Run: receiveOwnContexts,
			Rule: "A context that ends after its Receive has returned ends nothing"},
		{Name: "ReceiveWhileWriting", Run: receiveWhileWriting,
			Rule: "Reading never waits for writing: Receive returns frames while the line takes nothing"},
		{Name: "Cut", Run: cut,
			Rule: "When the line ends, Receive fails with ErrLost, and the Conn never comes back"},
		{Name: "TakenOver", Run: takenOver,
			Rule: "When another client takes over, the connection ends with ErrLost and the other one works"},
	}
}

func receiveInOrder(t TB, p Peer) {
	c := dialOpen(t, p)
	const n = 50
	for i := range n {
		setDesired(t, p, fmt.Sprintf(`{"n":%d}`, i))
	}
	var last int64
	for i := range n {
		f := receive(t, c)
		if f.Kind != transport.Desired || last != 0 && f.Version != last+1 || !bytes.Contains(f.Body, fmt.Appendf(nil, `"n":%d`, i)) {
			t.Fatalf("got %s with body %.100q after version %d; want the changes in order", show(f), f.Body, last)
		}
		last = f.Version
	}
}

func receiveOwnsBody(t TB, p Peer) {
	c := dialOpen(t, p)
	first := ask(t, c, getTwin("1"), 200).Body
	was := bytes.Clone(first)
	setDesired(t, p, `{"text":"the body of another frame"}`)
	change := receive(t, c).Body
	for i := range 3 {
		body := ask(t, c, getTwin(fmt.Sprint("g", i)), 200).Body
		for j := range body[:cap(body)] {
			body[:cap(body)][j] = '#' // the receiver may do what it likes
		}
	}
	if !bytes.Equal(first, was) || bytes.IndexByte(change, '#') >= 0 {
		t.Fatalf("bodies changed after they were received:\n%q\n%q", first, change)
	}
	setDesired(t, p, `{"text":"and one more"}`)
	if f := receive(t, c); f.Kind != transport.Desired || bytes.IndexByte(f.Body, '#') >= 0 {
		t.Fatalf("got %s with body %.200q; want a change, unharmed", show(f), f.Body)
	}
	wantAlive(t, c)
}

func receiveContext(t TB, p Peer) {
	var streams tap
	c := dialWith(t, p.Dialer(streams.wrap), login(t, p, device))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	received := receiving(ctx, c)
	want(t, "Send", c.Send(t.Context(), transport.Frame{Kind: transport.Open, Feature: transport.TwinResponses, ID: "1"}), nil)
	cancel()
	want(t, "Receive", within(t, "Receive after its context ended", soon, received), context.Canceled)
	wantDead(t, c, context.Canceled)
	streams.wantClosed(t, "after Receive failed", 1)
}

func receiveContextEnded(t TB, p Peer) {
	c := dial(t, p)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := c.Receive(ctx)
	want(t, "Receive", err, context.DeadlineExceeded)
	wantDead(t, c, context.DeadlineExceeded)
}

func receiveOwnContexts(t TB, p Peer) {
	c := dialOpen(t, p)
	for i := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		setDesired(t, p, fmt.Sprintf(`{"n":%d}`, i))
		_, err := c.Receive(ctx)
		cancel()
		want(t, "Receive", err, nil)
	}
	wantAlive(t, c)
}

func cut(t TB, p Peer) {
	c := dialOpen(t, p)
	received := receiving(t.Context(), c)
	if err := p.Cut(device); err != nil {
		t.Fatalf("Cut: %v", err)
	}
	want(t, "Receive", within(t, "Receive after the cut", soon, received), transport.ErrLost)
	wantDead(t, c, transport.ErrLost)
	want(t, "Close", c.Close(), nil)
	wantDead(t, c, transport.ErrClosed)
}

func takenOver(t TB, p Peer) {
	first := dialOpen(t, p)
	received := receiving(t.Context(), first)
	second := dialOpen(t, p)
	err := within(t, "Receive of the first", soon, received)
	want(t, "Receive of the first", err, transport.ErrLost)
	if errors.Is(err, transport.ErrUnauthorized) {
		t.Fatalf("Receive of the first: got %v; want no claim why", err)
	}
	wantDead(t, first, transport.ErrLost)
	wantAlive(t, second)
}

func receiveWhileWriting(t TB, p Peer) {
	var streams tap
	c := dialWith(t, p.Dialer(streams.wrap), login(t, p, device))
	open(t, c, transport.TwinResponses, "1")
	open(t, c, transport.DesiredChanges, "2")
	release := streams.holdWrites()
	defer release()
	sent := background(func() error { return c.Send(t.Context(), getTwin("held")) })
	<-streams.held
	for i := range 3 {
		version := setDesired(t, p, fmt.Sprintf(`{"n":%d}`, i))
		f := within(t, "Receive while the line takes nothing", soon, background(func() transport.Frame { return receive(t, c) }))
		if f.Kind != transport.Desired || f.Version != version {
			t.Fatalf("got %s; want the change to version %d", show(f), version)
		}
	}
	release()
	want(t, "Send", <-sent, nil)
	if f := receive(t, c); f.Kind != transport.Response || f.ID != "held" {
		t.Fatalf("got %s; want the answer to what was held", show(f))
	}
}
