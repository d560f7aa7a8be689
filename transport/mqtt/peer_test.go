package mqtt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/memconn"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// A peer is a hub that follows a script, byte by byte.
type peer struct {
	t *testing.T
	net.Conn
}

// dial begins to log in at a peer, which the caller scripts; the channel says
// how it ended.
func dial(ctx context.Context, t *testing.T, login transport.Login) (*peer, <-chan dialed) {
	t.Helper()
	client, server := memconn.Pipe("device", "hub")
	t.Cleanup(func() { server.Close() })
	return &peer{t, server}, dialOn(ctx, client, login)
}

func dialOn(ctx context.Context, stream net.Conn, login transport.Login) <-chan dialed {
	done := make(chan dialed, 1)
	go func() {
		d := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) { return stream, nil }}
		conn, err := d.Dial(ctx, login)
		done <- dialed{conn, err}
	}()
	return done
}

type dialed struct {
	conn transport.Conn
	err  error
}

// connect logs in at a peer that accepts.
func connect(t *testing.T, login transport.Login) (transport.Conn, *peer) {
	t.Helper()
	p, done := dial(t.Context(), t, login)
	return p.accept(done), p
}

// connectOn is connect with something put around the device's stream.
func connectOn(t *testing.T, around func(net.Conn, *peer) net.Conn) (transport.Conn, *peer) {
	t.Helper()
	client, server := memconn.Pipe("device", "hub")
	t.Cleanup(func() { server.Close() })
	p := &peer{t, server}
	return p.accept(dialOn(t.Context(), around(client, p), login(keepAlive))), p
}

// accept accepts a login.
func (p *peer) accept(done <-chan dialed) transport.Conn {
	p.t.Helper()
	p.wantPacket("the device logs in", 0x10)
	p.say("\x20\x02\x00\x00")
	d := <-done
	if d.err != nil {
		p.t.Fatalf("Dial: %v", d.err)
	}
	p.t.Cleanup(func() { d.conn.Close() })
	return d.conn
}

// A hooked stream tells what has been written.
type hooked struct {
	net.Conn
	wrote func([]byte)
}

func (h *hooked) Write(b []byte) (int, error) {
	n, err := h.Conn.Write(b)
	h.wrote(b[:n])
	return n, err
}

// login is the plainest one, with a keep-alive.
func login(keepAlive time.Duration) transport.Login {
	return transport.Login{
		Identity:  auth.Identity{Host: "hub.test", DeviceID: "dev1"},
		Product:   "p",
		KeepAlive: keepAlive,
	}
}

// text is a string as MQTT writes it.
func text(s string) string { return string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))) + s }

// packet is a packet of less than 16 KB.
func packet(first byte, body string) string {
	n := len(body)
	if n < 128 {
		return string([]byte{first, byte(n)}) + body
	}
	return string([]byte{first, byte(n) | 0x80, byte(n >> 7)}) + body
}

// publish is a PUBLISH of QoS 0.
func publish(topic, payload string) string { return packet(0x30, text(topic)+payload) }

func (p *peer) say(bytes string) {
	p.t.Helper()
	if _, err := p.Write([]byte(bytes)); err != nil {
		p.t.Fatalf("hub writes %q: %v", bytes, err)
	}
}

// wantBytes wants exactly these bytes next.
func (p *peer) wantBytes(sentence, want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(p, got)
	if err != nil || string(got) != want {
		p.t.Fatalf("%s:\n got %q, %v\nwant %q", sentence, got[:n], err, want)
	}
}

// wantPacket wants a packet whose first byte is that, and returns the rest.
func (p *peer) wantPacket(sentence string, first byte) []byte {
	p.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(p, head[:]); err != nil || head[0] != first {
		p.t.Fatalf("%s: got first byte %#x, %v; want %#x", sentence, head[0], err, first)
	}
	n := int(head[1] & 0x7f)
	if head[1] >= 0x80 {
		var more [1]byte
		io.ReadFull(p, more[:])
		n |= int(more[0]) << 7
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(p, body); err != nil {
		p.t.Fatalf("%s: %v", sentence, err)
	}
	return body
}

// wantSilence wants nothing for that long.
func (p *peer) wantSilence(sentence string, d time.Duration) {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(d))
	b := make([]byte, 64)
	n, err := p.Read(b)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("%s: got %q, %v; want silence for %v", sentence, b[:n], err, d)
	}
	p.SetReadDeadline(time.Time{})
}

// wantEnd wants the end of the stream, after whatever else stands in it.
func (p *peer) wantEnd(sentence string) {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, p.Conn); err != nil {
		p.t.Fatalf("%s: got %v; want the end of the stream", sentence, err)
	}
}

// drain reads and forgets, until the stream ends or the deadline passes.
func (p *peer) drain() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, p.Conn)
	}()
	return done
}

func send(t *testing.T, c transport.Conn, f transport.Frame) {
	t.Helper()
	if err := c.Send(t.Context(), f); err != nil {
		t.Fatalf("Send %v %s: %v", f.Kind, f.ID, err)
	}
}

func wantFrame(t *testing.T, sentence string, c transport.Conn, want transport.Frame) {
	t.Helper()
	got, err := c.Receive(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v, %v\nwant %+v", sentence, got, err, want)
	}
}

func wantError(t *testing.T, sentence string, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Fatalf("%s: got error %v; want it to match %q", sentence, err, want)
		}
	}
	if err != nil {
		wantName(t, sentence, err)
	}
}

// wantName wants an error to begin with the name of this package or the contract's,
// once.
func wantName(t *testing.T, sentence string, err error) {
	t.Helper()
	text := err.Error()
	if !strings.HasPrefix(text, "transport: ") && !strings.HasPrefix(text, "mqtt: ") || strings.Contains(text, ": transport: ") || strings.Contains(text, ": mqtt: ") {
		t.Errorf("%s: got %q; want it to begin with the name of its package, once", sentence, text)
	}
}

// wantElapsed wants virtual time to have passed exactly so.
func wantElapsed(t *testing.T, sentence string, since time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(since); got != want {
		t.Fatalf("%s: got %v; want %v", sentence, got, want)
	}
}

// ended is a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
