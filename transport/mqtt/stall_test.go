package mqtt_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	keepAlive = time.Minute
	// patient is longer than a test that does not expect a PINGREQ.
	patient = 15 * time.Minute
	// noticed is when a dead line must be known: the keep-alive, and 10 s.
	noticed = keepAlive + 10*time.Second
	ping    = "\xc0\x00"
	pong    = "\xd0\x00"
)

// A hub that stops answering is noticed, whatever the device does meanwhile.
func TestStalledWhileIdle(t *testing.T) { synctest.Test(t, testStalledWhileIdle) }
func testStalledWhileIdle(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	start := time.Now()
	failed := make(chan error, 1)
	go func() { _, err := c.Receive(t.Context()); failed <- err }()
	p.wantSilence("an idle line stays silent", keepAlive-1)
	p.wantBytes("the device asks for a sign of life", ping)
	wantElapsed(t, "it asked after", start, keepAlive)
	wantError(t, "Receive", <-failed, transport.ErrStalled)
	wantElapsed(t, "it was noticed after", start, noticed)
	p.wantEnd("the device hangs up, having asked once")
	wantError(t, "Send afterwards", c.Send(t.Context(), get("1")), transport.ErrStalled)
}

// TestStalledWhilePublishing has a hub that takes all and answers nothing: what
// is sent must not put off the question.
func TestStalledWhilePublishing(t *testing.T) { synctest.Test(t, testStalledWhilePublishing) }
func testStalledWhilePublishing(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	start := time.Now()
	all := make(chan string, 1)
	go func() { b, _ := io.ReadAll(p); all <- string(b) }()
	sent := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := c.Send(t.Context(), patch(fmt.Sprint(i), 0, "{}")); err != nil {
				sent <- err
				return
			}
			<-time.After(time.Second)
		}
	}()
	_, err := c.Receive(t.Context())
	wantError(t, "Receive", err, transport.ErrStalled)
	wantElapsed(t, "it was noticed after", start, noticed)
	wantError(t, "Send", <-sent, transport.ErrStalled)
	if got := strings.Count(<-all, ping); got != 1 {
		t.Errorf("the device asked %d times for a sign of life; want once", got)
	}
}

// TestDeafHub has a hub that neither reads nor answers.
func TestDeafHub(t *testing.T) { synctest.Test(t, testDeafHub) }
func testDeafHub(t *testing.T) {
	c, _ := connect(t, login(keepAlive))
	start := time.Now()
	received := make(chan error, 1)
	go func() { _, err := c.Receive(t.Context()); received <- err }()
	big := `{"a":"` + strings.Repeat("x", 30<<10) + `"}`
	var err error
	for i := 0; err == nil; i++ {
		err = c.Send(t.Context(), patch(fmt.Sprint(i), 0, big))
	}
	wantError(t, "Send", err, transport.ErrStalled)
	wantElapsed(t, "Send failed after", start, 10*time.Second)
	wantError(t, "Receive", <-received, transport.ErrStalled)
	wantElapsed(t, "Receive failed after", start, 10*time.Second)
}

// TestDeafHubWaiters has others wait for the turn that a stalled writer holds.
func TestDeafHubWaiters(t *testing.T) { synctest.Test(t, testDeafHubWaiters) }
func testDeafHubWaiters(t *testing.T) {
	c, _ := connect(t, login(keepAlive))
	big := strings.Repeat("x", 100<<10)
	failed := make(chan error, 5)
	for i := range cap(failed) {
		go func() { failed <- c.Send(t.Context(), patch(fmt.Sprint(i), 0, big)) }()
	}
	start := time.Now()
	for range cap(failed) {
		wantError(t, "Send", <-failed, transport.ErrStalled)
	}
	wantElapsed(t, "all of them failed after", start, 10*time.Second)
}

// TestSlowHub takes a large frame in small sips: each piece has its own limit.
func TestSlowHub(t *testing.T) { synctest.Test(t, testSlowHub) }
func testSlowHub(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	sent := make(chan error, 1)
	go func() { sent <- c.Send(t.Context(), patch("1", 0, strings.Repeat("x", 200<<10))) }()
	start := time.Now()
	for range 13 { // 16 KB each 9 s
		<-time.After(9 * time.Second)
		if _, err := io.ReadFull(p, make([]byte, 16<<10)); err != nil {
			t.Fatal(err)
		}
		if time.Since(start) > 100*time.Second {
			break
		}
	}
	wantError(t, "Send to a slow hub", <-sent, nil)
}

