package transporttest

import (
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

func closeCases() []Case {
	return []Case{
		{Name: "Close", Run: closeOnce,
			Rule: "Close ends the session and the stream; afterwards every call matches ErrClosed"},
		{Name: "CloseAgain", Run: closeAgain,
			Rule: "Close may be called more than once and from any goroutine"},
		{Name: "CloseUnderReceive", Run: closeUnderReceive,
			Rule: "A Receive under way returns an error that matches ErrClosed"},
		{Name: "CloseUnderSend", Virtual: true, Run: closeUnderSend,
			Rule: "A Send under way returns an error that matches ErrClosed; a line that takes nothing does not hold Close up"},
		{Name: "CloseAndDialAgain", Run: closeAndDialAgain,
			Rule: "A closed connection leaves room for the next"},
	}
}

func closeOnce(t TB, p Peer) {
	var streams tap
	c := dialWith(t, p.Dialer(streams.wrap), login(t, p, device))
	want(t, "Close", c.Close(), nil)
	streams.wantClosed(t, "after Close", 1)
	wantDead(t, c, transport.ErrClosed)
}

func closeAgain(t TB, p Peer) {
	c := dialOpen(t, p)
	var outcomes []<-chan error
	for range 5 {
		outcomes = append(outcomes, background(func() error {
			err := c.Close()
			if err == nil {
				// Each waits until it is done, not only the first.
				if _, end := c.Receive(t.Context()); end == nil {
					return fmt.Errorf("received after Close")
				}
			}
			return err
		}))
	}
	for _, o := range outcomes {
		want(t, "Close", within(t, "Close", soon, o), nil)
	}
	want(t, "Close, later", c.Close(), nil)
}

func closeUnderReceive(t TB, p Peer) {
	c := dialOpen(t, p)
	received := receiving(t.Context(), c)
	// So that Receive is likely to wait by then; it need not be.
	<-time.After(time.Millisecond)
	want(t, "Close", c.Close(), nil)
	want(t, "Receive", within(t, "Receive after Close", soon, received), transport.ErrClosed)
}

func closeUnderSend(t TB, p Peer) {
	_, c := stall(t, p)
	const senders = 300
	outcomes := make(chan error, senders)
	for i := range senders {
		body := fmt.Sprintf(`{"a":%q}`, large("x"))
		go func() { outcomes <- c.Send(t.Context(), patchReported(fmt.Sprint(i), body)) }()
	}
	<-afterSoon()
	start := time.Now()
	want(t, "Close", c.Close(), nil)
	if took := time.Since(start); took > soon {
		t.Fatalf("Close took %v on a line that takes nothing", took)
	}
	ended := 0
	for range senders {
		if err := within(t, "Send after Close", soon, outcomes); errors.Is(err, transport.ErrBusy) {
			ended++
		} else if err != nil {
			want(t, "Send", err, transport.ErrClosed)
			ended++
		}
	}
	if ended == 0 {
		t.Fatalf("of %d Sends none was under way or busy at Close; is the line stalled?", senders)
	}
}

func closeAndDialAgain(t TB, p Peer) {
	for range 3 {
		c := dialOpen(t, p)
		wantAlive(t, c)
		want(t, "Close", c.Close(), nil)
	}
}
