package hubtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// secure opens a verified TLS stream by the library's own way.
func secure(t *testing.T, h *Hub, opts transport.TLSOptions, host string) *raw {
	t.Helper()
	opts.Config = &tls.Config{RootCAs: h.RootCAs()}
	conn, err := transport.TLS(&opts)(context.Background(), transport.Target{Host: host, Port: 8883, Now: h.opts.Now})
	if err != nil {
		t.Fatalf("TLS: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t: t, conn: conn, r: bufio.NewReader(conn)}
}

func TestListen(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	addr, err := h.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	for _, host := range []string{h.Host(), "localhost", "127.0.0.1"} {
		c := secure(t, h, transport.TLSOptions{Address: addr.String()}, host)
		c.send(hello(t, h, d).bytes())
		c.play("< CONNACK sp=… rc=0" + subscribed + getTwin + gotTwin)
	}
	if _, err := h.Listen(addr.String()); err == nil {
		t.Errorf("listening twice: got no error")
	}
	h.SetLine(false)
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	if got := (&raw{t: t, conn: conn, r: bufio.NewReader(conn)}).receiveIn(5 * time.Second); got != "close" {
		t.Errorf("line down: got %s, want close", got)
	}
	_ = conn.Close()
}

// TestAddressAsHost holds that a hub may be called by an IP address: its
// certificate then says so, as clients want it.
func TestAddressAsHost(t *testing.T) {
	for _, host := range []string{"127.1.2.3", "hub.example.org"} {
		h := New(t, &Options{Host: host})
		d := addDevice(t, h, "dev1")
		addr, err := h.Listen("127.0.0.1:0", MQTT)
		if err != nil {
			t.Fatalf("Listen: %v", err)
		}
		c := secure(t, h, transport.TLSOptions{Address: addr.String()}, host)
		c.send(hello(t, h, d).bytes())
		c.play("< CONNACK sp=… rc=0")
	}
}

func TestDial(t *testing.T) { bubble(t, testDial) }
func testDial(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	c := secure(t, h, transport.TLSOptions{DialContext: h.DialContext}, h.Host())
	p := hello(t, h, d)
	p.keepAlive = 0
	c.send(p.bytes())
	c.play("< CONNACK sp=0 rc=0")
	time.Sleep(20 * time.Minute)
	c.play(ping)
	pool := h.RootCAs()
	if pem := x509.NewCertPool(); !pem.AppendCertsFromPEM(h.CAPEM()) || !pem.Equal(pool) {
		t.Errorf("CAPEM and RootCAs differ")
	}
	// A client that never speaks TLS is cut after 30 s.
	conn, err := h.DialContext(context.Background(), "tcp", "")
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	silent := &raw{t: t, conn: conn, r: bufio.NewReader(conn)}
	if got := silent.receiveIn(29 * time.Second); got != "silence" {
		t.Errorf("before 30 s: got %s, want silence", got)
	}
	if got := silent.receiveIn(2 * time.Second); got != "close" {
		t.Errorf("after 30 s: got %s, want close", got)
	}
	_ = conn.Close()
}

// A client that was still writing when the hub ended the connection reads its
// end, not a reset line.
func TestEndOfASocketIsNoReset(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	addr, err := h.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	for range 20 {
		c := secure(t, h, transport.TLSOptions{Address: addr.String()}, "localhost")
		c.send(hello(t, h, d).bytes())
		c.play("< CONNACK sp=… rc=0")
		c.send(packetBytes(t, "SUBSCRIBE 1 [foo Q0]"))
		for range 50 {
			c.send(packetBytes(t, "PINGREQ"))
		}
		if _, err := h.Device("dev1").Wait(t.Context(), func(tw Twin) bool { return !tw.Connected }); err != nil {
			t.Fatalf("the hub did not end the connection: %v", err)
		}
		if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read: got %v, want EOF", err)
		}
		_ = c.conn.Close()
	}
}
