package hubtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/transport"
)

// logbook keeps what a hub logs.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logbook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

// logger writes to the book, without the time.
func (b *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// lines returns the lines that hold a word.
func (b *logbook) lines(word string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(strings.Split(b.text.String(), "\n"), func(s string) bool { return !strings.Contains(s, word) })
}

// endings is a word of the line that tells of a connection's end.
const endings = "connection ended"

// A goodbye is an ordinary thing, and is logged as one.
func TestLogOfAGoodbye(t *testing.T) { bubble(t, testLogOfAGoodbye) }
func testLogOfAGoodbye(t *testing.T) {
	var book logbook
	h := New(t, &Options{Logger: book.logger()})
	c := login(t, h, addDevice(t, h, "dev1"))
	c.send(packetBytes(t, "DISCONNECT"))
	_ = c.conn.Close()
	synctest.Wait()
	want := []string{`level=INFO msg="connection ended" device=dev1 reason="device said goodbye"`}
	if got := book.lines(endings); !slices.Equal(got, want) {
		t.Errorf("a goodbye: got %q, want %q", got, want)
	}
}

// A socket that the client has closed, or reset, cannot say its end: no matter.
func TestLogOfAClosedSocket(t *testing.T) {
	for _, reset := range []bool{false, true} {
		var book logbook
		h := New(t, &Options{Logger: book.logger()})
		d := addDevice(t, h, "dev1")
		addr := must[net.Addr](t, "Listen")(h.Listen("127.0.0.1:0"))
		plain := must[net.Conn](t, "Dial")(net.Dial("tcp", addr.String()))
		c := secure(t, h, transport.TLSOptions{DialContext: func(context.Context, string, string) (net.Conn, error) { return plain, nil }}, h.Host())
		c.send(hello(t, h, d).bytes())
		c.play("< CONNACK sp=0 rc=0")
		if reset {
			if err := plain.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
		}
		_ = plain.Close()
		if _, err := h.Device("dev1").Wait(t.Context(), func(tw Twin) bool { return !tw.Connected }); err != nil {
			t.Fatal(err)
		}
		if got := book.lines(endings); len(got) != 1 || strings.Contains(got[0], "closeErr") {
			t.Errorf("closed by the client (reset: %v): got %q, want one line without closeErr", reset, got)
		}
	}
}

func TestErrorsOfAClose(t *testing.T) {
	odd := errors.New("odd")
	for _, tt := range []struct {
		desc      string
		err, want error
	}{
		{"no error", nil, nil},
		{"a socket that the client has left", &net.OpError{Op: "close", Err: os.NewSyscallError("shutdown", syscall.ENOTCONN)}, nil},
		{"a socket that was reset", os.NewSyscallError("write", syscall.EPIPE), nil},
		{"a socket that is closed", fmt.Errorf("set: %w", net.ErrClosed), nil},
		{"a pipe that is closed", io.ErrClosedPipe, nil},
		{"any other", odd, odd},
	} {
		if got := unlessGone(tt.err); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.desc, got, tt.want)
		}
	}
}

// brokenLine is a stream whose end fails.
type brokenLine struct{ net.Conn }

func (l brokenLine) Close() error {
	return errors.Join(l.Conn.Close(), errors.New("one"), errors.New("two"))
}

func TestLogOfAnOddEnd(t *testing.T) {
	var book logbook
	h := New(t, &Options{Logger: book.logger()})
	here, there := net.Pipe()
	defer there.Close()
	newConn(h, brokenLine{here}, false, nil).close(errors.Join(errText, errEnded).Error())
	want := []string{`level=INFO msg="connection ended" device="" reason="a WebSocket message of text; connection was ended" closeErr="one; two"`}
	if got := book.lines(endings); !slices.Equal(got, want) {
		t.Errorf("an end that fails: got %q, want %q", got, want)
	}
}

// Who leaves a connection that others use is seen to leave.
func TestLogOfWhoLeaves(t *testing.T) { bubble(t, testLogOfWhoLeaves) }
func testLogOfWhoLeaves(t *testing.T) {
	for desc, test := range map[string]struct {
		end  func(h *Hub, s *amqp.Session, l twinLinks) error
		want []string
	}{
		"detached": {func(_ *Hub, _ *amqp.Session, l twinLinks) error {
			return errors.Join(l.out.Close(t.Context()), l.in.Close(t.Context()))
		}, []string{"level=INFO msg=left device=two"}},
		"END": {func(_ *Hub, s *amqp.Session, _ twinLinks) error {
			return s.Close(t.Context())
		}, []string{"level=INFO msg=left device=two"}},
		"one of two links": {func(_ *Hub, _ *amqp.Session, l twinLinks) error {
			return l.out.Close(t.Context())
		}, nil},
		"ended by the hub": {func(h *Hub, _ *amqp.Session, l twinLinks) error {
			defer l.gone()
			return h.Device("two").Cut()
		}, nil},
	} {
		var book logbook
		h := New(t, &Options{Logger: book.logger()})
		one, two := addDevice(t, h, "one"), addDevice(t, h, "two")
		c := openAMQP(t, h)
		c.admit(one, time.Now())
		c.admit(two, time.Now())
		l1 := c.twin(one)
		session, err := c.conn.NewSession(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		l2 := (&amqpClient{t: t, conn: c.conn, session: session}).twin(two)
		l1.alive()
		l2.alive()
		if err := test.end(h, session, l2); err != nil {
			t.Fatalf("%s: %v", desc, err)
		}
		synctest.Wait()
		if got := book.lines("left"); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", desc, got, test.want)
		}
		l1.alive()
	}
}

// A login is logged with what it came over.
func TestLogOfALogin(t *testing.T) { bubble(t, testLogOfALogin) }
func testLogOfALogin(t *testing.T) {
	for over, connect := range map[string]func(h *Hub, d Device){
		"MQTT":           func(h *Hub, d Device) { login(t, h, d) },
		"MQTT/WebSocket": func(h *Hub, d Device) { webLogin(t, h, d) },
		"AMQP":           func(h *Hub, d Device) { openAMQP(t, h).admit(d, time.Now()) },
		"AMQP/WebSocket": func(h *Hub, d Device) {
			line := httpsStream(t, h)
			_, in := webAnswer(t, line, "GET /$iothub/websocket HTTP/1.1\r\n"+webLines+"Sec-WebSocket-Protocol: AMQPWSB10\r\n\r\n")
			conn, err := amqp.NewConn(t.Context(), &webClient{Conn: line, in: in}, &amqp.ConnOptions{HostName: h.Host(), IdleTimeout: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			clientOn(t, conn).admit(d, time.Now())
		},
	} {
		var book logbook
		h := New(t, &Options{Logger: book.logger()})
		connect(h, addDevice(t, h, "dev1"))
		synctest.Wait()
		want := "level=INFO msg=connected device=dev1 over=" + over
		if got := book.lines("connected"); len(got) != 1 || !strings.HasPrefix(got[0]+" ", want+" ") {
			t.Errorf("got %q, want one line that begins with %q", got, want)
		}
	}
}
