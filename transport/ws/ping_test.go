package ws_test

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// full is how many bytes of Write fill the 64 KB that a pipe holds, but for some.
const full = 15*4096 + 3960

// A ping that meets a full send buffer is answered when there is room. Reading and
// writing go on, as long as the line stalls for less than the limit.
func TestPingIntoAFullLine(t *testing.T) {
	for _, test := range []struct {
		name   string
		stands time.Duration // the uplink
		err    error         // of Read
		after  time.Duration
	}{
		{"for a moment", 3 * time.Second, io.EOF, 3 * time.Second},
		{"for nearly too long", 9 * time.Second, io.EOF, 9 * time.Second},
		{"for ever", time.Hour, os.ErrDeadlineExceeded, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			var heard []string
			inBubble(t, func(t *testing.T, w *websocket.Conn) {
				time.Sleep(time.Second) // the client has filled its buffer
				for _, text := range []string{"one", "two", "three"} {
					if err := w.WriteControl(websocket.PingMessage, []byte(text), time.Now().Add(time.Second)); err != nil {
						t.Errorf("ping: %v", err)
					}
				}
				if err := w.WriteMessage(websocket.BinaryMessage, []byte("data")); err != nil {
					t.Error(err)
				}
				time.Sleep(test.stands)
				w.SetPongHandler(func(text string) error {
					if heard = append(heard, text); text == "three" {
						return w.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
					}
					return nil
				})
				for {
					if _, _, err := w.ReadMessage(); err != nil {
						return
					}
				}
			}, func(t *testing.T, c net.Conn) {
				_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
				if _, err := c.Write(make([]byte, full)); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 10)
				n, err := c.Read(b)
				began := time.Now()
				if err != nil || string(b[:n]) != "data" {
					t.Fatalf("Read: got %q, %v; want what the hub sent behind its pings", b[:n], err)
				}
				_, err = c.Read(b)
				wantError(t, "Read", err, test.err)
				if took := time.Since(began); took < test.after || took > test.after+time.Second {
					t.Errorf("the stream ended after %v; want %v", took, test.after)
				}
				if test.err != io.EOF {
					_, err = c.Write([]byte("x"))
					wantError(t, "Write", err, test.err)
				}
			})
			if test.err != io.EOF {
				return
			}
			// The first met the buffer's last bytes. Of those that waited the last counts.
			if n := len(heard); n == 0 || n > 2 || heard[n-1] != "three" {
				t.Errorf("the hub heard %q; want the last answer", heard)
			}
		})
	}
}

// What is written waits for the answer to a ping, and Close for nothing.
func TestPingHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *websocket.Conn) {
		time.Sleep(time.Second)
		_ = w.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Second))
		<-t.Context().Done()
	}, func(t *testing.T, c net.Conn) {
		if _, err := c.Write(make([]byte, full)); err != nil {
			t.Fatal(err)
		}
		read, written := make(chan error, 1), make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		time.Sleep(2 * time.Second)
		go func() { _, err := c.Write([]byte("x")); written <- err }()
		synctest.Wait()
		// The user's deadline concerns the answer too.
		start := time.Now()
		_ = c.SetWriteDeadline(start.Add(time.Second))
		wantError(t, "Write behind an answer", <-written, os.ErrDeadlineExceeded)
		wantError(t, "Read", <-read, os.ErrDeadlineExceeded)
		if took := time.Since(start); took != time.Second {
			t.Errorf("that took %v; want 1s", took)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	inBubble(t, func(t *testing.T, w *websocket.Conn) {
		time.Sleep(time.Second)
		_ = w.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Second))
		<-t.Context().Done()
	}, func(t *testing.T, c net.Conn) {
		if _, err := c.Write(make([]byte, full)); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		// So does one that was set before the ping came, once somebody writes.
		start := time.Now()
		_ = c.SetWriteDeadline(start.Add(4 * time.Second))
		time.Sleep(3 * time.Second)
		_, err := c.Write([]byte("x"))
		wantError(t, "Write behind an answer", err, os.ErrDeadlineExceeded)
		wantError(t, "Read", <-read, os.ErrDeadlineExceeded)
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("that took %v; want 4s", took)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	inBubble(t, func(t *testing.T, w *websocket.Conn) {
		time.Sleep(time.Second)
		_ = w.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Second))
		<-t.Context().Done()
	}, func(t *testing.T, c net.Conn) {
		if _, err := c.Write(make([]byte, full)); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		time.Sleep(2 * time.Second)
		start := time.Now()
		if err := c.Close(); err != nil || time.Since(start) > 0 {
			t.Errorf("Close under an answer: %v after %v; want nil at once", err, time.Since(start))
		}
		wantError(t, "Read", <-read, net.ErrClosed)
	})
}
