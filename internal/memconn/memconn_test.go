package memconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/memconn"
)

// inBubble runs one case in virtual time, on a fresh stream. That the bubble
// ends is part of every case: nothing may still wait.
func inBubble(t *testing.T, run func(t *testing.T, client, server net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := memconn.Pipe("device", "hub")
		defer client.Close()
		defer server.Close()
		run(t, client, server)
	})
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); err != nil || n != len(text) {
		t.Fatalf("Write(%q): got %d, %v; want all of it", text, n, err)
	}
}

func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got[:n]) != want {
		t.Fatalf("read: got %q, %v; want %q", got[:n], err, want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v; want %v", what, err, want)
	}
}

// wantTimeout wants what callers of a net.Conn look for.
func wantTimeout(t *testing.T, what string, err error) {
	t.Helper()
	wantError(t, what, err, os.ErrDeadlineExceeded)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		t.Fatalf("%s: got %#v; want a net.Error with Timeout() true", what, err)
	}
}

// fill writes until the buffer is full and returns how much fits.
func fill(t *testing.T, c net.Conn) int {
	t.Helper()
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Write(make([]byte, 1<<20))
	wantTimeout(t, "write to an end that nobody reads", err)
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBothDirections(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		// Neither side reads before both have written: on a net.Pipe this hangs.
		write(t, client, "question")
		write(t, server, "answer")
		wantRead(t, client, "answer")
		wantRead(t, server, "question")
	})
}

func TestReadTakesWhatIsThere(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		write(t, client, "ab")
		write(t, client, "cd")
		b := make([]byte, 10)
		n, err := server.Read(b)
		if err != nil || string(b[:n]) != "abcd" {
			t.Fatalf("got %q, %v; want what two writes left", b[:n], err)
		}
		if n, err := server.Read(nil); n != 0 || err != nil {
			t.Fatalf("read of nothing: got %d, %v; want 0 and no wait", n, err)
		}
	})
}

func TestWriteKeepsNothingOfItsBuffer(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		b := []byte("before")
		if _, err := client.Write(b); err != nil {
			t.Fatal(err)
		}
		copy(b, "after!")
		wantRead(t, server, "before")
	})
}

func TestBufferIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		if got, want := fill(t, client), 64<<10; got != want {
			t.Fatalf("a write to an end that nobody reads took %d bytes; want %d", got, want)
		}
		// What was taken is there to be read, and then there is room again.
		if n, err := io.ReadFull(server, make([]byte, 64<<10)); err != nil {
			t.Fatalf("read back: got %d, %v", n, err)
		}
		write(t, client, "room again")
		wantRead(t, server, "room again")
	})
}

func TestLongWriteGoesThrough(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		want := bytes.Repeat([]byte("0123456789abcdef"), 20000)
		go func() {
			defer client.Close()
			if n, err := client.Write(want); err != nil || n != len(want) {
				t.Errorf("write: got %d, %v; want %d", n, err, len(want))
			}
		}()
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v; want the %d that were written", len(got), err, len(want))
		}
	})
}

func TestWritesDoNotInterleave(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		const size = 100_000 // longer than the buffer
		var writers sync.WaitGroup
		for _, c := range "abc" {
			writers.Go(func() {
				if _, err := client.Write(bytes.Repeat([]byte{byte(c)}, size)); err != nil {
					t.Errorf("write: %v", err)
				}
			})
		}
		go func() { writers.Wait(); client.Close() }()
		got, err := io.ReadAll(server)
		if err != nil || len(got) != 3*size {
			t.Fatalf("got %d bytes, %v; want %d", len(got), err, 3*size)
		}
		for i := range 3 {
			if piece := got[i*size:][:size]; bytes.Count(piece, piece[:1]) != size {
				t.Fatalf("write %d arrived with another one's bytes in it", i)
			}
		}
	})
}

func TestOneWriteServesManyReads(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		const readers = 5
		errs := make(chan error, readers)
		for range readers {
			go func() { _, err := server.Read(make([]byte, 1)); errs <- err }()
		}
		synctest.Wait()
		write(t, client, "01234")
		for range readers {
			wantError(t, "read of one byte", <-errs, nil)
		}
	})
}

func TestCloseOfTheOtherEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		write(t, client, "last words")
		client.Close()
		wantRead(t, server, "last words")
		_, err := server.Read(make([]byte, 1))
		if err != io.EOF {
			t.Fatalf("read after the end: got %v; want bare io.EOF", err)
		}
		_, err = server.Write([]byte("x"))
		wantError(t, "write to a closed end", err, io.ErrClosedPipe)
	})
}

func TestCloseOfThisEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		write(t, server, "too late")
		for range 3 {
			if err := client.Close(); err != nil {
				t.Fatalf("Close: got %v; want nil, also when repeated", err)
			}
		}
		_, err := client.Read(make([]byte, 1))
		wantError(t, "read", err, net.ErrClosed)
		_, err = client.Write([]byte("x"))
		wantError(t, "write", err, net.ErrClosed)
		wantError(t, "SetDeadline", client.SetDeadline(time.Now()), net.ErrClosed)
	})
}

func TestCloseWakes(t *testing.T) {
	for _, c := range []struct {
		name  string
		close func(client, server net.Conn) net.Conn
		read  error
		write error
	}{
		{"this end", func(c, _ net.Conn) net.Conn { return c }, net.ErrClosed, net.ErrClosed},
		{"the other end", func(_, s net.Conn) net.Conn { return s }, io.EOF, io.ErrClosedPipe},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, client, server net.Conn) {
				fill(t, client)
				errs := make(chan error, 3)
				go func() { _, err := client.Read(make([]byte, 1)); errs <- err }()
				synctest.Wait()
				c.close(client, server).Close()
				wantError(t, "read under way", <-errs, c.read)
			})
			inBubble(t, func(t *testing.T, client, server net.Conn) {
				fill(t, client)
				errs := make(chan error, 2)
				for range 2 { // one waits for room, one for its turn
					go func() { _, err := client.Write([]byte("x")); errs <- err }()
				}
				synctest.Wait()
				c.close(client, server).Close()
				wantError(t, "first write under way", <-errs, c.write)
				wantError(t, "second write under way", <-errs, c.write)
			})
		})
	}
}

func TestReadDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		start := time.Now()
		set := func(at time.Duration) {
			if err := client.SetReadDeadline(start.Add(at)); err != nil {
				t.Fatal(err)
			}
		}
		set(time.Hour)
		_, err := client.Read(make([]byte, 1))
		wantTimeout(t, "read", err)
		if got := time.Since(start); got != time.Hour {
			t.Fatalf("the read ended after %v; want 1h", got)
		}
		write(t, server, "x")
		_, err = client.Read(make([]byte, 1))
		wantTimeout(t, "read with data there, past the deadline", err)
		set(2 * time.Hour)
		wantRead(t, client, "x")
	})
}

func TestDeadlineMovesUnderAWait(t *testing.T) {
	for _, c := range []struct {
		name string
		to   time.Duration // from the start; the wait began with one of a minute
		want time.Duration
	}{
		{"into the past", -time.Second, 10 * time.Second},
		{"nearer", 20 * time.Second, 20 * time.Second},
		{"farther", time.Hour, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, client, server net.Conn) {
				fill(t, client)
				start := time.Now()
				client.SetDeadline(start.Add(time.Minute))
				ended := make(chan error, 2)
				go func() { _, err := client.Read(make([]byte, 1)); ended <- err }()
				go func() { _, err := client.Write(make([]byte, 1)); ended <- err }()
				<-time.After(10 * time.Second)
				client.SetDeadline(start.Add(c.to))
				wantTimeout(t, "first", <-ended)
				wantTimeout(t, "second", <-ended)
				if got := time.Since(start); got != c.want {
					t.Fatalf("both ended after %v; want %v", got, c.want)
				}
			})
		})
	}
}

func TestDeadlineIsTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T, client, server net.Conn) {
		client.SetDeadline(time.Now().Add(time.Second))
		client.SetDeadline(time.Time{})
		read := make(chan error, 1)
		go func() { _, err := client.Read(make([]byte, 1)); read <- err }()
		<-time.After(24 * time.Hour)
		select {
		case err := <-read:
			t.Fatalf("read without a deadline ended: %v", err)
		default:
		}
		write(t, server, "x")
		wantError(t, "read after a day", <-read, nil)
	})
}

func TestAddresses(t *testing.T) {
	client, server := memconn.Pipe("device", "hub")
	for _, c := range []struct {
		what string
		got  net.Addr
		want string
	}{
		{"client's local", client.LocalAddr(), "device"},
		{"client's remote", client.RemoteAddr(), "hub"},
		{"server's local", server.LocalAddr(), "hub"},
		{"server's remote", server.RemoteAddr(), "device"},
	} {
		if c.got.String() != c.want || c.got.Network() != "mem" {
			t.Errorf("%s address: got %s %q; want mem %q", c.what, c.got.Network(), c.got, c.want)
		}
	}
}

// TestAbort holds that the other end reads nothing of what was on its way.
func TestAbort(t *testing.T) {
	client, server := memconn.Pipe("client", "server")
	for _, e := range []net.Conn{client, server} {
		if _, err := e.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.(interface{ Abort() error }).Abort(); err != nil {
		t.Errorf("Abort: %v", err)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the other end reads %d bytes, %v; want the end", n, err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the other end writes: %v; want io.ErrClosedPipe", err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("this end reads: %v; want net.ErrClosed", err)
	}
}