// TestSlowAnswer lets a large packet come byte by byte: any byte is a sign of
// life.
func TestSlowAnswer(t *testing.T) { synctest.Test(t, testSlowAnswer) }
func testSlowAnswer(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	done := p.drain()
	want := change(2, `{"$version":2}`)
	go func() {
		for _, b := range []byte(publish(desired+"?$version=2", string(want.Body))) {
			<-time.After(noticed - 1)
			p.Write([]byte{b})
		}
	}()
	wantFrame(t, "a change that took its time", c, want)
	c.Close()
	<-done
}

// TestDay keeps an idle line for a day.
func TestDay(t *testing.T) { synctest.Test(t, testDay) }
func testDay(t *testing.T) {
	const keepAlive = 4 * time.Minute
	c, p := connect(t, login(keepAlive))
	pings := make(chan int, 1)
	go func() {
		n := 0
		for b := make([]byte, 2); ; n++ {
			if _, err := io.ReadFull(p, b); err != nil || string(b) != ping {
				break
			}
			p.Write([]byte(pong))
		}
		pings <- n
	}()
	time.AfterFunc(24*time.Hour, func() { p.Write([]byte(publish(desired, "{}"))) })
	wantFrame(t, "after a day the line lives", c, change(0, "{}"))
	c.Close()
	if got := <-pings; got < 359 || got > 360 { // the last may fall together with the day's end
		t.Errorf("got %d pings in a day; want one each %v", got, keepAlive)
	}
}

// TestBusyLine needs no pings: both ways something goes.
func TestBusyLine(t *testing.T) { synctest.Test(t, testBusyLine) }
func testBusyLine(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	question := publish("$iothub/twin/GET/?$rid=1", "")
	for range 100 {
		send(t, c, get("1"))
		p.wantBytes("nothing but the question", question)
		p.say(publish(res+"200/?$rid=1", "{}"))
		wantFrame(t, "the answer", c, response("1", 200, 0, "{}"))
		<-time.After(keepAlive / 3)
	}
}

// TestTalkingOnly has a device that talks steadily to a hub that has nothing to
// say: the line must be asked for signs of life all the same, and so live.
func TestTalkingOnly(t *testing.T) { synctest.Test(t, testTalkingOnly) }
func testTalkingOnly(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	pings := make(chan int, 1)
	go func() {
		n := 0
		for b := make([]byte, 64); ; {
			m, err := p.Read(b) // each packet comes alone: the pipe is read at once
			if err != nil {
				break
			}
			if string(b[:m]) == ping {
				n++
				p.Write([]byte(pong))
			}
		}
		pings <- n
	}()
	received := make(chan error, 1)
	go func() { _, err := c.Receive(t.Context()); received <- err }()
	<-time.After(time.Second / 2) // so that no packet coincides with a ping
	for range 599 {
		send(t, c, get("1"))
		<-time.After(time.Second)
	}
	c.Close()
	wantError(t, "Receive", <-received, transport.ErrClosed)
	if got := <-pings; got != 9 {
		t.Errorf("got %d pings in 10 min less a second; want one each %v", got, keepAlive)
	}
}

// TestListeningOnly has a device that only listens: the hub must hear of it.
func TestListeningOnly(t *testing.T) { synctest.Test(t, testListeningOnly) }
func testListeningOnly(t *testing.T) {
	c, p := connect(t, login(keepAlive))
	go func() {
		for {
			if _, err := c.Receive(t.Context()); err != nil {
				return
			}
		}
	}()
	chatter := make(chan struct{})
	go func() {
		defer close(chatter)
		for {
			if _, err := p.Write([]byte(publish(desired, "{}"))); err != nil {
				return
			}
			<-time.After(time.Second)
		}
	}()
	for range 5 {
		start := time.Now()
		p.wantBytes("the device shows that it lives", ping)
		wantElapsed(t, "it did so after", start, keepAlive)
		p.say(pong)
	}
	c.Close()
	<-chatter
}

func TestLineEnds(t *testing.T) {
	for _, c := range []struct {
		name, last string
		cause      error
	}{
		{"between packets", "", io.EOF},
		{"inside a packet", "\x30\x10\x00", io.ErrUnexpectedEOF},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn, p := connect(t, login(keepAlive))
			p.say(c.last)
			p.Close()
			_, err := conn.Receive(t.Context())
			wantError(t, c.name, err, transport.ErrLost, c.cause)
			wantError(t, "Send afterwards", conn.Send(t.Context(), get("1")), transport.ErrLost)
			_, again := conn.Receive(t.Context())
			if again == nil || again.Error() != err.Error() {
				t.Errorf("Receive again: got %v; want the same as before: %v", again, err)
			}
			conn.Close()
			_, err = conn.Receive(t.Context())
			wantError(t, "Receive after Close", err, transport.ErrClosed)
			if errors.Is(err, transport.ErrStalled) {
				t.Errorf("Receive after Close: got %v", err)
			}
		})
	}
}
