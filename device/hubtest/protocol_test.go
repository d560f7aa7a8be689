package hubtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// ask sends text and returns the first line of the answer, "close" for none.
func (c *raw) ask(t *testing.T, text string) string {
	t.Helper()
	_, _ = c.conn.Write([]byte(text)) // the hub may have closed
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatalf("SetReadDeadline: %v", err)
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "close"
	}
	return strings.TrimSpace(line)
}

// begin sends text and returns how the answer begins, in at most 8 bytes;
// "close" for none.
func (c *raw) begin(t *testing.T, text string) string {
	t.Helper()
	_, _ = c.conn.Write([]byte(text)) // the hub may have closed
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatalf("SetReadDeadline: %v", err)
	}
	if _, err := c.r.Peek(1); err != nil {
		return "close"
	}
	b, _ := c.r.Peek(min(8, c.r.Buffered()))
	return string(b)
}

const headerAMQP = "AMQP\x00\x01\x00\x00"

const getNothing = "GET / HTTP/1.1\r\nHost: hub\r\n\r\n"

func TestOnePortForAll(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	tests := []struct {
		name   string
		speaks []Protocol
		port   string // of Dial
		mqtt   bool   // whether a device can log in
		http   string // how an answer to a request begins
		amqp   string
	}{
		{"every protocol", nil, "9000", true, "HTTP/1.1 404", headerAMQP},
		{"MQTT alone", []Protocol{MQTT}, "8883", true, "close", "close"},
		{"HTTPS alone", []Protocol{HTTPS}, "443", false, "HTTP/1.1 404", "HTTP/1.1"},
		{"AMQP alone", []Protocol{AMQP}, "5671", false, "close", headerAMQP},
		{"MQTT and AMQP", []Protocol{MQTT, AMQP}, "", true, "close", headerAMQP},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			addr, err := h.Listen("127.0.0.1:0", test.speaks...)
			if err != nil {
				t.Fatalf("Listen: %v", err)
			}
			ways := map[string]transport.TLSOptions{"socket": {Address: addr.String()}}
			if test.port != "" {
				ways["memory"] = transport.TLSOptions{DialContext: h.DialContext, Address: "hub:" + test.port}
			}
			for name, way := range ways {
				if got := secure(t, h, way, h.Host()).ask(t, getNothing); !strings.HasPrefix(got, test.http) {
					t.Errorf("HTTP by %s: got %q, want %q", name, got, test.http)
				}
				if got := secure(t, h, way, h.Host()).begin(t, headerAMQP+"\r\n\r\n"); got != test.amqp {
					t.Errorf("AMQP by %s: got %q, want %q", name, got, test.amqp)
				}
				c := secure(t, h, way, h.Host())
				login := hello(t, h, d).bytes()
				if !test.mqtt {
					login = append(login, "\n\n"...) // ends HTTP's wait for a line
				}
				got := c.begin(t, string(login))
				if loggedIn := strings.HasPrefix(got, "\x20\x02"); loggedIn != test.mqtt {
					t.Errorf("MQTT by %s: got %q, want a login: %v", name, got, test.mqtt)
				}
			}
		})
	}
	if _, err := h.Listen("127.0.0.1:0", Protocol(1883)); err == nil {
		t.Errorf("Listen for MQTT without TLS: got no error")
	}
}

func TestStreamGoesByThePort(t *testing.T) { bubble(t, testStreamGoesByThePort) }
func testStreamGoesByThePort(t *testing.T) {
	h := New(t, nil)
	stream := func(p Protocol) *raw {
		conn, err := h.Stream(context.Background(), transport.Target{Port: int(p)})
		if err != nil {
			t.Fatalf("Stream to %v: %v", p, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return &raw{t: t, conn: conn, r: bufio.NewReader(conn)}
	}
	if got, want := stream(HTTPS).ask(t, getNothing), "HTTP/1.1 404 Not Found"; got != want {
		t.Errorf("HTTPS: got %q, want %q", got, want)
	}
	if got := stream(AMQP).begin(t, headerAMQP); got != headerAMQP {
		t.Errorf("AMQP: got %q, want its header", got)
	}
	// A client that says nothing is cut after its 30 s, whatever it would speak.
	for _, address := range []string{"hub:443", "hub:5671", ""} {
		conn, err := h.DialContext(context.Background(), "tcp", address)
		if err != nil {
			t.Fatalf("Dial: %v", err)
		}
		tc := tls.Client(conn, &tls.Config{RootCAs: h.RootCAs(), ServerName: h.Host(), Time: h.opts.Now})
		if err := tc.Handshake(); err != nil {
			t.Fatalf("handshake: %v", err)
		}
		c := &raw{t: t, conn: tc, r: bufio.NewReader(tc)}
		if got := c.receiveIn(29 * time.Second); got != "silence" {
			t.Errorf("%q before 30 s: got %s, want silence", address, got)
		}
		if got := c.receiveIn(2 * time.Second); got != "close" {
			t.Errorf("%q after 30 s: got %s, want close", address, got)
		}
		_ = tc.Close()
	}
}

// A hub that closes does not wait for HTTP clients that hold their line.
func TestCloseEndsHTTP(t *testing.T) {
	h := New(t, nil)
	addr, err := h.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	idle := secure(t, h, transport.TLSOptions{Address: addr.String()}, "localhost")
	if got := idle.ask(t, getNothing); !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("got %q, want 404", got)
	}
	silent, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	defer silent.Close()
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
}

func TestProtocolNames(t *testing.T) {
	for p, want := range map[Protocol]string{MQTT: "MQTT", AMQP: "AMQP", HTTPS: "HTTPS", 80: "Protocol(80)"} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
