package hubtest

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// Opcodes of frames (RFC 6455, 5.2); fin is the bit of a message's last.
const (
	opMore, opText, opBinary     = 0x0, 0x1, 0x2
	opClose, opPing, opPong, fin = 0x8, 0x9, 0xa, 0x80
)

// webLines are the headers of the Node.js SDK's handshake; the sample key is
// the one of RFC 6455, 1.3.
const webLines = "Host: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

const webAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// webClient is the client's end of a WebSocket, frame by frame and by hand: it
// shares no code with the hub or with transport/ws. Control frames that it
// reads are noted, in heard.
type webClient struct {
	net.Conn
	in    *bufio.Reader
	size  int      // of its messages, 0 for as they are written
	left  []byte   // of the frame that was read last
	heard []string // such as "pong x" and "close 1000"
	sizes []int    // of the binary frames
}

// Write sends b as binary messages.
func (c *webClient) Write(b []byte) (int, error) {
	size := c.size
	if size == 0 {
		size = len(b)
	}
	var all []byte
	for i := 0; i < len(b); i += size {
		all = append(all, maskedFrame(fin|opBinary, string(b[i:min(i+size, len(b))]))...)
	}
	if _, err := c.Conn.Write(all); err != nil {
		return 0, err
	}
	return len(b), nil
}

// maskedFrame is a frame as clients send it.
func maskedFrame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// Read returns what binary frames hold.
func (c *webClient) Read(b []byte) (int, error) {
	for len(c.left) == 0 {
		head, err := c.in.Peek(2)
		if err != nil {
			return 0, err
		}
		n := uint64(head[1]) // a server's frames have no mask
		skip := 2
		if n >= 126 {
			skip = map[uint64]int{126: 4, 127: 10}[n]
			long, err := c.in.Peek(skip)
			if err != nil {
				return 0, fmt.Errorf("half a frame: %w", err)
			}
			n = binary.BigEndian.Uint64(append(make([]byte, 10-skip), long[2:]...))
		}
		first := head[0]
		_, _ = c.in.Discard(skip)
		payload := make([]byte, n)
		if _, err := io.ReadFull(c.in, payload); err != nil {
			return 0, fmt.Errorf("half a frame: %w", err)
		}
		switch first {
		case fin | opBinary:
			c.left, c.sizes = payload, append(c.sizes, len(payload))
		case fin | opPong:
			c.heard = append(c.heard, "pong "+string(payload))
		case fin | opClose:
			text := "close"
			if len(payload) >= 2 {
				text = fmt.Sprint("close ", binary.BigEndian.Uint16(payload))
			}
			c.heard = append(c.heard, text)
		default:
			return 0, fmt.Errorf("a frame of 0x%x", first)
		}
	}
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

// says sends frames as they are.
func (c *webClient) says(t testing.TB, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := c.Conn.Write(f); err != nil {
			t.Fatalf("frame: %v", err)
		}
	}
}

// heardAtTheEnd reads up to the end, and returns what it was told.
func (c *webClient) heardAtTheEnd() string {
	_ = c.SetReadDeadline(time.Now().Add(time.Hour))
	_, _ = io.Copy(io.Discard, c)
	return strings.Join(c.heard, ", ")
}

// webAnswer sends the handshake and reads the answer.
func webAnswer(t testing.TB, conn net.Conn, request string) (*http.Response, *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("answer to the handshake: %v", err)
	}
	return answer, in
}

// webOn makes a stream a WebSocket with the sub-protocol mqtt.
func webOn(t testing.TB, conn net.Conn, query string) (*raw, *webClient) {
	t.Helper()
	answer, in := webAnswer(t, conn, "GET /$iothub/websocket"+query+" HTTP/1.1\r\n"+webLines+"Sec-WebSocket-Protocol: mqtt\r\n\r\n")
	got := fmt.Sprint(answer.StatusCode, answer.Header["Sec-Websocket-Accept"], answer.Header["Sec-Websocket-Protocol"], answer.Header["Sec-Websocket-Extensions"])
	if want := "101[" + webAccept + "] [mqtt] []"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Fatalf("answer to the handshake: got %s, want %s", got, want)
	}
	c := &webClient{Conn: conn, in: in}
	return &raw{t: t, conn: c, r: bufio.NewReader(c)}, c
}

// webOpen opens a WebSocket in memory, without TLS.
func webOpen(t testing.TB, h *Hub) (*raw, *webClient) {
	t.Helper()
	return webOn(t, httpsStream(t, h), "")
}

func httpsStream(t testing.TB, h *Hub) net.Conn {
	t.Helper()
	conn := must[net.Conn](t, "Stream")(h.Stream(context.Background(), transport.Target{Host: h.Host(), Port: 443}))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// webLogin is a device that has logged in.
func webLogin(t testing.TB, h *Hub, d Device) (*raw, *webClient) {
	t.Helper()
	c, ws := webOpen(t, h)
	c.send(hello(t, h, d).bytes())
	c.play("< CONNACK sp=… rc=0")
	return c, ws
}

// webTLS opens a WebSocket over TLS on a stream.
func webTLS(t testing.TB, h *Hub, plain net.Conn, cert *tls.Certificate, query string) (*raw, *webClient) {
	t.Helper()
	t.Cleanup(func() { _ = plain.Close() })
	config := &tls.Config{ServerName: h.Host(), RootCAs: h.RootCAs(), Time: h.opts.Now}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	return webOn(t, tls.Client(plain, config), query)
}

// The sample of RFC 6455 is the one that this file was written with.
func TestWebAccept(t *testing.T) {
	sum := sha1.Sum([]byte("dGhlIHNhbXBsZSBub25jZQ==" + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != webAccept {
		t.Errorf("got %s, want %s", got, webAccept)
	}
}
