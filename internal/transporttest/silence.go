package transporttest

import (
	"errors"
	"fmt"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

func silenceCases() []Case {
	return []Case{
		{Name: "StallWhileIdle", Virtual: true, Run: stallIdle,
			Rule: "A hub that shows no sign of life for the keep-alive and 10 s more ends the Conn with ErrStalled"},
		{Name: "StallWhileSending", Virtual: true, Run: stallSending,
			Rule: "Sending does not put off that a dead line is noticed"},
		{Name: "StallWithLargeFrames", Virtual: true, Run: stallLarge,
			Rule: "A hub that does not take what is written ends the Conn with ErrStalled"},
		{Name: "Idle", Virtual: true, Run: idle,
			Rule: "An idle line lives as long as the hub answers"},
	}
}

// afterSoon tells when all that the transport does at once is done.
func afterSoon() <-chan time.Time { return time.After(time.Second) }

// stall stalls the line once it is quiet, and tells when the hub was heard
// last, at the earliest.
func stall(t TB, p Peer) (time.Time, transport.Conn) {
	t.Helper()
	c := dialOpen(t, p)
	mustStall(t, p)
	return time.Now(), c
}

func wantNoticed(t TB, c transport.Conn, start time.Time, err error) {
	t.Helper()
	want(t, "Receive", err, transport.ErrStalled)
	if took := time.Since(start); took > noticed {
		t.Fatalf("the dead line was noticed after %v; want within %v", took, noticed)
	}
	wantDead(t, c, transport.ErrStalled)
}

func stallIdle(t TB, p Peer) {
	start, c := stall(t, p)
	wantNoticed(t, c, start, <-receiving(t.Context(), c))
	if took := time.Since(start); took < keepAlive {
		t.Fatalf("the line was given up after %v; the keep-alive is %v", took, keepAlive)
	}
}

func stallSending(t TB, p Peer) {
	start, c := stall(t, p)
	sent := background(func() error {
		for i := 0; ; i++ {
			err := c.Send(t.Context(), patchReported(fmt.Sprint(i), `{"a":1}`))
			if err != nil && !errors.Is(err, transport.ErrBusy) {
				return err
			}
			<-afterSoon()
		}
	})
	wantNoticed(t, c, start, <-receiving(t.Context(), c))
	want(t, "Send", <-sent, transport.ErrStalled)
}

func stallLarge(t TB, p Peer) {
	start, c := stall(t, p)
	received := receiving(t.Context(), c)
	body := fmt.Sprintf(`{"a":%q,"b":%q}`, large("x"), large("y"))
	var err error
	for i := 0; err == nil; i++ {
		err = c.Send(t.Context(), patchReported(fmt.Sprint(i), body))
		if errors.Is(err, transport.ErrBusy) {
			<-afterSoon()
			err = nil
		}
	}
	want(t, "Send", err, transport.ErrStalled)
	wantNoticed(t, c, start, <-received)
}

func idle(t TB, p Peer) {
	c := dialOpen(t, p)
	for i := range 3 {
		time.AfterFunc(3*time.Hour, func() { _, _ = p.SetDesired(device, fmt.Sprintf(`{"n":%d}`, i)) })
		if f := receive(t, c); f.Kind != transport.Desired {
			t.Fatalf("got %s; want a change after some hours", show(f))
		}
	}
	wantAlive(t, c)
}
