package ws_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/ws"
)

// inBubble runs one case in virtual time on a fresh stream, whose far end is
// the case's peer. That the bubble ends is part of the case.
func inBubble(t *testing.T, peer func(t *testing.T, c *websocket.Conn), run func(t *testing.T, c net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFront(t, upgraded(func(c *websocket.Conn) { peer(t, c) }))
		c, err := ws.Stream(&ws.Options{Stream: f.Stream})(t.Context(), transport.Target{Protocol: "mqtt", Host: "h.example"})
		if err != nil {
			t.Fatalf("Stream: %v", err)
		}
		defer f.wantClosed()
		defer c.Close()
		run(t, c)
	})
}

// echo sends back what it hears, message by message.
func echo(_ *testing.T, c *websocket.Conn) {
	for {
		kind, b, err := c.ReadMessage()
		if err == nil {
			err = c.WriteMessage(kind, b)
		}
		if err != nil {
			return
		}
	}
}

// says sends frames as they are, and waits for the end.
func says(frames ...string) func(*testing.T, *websocket.Conn) {
	return func(_ *testing.T, c *websocket.Conn) {
		_, _ = io.WriteString(c.NetConn(), strings.Join(frames, ""))
		_, _ = io.Copy(io.Discard, c.NetConn())
	}
}

func TestBytesAreAStream(t *testing.T) {
	inBubble(t, echo, func(t *testing.T, c net.Conn) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
		var wg sync.WaitGroup
		wg.Go(func() {
			if n, err := c.Write(want); n != len(want) || err != nil {
				t.Errorf("Write: got %d, %v; want %d", n, err, len(want))
			}
		})
		got := make([]byte, len(want))
		_, err := io.ReadFull(c, got)
		wg.Wait()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got back %d bytes, %v; want the %d that were written", len(got), err, len(want))
		}
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("read of nothing: got %d, %v; want 0 and no wait", n, err)
		}
		if c.LocalAddr().String() != "device" || c.RemoteAddr().String() != "hub" {
			t.Errorf("addresses: got %v and %v; want those of the stream below", c.LocalAddr(), c.RemoteAddr())
		}
		if got := c.RemoteAddr().Network() + c.LocalAddr().Network(); got != "websocketwebsocket" {
			t.Errorf("networks: got %s", got)
		}
	})
}

func TestMessagesAreBinaryAndWhole(t *testing.T) {
	inBubble(t, func(t *testing.T, c *websocket.Conn) {
		kind, b, err := c.ReadMessage()
		if kind != websocket.BinaryMessage || string(b) != "abc" || err != nil {
			t.Errorf("the hub got a message of kind %d, %q, %v; want a binary one with abc", kind, b, err)
		}
	}, func(t *testing.T, c net.Conn) {
		if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatalf("Write: got %d, %v", n, err)
		}
	})
}

func TestFramesOfTheHub(t *testing.T) {
	for _, c := range []struct {
		name   string
		frames []string
		want   string
		end    error
	}{
		{"pieces, empties, a ping between", []string{"\x02\x01a", "\x89\x00", "\x00\x00", "\x80\x02bc", "\x82\x00", "\x82\x01d", "\x88\x02\x03\xe8"}, "abcd", io.EOF},
		{"going away", []string{"\x82\x01a", "\x88\x02\x03\xe9"}, "a", io.EOF},
		{"a goodbye without a code", []string{"\x88\x00"}, "", io.EOF},
		{"text", []string{"\x82\x01a", "\x81\x01b"}, "a", transport.ErrProtocol},
		{"the largest message is one byte too long", []string{"\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x01"}, "", transport.ErrProtocol},
		{"a length of 2^63", []string{"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"}, "", transport.ErrProtocol},
		{"a masked frame", []string{"\x82\x81abcdx"}, "", transport.ErrProtocol},
		{"compressed without consent", []string{"\xc2\x01a"}, "", transport.ErrProtocol},
		{"a frame of no kind", []string{"\x83\x01a"}, "", transport.ErrProtocol},
		{"a long ping", []string{"\x89\x7e\x00\x7e"}, "", transport.ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, says(c.frames...), func(t *testing.T, conn net.Conn) {
				got := make([]byte, len(c.want))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != c.want {
					t.Fatalf("got %q, %v; want %q", got, err, c.want)
				}
				for range 3 { // it stays so
					n, err := conn.Read(make([]byte, 8))
					if n != 0 || !errors.Is(err, c.end) {
						t.Fatalf("at the end: got %d, %v; want %v", n, err, c.end)
					}
					if c.end == io.EOF && err != io.EOF {
						t.Fatalf("at the end: got %v; want a bare io.EOF", err)
					}
				}
			})
		})
	}
}

func TestLargestMessage(t *testing.T) {
	inBubble(t, func(_ *testing.T, c *websocket.Conn) {
		_ = c.WriteMessage(websocket.BinaryMessage, make([]byte, 512<<10))
	}, func(t *testing.T, c net.Conn) {
		if n, err := io.ReadFull(c, make([]byte, 512<<10)); err != nil {
			t.Fatalf("got %d bytes, %v; want 512 KB", n, err)
		}
	})
}

