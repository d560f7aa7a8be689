package mqtt_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// TestCloseUnderWay closes while one receives, one writes to a hub that does
// not read, and one waits for its turn: nothing of that holds Close up.
func TestCloseUnderWay(t *testing.T) { synctest.Test(t, testCloseUnderWay) }
func testCloseUnderWay(t *testing.T) {
	c, _ := connect(t, login(keepAlive))
	failed := make(chan error, 3)
	big := strings.Repeat("x", 100<<10)
	go func() { _, err := c.Receive(t.Context()); failed <- err }()
	go func() { failed <- c.Send(t.Context(), patch("1", 0, big)) }()
	go func() { failed <- c.Send(t.Context(), patch("2", 0, big)) }()
	synctest.Wait()
	start := time.Now()
	closed := make(chan error, 3)
	for range cap(closed) {
		go func() { closed <- c.Close() }()
	}
	for range cap(closed) {
		wantError(t, "Close", <-closed, nil)
	}
	wantElapsed(t, "Close of a line that takes no goodbye took", start, time.Second)
	for range cap(failed) {
		wantError(t, "what was under way", <-failed, transport.ErrClosed)
	}
	wantError(t, "Send afterwards", c.Send(t.Context(), get("1")), transport.ErrClosed)
	_, err := c.Receive(t.Context())
	wantError(t, "Receive afterwards", err, transport.ErrClosed)
	wantError(t, "Close again", c.Close(), nil)
}

// TestCloseIsPolite has a hub that hangs up as soon as it is told goodbye: the
// Receive under way must not take that for a loss.
func TestCloseIsPolite(t *testing.T) { synctest.Test(t, testCloseIsPolite) }
func testCloseIsPolite(t *testing.T) {
	c, _ := connectOn(t, func(stream net.Conn, hub *peer) net.Conn {
		return &hooked{stream, func(b []byte) {
			if string(b) == "\xe0\x00" {
				hub.Close()
				synctest.Wait() // until Receive has seen it
			}
		}}
	})
	failed := make(chan error, 1)
	go func() { _, err := c.Receive(t.Context()); failed <- err }()
	synctest.Wait()
	start := time.Now()
	wantError(t, "Close", c.Close(), nil)
	wantElapsed(t, "Close took", start, 0)
	if err := <-failed; err != transport.ErrClosed {
		t.Errorf("Receive: got %q; want nothing but %q", err, transport.ErrClosed)
	}
}

// TestCloseWaits holds the keeper up in a write that not even closing the
// stream ends: no Close may return before it.
func TestCloseWaits(t *testing.T) { synctest.Test(t, testCloseWaits) }
func testCloseWaits(t *testing.T) {
	release := make(chan struct{})
	c, _ := connectOn(t, func(stream net.Conn, _ *peer) net.Conn {
		return &hooked{stream, func(b []byte) {
			if string(b) == ping {
				<-release
			}
		}}
	})
	<-time.After(keepAlive)
	synctest.Wait() // until the keeper writes
	closed := make(chan error, 2)
	for range cap(closed) {
		go func() { closed <- c.Close() }()
	}
	select {
	case <-closed:
		t.Fatal("Close returned while the keeper still runs")
	case <-time.After(time.Minute):
	}
	close(release)
	for range cap(closed) {
		wantError(t, "Close", <-closed, nil)
	}
}

// TestReceiveContext ends a Receive: the connection goes with it.
func TestReceiveContext(t *testing.T) { synctest.Test(t, testReceiveContext) }
func testReceiveContext(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	start := time.Now()
	_, err := c.Receive(ctx)
	wantError(t, "Receive", err, context.DeadlineExceeded, transport.ErrClosed)
	wantElapsed(t, "Receive took", start, 5*time.Second)
	wantError(t, "Send afterwards", c.Send(t.Context(), get("1")), context.DeadlineExceeded, transport.ErrClosed)
	p.wantEnd("the stream is closed")
}

func TestReceiveContextEndedBefore(t *testing.T) { synctest.Test(t, testReceiveContextEndedBefore) }
func testReceiveContextEndedBefore(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	p.say(publish(desired, "{}")) // a frame is there, but nobody wants it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Receive(ctx)
	wantError(t, "Receive", err, context.Canceled)
	p.wantEnd("the stream is closed")
}

// TestSendContext gives up waiting for the turn, and harms nobody.
func TestSendContext(t *testing.T) { synctest.Test(t, testSendContext) }
func testSendContext(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	big := strings.Repeat("x", 100<<10)
	first := make(chan error, 1)
	go func() { first <- c.Send(t.Context(), patch("1", 0, big)) }()
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	start := time.Now()
	wantError(t, "Send of one who waits", c.Send(ctx, get("2")), context.DeadlineExceeded)
	wantElapsed(t, "it waited", start, 5*time.Second)

	// The writer itself is not ended by its context: half a frame is none.
	p.SetReadDeadline(time.Now().Add(time.Second))
	n := 0
	for b := make([]byte, 32<<10); ; {
		m, err := p.Read(b)
		if n += m; err != nil {
			break
		}
	}
	wantError(t, "Send of the writer", <-first, nil)
	if n < len(big) {
		t.Errorf("the hub read %d bytes; want the whole frame of more than %d", n, len(big))
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "Send with an ended context", c.Send(ended, get("3")), context.Canceled)
	p.wantSilence("which sends nothing", time.Second)
	send(t, c, get("4"))
	p.SetReadDeadline(time.Time{})
	p.wantBytes("the connection lives on", publish("$iothub/twin/GET/?$rid=4", ""))
}

// TestSendContextUnderWay lets the context of the writer itself end: the frame
// is finished all the same.
func TestSendContextUnderWay(t *testing.T) { synctest.Test(t, testSendContextUnderWay) }
func testSendContextUnderWay(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() { sent <- c.Send(ctx, patch("1", 0, strings.Repeat("x", 100<<10))) }()
	synctest.Wait()
	cancel()
	synctest.Wait()
	done := p.drain()
	wantError(t, "Send", <-sent, nil)
	c.Close()
	<-done
}

// TestOpenNotSent gives up an Open before it is sent: its packet id stands for
// nothing then.
func TestOpenNotSent(t *testing.T) { synctest.Test(t, testOpenNotSent) }
func testOpenNotSent(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "Send", c.Send(ended, openResponses), context.Canceled)
	p.say("\x90\x03\x00\x01\x01" + publish(desired, "{}"))
	wantFrame(t, "nothing was accepted", c, change(0, "{}"))
}

// TestUnsendable refuses before the first byte, and the connection lives on.
func TestUnsendable(t *testing.T) { synctest.Test(t, testUnsendable) }
func testUnsendable(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	for _, f := range []transport.Frame{
		{},
		{Kind: transport.Open, Feature: transport.TwinResponses},
		{Kind: transport.Open, Feature: "other", ID: "1"},
		{Kind: transport.Open, Feature: transport.TwinResponses, ID: "a b"},
		get("a&b"),
		{Kind: transport.Response, ID: "1"},
	} {
		wantError(t, string(f.Kind), c.Send(t.Context(), f), transport.ErrUnsupported)
	}
	for _, f := range []transport.Frame{
		get(strings.Repeat("1", 1<<16)),
		patch("1", 0, strings.Repeat("x", transport.MaxBody+1)),
		patch(strings.Repeat("1", 1<<16), 0, "{}"),
	} {
		wantError(t, string(f.Kind), c.Send(t.Context(), f), transport.ErrTooLarge)
	}
	open(t, c, p) // with packet ids 1 and 2
}
