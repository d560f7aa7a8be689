package transporttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

func dialCases() []Case {
	return []Case{
		{Name: "DialAccepted", Run: dialAccepted,
			Rule: "Dial returns once the hub has accepted the login"},
		{Name: "DialUnknownDevice", Run: dialUnknown,
			Rule: "Dial fails with ErrUnauthorized when the hub does not know the device, and leaves no socket behind"},
		{Name: "DialWithoutProof", Run: dialWithoutProof,
			Rule: "Dial fails with ErrUnauthorized when the proof is missing, and leaves no socket behind"},
		{Name: "DialNoStream", Run: dialNoStream,
			Rule: "Dial fails with a sentinel, and with the cause, when no stream can be opened"},
		{Name: "DialContextEnded", Run: dialContextEnded,
			Rule: "Dial honours a context that has ended before"},
		{Name: "DialContextCancelled", Run: dialContextCancelled,
			Rule: "Dial honours ctx while the hub does not answer the login, and leaves no socket behind"},
		{Name: "DialContextDeadline", Run: dialContextDeadline,
			Rule: "Dial honours ctx's deadline while the hub does not answer the login"},
		{Name: "DialContextEndsLater", Run: dialContextEndsLater,
			Rule: "ctx is Dial's alone: that it ends later does nothing to the Conn"},
		{Name: "DialManyAtOnce", Run: dialManyAtOnce,
			Rule: "A Dialer may be used by many goroutines and for many identities at once"},
		{Name: "Tidy", Run: dialTidy,
			Rule: "Tidy takes nothing away from the features of this library, and its outcome is no frame"},
		{Name: "Resumed", Run: dialResumed,
			Rule: "A Resumer tells that the hub kept the features opened in an earlier session, and only then"},
	}
}

func dialAccepted(t TB, p Peer) {
	c := dial(t, p)
	open(t, c, transport.TwinResponses, "1")
	wantAlive(t, c)
}

func dialUnknown(t TB, p Peer) {
	l := login(t, p, device)
	l.Identity.DeviceID = "nobody"
	dialRefused(t, p, l)
}

func dialWithoutProof(t TB, p Peer) {
	l := login(t, p, device)
	l.Token, l.Certificate = transport.Login{}.Token, nil
	dialRefused(t, p, l)
}

func dialRefused(t TB, p Peer, l transport.Login) {
	t.Helper()
	var streams tap
	c, err := p.Dialer(streams.wrap).Dial(t.Context(), l)
	if c != nil {
		t.Fatalf("Dial: got a connection and %v; want none", err)
	}
	want(t, "Dial", err, transport.ErrUnauthorized)
	streams.wantClosed(t, "after a refused login", 1)
}

func dialNoStream(t TB, p Peer) {
	cause := errors.New("the modem is off")
	d := p.Dialer(func(stream net.Conn) (net.Conn, error) { return nil, errors.Join(cause, stream.Close()) })
	_, err := d.Dial(t.Context(), login(t, p, device))
	want(t, "Dial", err, cause)
	wantSentinel(t, "Dial", err)
}

func dialContextEnded(t TB, p Peer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var streams tap
	_, err := p.Dialer(streams.wrap).Dial(ctx, login(t, p, device))
	want(t, "Dial", err, context.Canceled)
	wantSentinel(t, "Dial", err)
	streams.wantClosed(t, "after Dial", streams.opened.Load())
}

func dialContextCancelled(t TB, p Peer) {
	l := login(t, p, device)
	mustStall(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var streams tap
	greeted := make(chan struct{}, 1)
	d := p.Dialer(func(stream net.Conn) (net.Conn, error) {
		greeted <- struct{}{}
		return streams.wrap(stream)
	})
	failed := background(func() error { _, err := d.Dial(ctx, l); return err })
	within(t, "the stream to open", soon, greeted)
	cancel()
	err := within(t, "Dial after its context ended", soon, failed)
	want(t, "Dial", err, context.Canceled)
	wantSentinel(t, "Dial", err)
	streams.wantClosed(t, "after Dial", 1)
}

func dialContextDeadline(t TB, p Peer) {
	l := login(t, p, device)
	mustStall(t, p)
	const limit = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start := time.Now()
	_, err := p.Dialer(nil).Dial(ctx, l)
	want(t, "Dial", err, context.DeadlineExceeded)
	wantSentinel(t, "Dial", err)
	if took := time.Since(start); took > limit+soon {
		t.Fatalf("Dial took %v; want about %v", took, limit)
	}
}

func dialContextEndsLater(t TB, p Peer) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := p.Dialer(nil).Dial(ctx, login(t, p, device))
	cancel()
	want(t, "Dial", err, nil)
	t.Cleanup(func() { _ = c.Close() })
	open(t, c, transport.TwinResponses, "1")
	wantAlive(t, c)
}

func dialManyAtOnce(t TB, p Peer) {
	const devices, dials = 5, 3
	d := p.Dialer(nil)
	var outcomes []<-chan error
	for i := range devices {
		l := login(t, p, fmt.Sprintf("many-%d", i))
		outcomes = append(outcomes, background(func() error {
			for range dials {
				c, err := d.Dial(t.Context(), l)
				if err != nil {
					return err
				}
				if err := c.Close(); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for _, o := range outcomes {
		want(t, "Dial", <-o, nil)
	}
}

func dialResumed(t TB, p Peer) {
	first := dialOpen(t, p)
	r, ok := first.(transport.Resumer)
	if !ok {
		return // it may not be one
	}
	if r.Resumed() {
		t.Fatalf("Resumed at the first login of a device: got true")
	}
	want(t, "Close", first.Close(), nil)
	second := dial(t, p)
	if second.(transport.Resumer).Resumed() {
		wantAlive(t, second) // without an Open
	}
}

func dialTidy(t TB, p Peer) {
	for range 2 { // the second time the hub may know a session
		l := login(t, p, device)
		l.Tidy = true
		c := dialWith(t, p.Dialer(nil), l)
		open(t, c, transport.TwinResponses, "1")
		open(t, c, transport.DesiredChanges, "2")
		ask(t, c, getTwin("3"), 200)
		ask(t, c, getTwin("4"), 200)
		version := setDesired(t, p, `{"a":1}`)
		if f := receive(t, c); f.Kind != transport.Desired || f.Version != version {
			t.Fatalf("got %s; want the change to version %d", show(f), version)
		}
		want(t, "Close", c.Close(), nil)
	}
}