func TestHubHangsUp(t *testing.T) {
	inBubble(t, func(*testing.T, *websocket.Conn) {}, func(t *testing.T, c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		wantError(t, "Read on a line that ended without a goodbye", err, io.ErrUnexpectedEOF)
	})
	inBubble(t, says("\x88\x06\x03\xf0full"), func(t *testing.T, c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "1008") || !strings.Contains(err.Error(), `"full"`) {
			t.Fatalf("Read: got %v; want the hub's code 1008 and its reason", err)
		}
		_, err = c.Write([]byte("x"))
		wantError(t, "Write after the hub's goodbye", err, io.ErrClosedPipe)
	})
}

func TestPingIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, c *websocket.Conn) {
		heard := make(chan string, 1)
		c.SetPongHandler(func(text string) error { heard <- text; return c.Close() })
		if err := c.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(time.Second)); err != nil {
			t.Errorf("ping: %v", err)
		}
		_, _, _ = c.ReadMessage()
		select {
		case got := <-heard:
			if got != "there?" {
				t.Errorf("the answer to the ping is %q; want the same text", got)
			}
		default:
			t.Error("the ping was not answered")
		}
	}, func(t *testing.T, c net.Conn) {
		// That the last write's deadline has passed is no reason to be silent.
		if err := c.SetWriteDeadline(time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 1))
		wantError(t, "Read", err, io.ErrUnexpectedEOF)
	})
}

func TestReadDeadline(t *testing.T) {
	inBubble(t, echo, func(t *testing.T, c net.Conn) {
		start := time.Now()
		if err := c.SetDeadline(start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { _ = c.SetReadDeadline(start.Add(2 * time.Minute)) })
		for range 2 { // and then never again
			_, err := c.Read(make([]byte, 1))
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
		}
		if got := time.Since(start); got != 2*time.Minute {
			t.Errorf("the read ended after %v; want 2m", got)
		}
	})
}

func TestWriteDeadline(t *testing.T) {
	for _, c := range []struct {
		name  string
		first time.Duration // the deadline at the start; 0 for none
		then  time.Duration // the one that is set after a minute; 0 for none
		want  time.Duration
	}{
		{"stands", 2 * time.Minute, 0, 2 * time.Minute},
		{"comes under the write", 0, 3 * time.Minute, 3 * time.Minute},
		{"moves nearer under the write", time.Hour, 2 * time.Minute, 2 * time.Minute},
		{"moves farther under the write", 2 * time.Minute, time.Hour, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *websocket.Conn) { <-t.Context().Done() }, func(t *testing.T, conn net.Conn) {
				start := time.Now()
				if c.first != 0 {
					if err := conn.SetWriteDeadline(start.Add(c.first)); err != nil {
						t.Fatal(err)
					}
				}
				if c.then != 0 {
					time.AfterFunc(time.Minute, func() { _ = conn.SetWriteDeadline(start.Add(c.then)) })
				}
				n, err := conn.Write(make([]byte, 1<<20))
				wantError(t, "Write to a hub that does not read", err, os.ErrDeadlineExceeded)
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("got %#v; want a net.Error with Timeout() true", err)
				}
				if n <= 0 || n >= 1<<20 {
					t.Errorf("Write: got %d; want how much left, a part", n)
				}
				if got := time.Since(start); got != c.want {
					t.Errorf("the write ended after %v; want %v", got, c.want)
				}
				_ = conn.SetWriteDeadline(time.Time{})
				_, err = conn.Write([]byte("x"))
				wantError(t, "Write after half a frame", err, os.ErrDeadlineExceeded)
			})
		})
	}
}

func TestCloseWakes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *websocket.Conn) { <-t.Context().Done() }, func(t *testing.T, c net.Conn) {
		errs := make(chan error, 4)
		for range 2 { // one at work, one waiting for its turn
			go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
			go func() { _, err := c.Write(make([]byte, 1<<20)); errs <- err }()
		}
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		for range 4 {
			wantError(t, "a call under way", <-errs, net.ErrClosed)
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("that took %v; want no time, for a write was stuck", got)
		}
		_, err := c.Read(make([]byte, 1))
		wantError(t, "Read after Close", err, net.ErrClosed)
		_, err = c.Write([]byte("x"))
		wantError(t, "Write after Close", err, net.ErrClosed)
		if err := c.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
	})
}

func TestCloseSaysGoodbye(t *testing.T) {
	heard := make(chan error, 1)
	inBubble(t, func(_ *testing.T, c *websocket.Conn) {
		_, _, err := c.ReadMessage()
		heard <- err
	}, func(t *testing.T, c net.Conn) {
		go func() { _, _ = c.Read(make([]byte, 1)) }() // it does not get in the way
		synctest.Wait()
		c.Close()
	})
	if err := <-heard; !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("the hub heard %v; want code 1000", err)
	}
}

// TestCloseOnAFullLine fills the line with writes that all went through.
func TestCloseOnAFullLine(t *testing.T) {
	for _, calls := range []int{1, 2} {
		inBubble(t, func(t *testing.T, w *websocket.Conn) { <-t.Context().Done() }, func(t *testing.T, c net.Conn) {
			// 15 messages of 4104 bytes and one of 3976 are the 64 KB that the pipe holds.
			if _, err := c.Write(make([]byte, 15*4096+3968)); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() { c.Close() })
				synctest.Wait()
			}
			wg.Wait()
			want := 100 * time.Millisecond
			if calls > 1 {
				want = 0
			}
			if got := time.Since(start); got != want {
				t.Errorf("%d calls of Close took %v; want %v", calls, got, want)
			}
		})
	}
}
