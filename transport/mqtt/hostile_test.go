package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

// canned is a hub that accepts the login, says what it has to say, and ends. It
// takes whatever it is sent.
type canned struct {
	says    io.Reader
	closed  chan struct{}
	writeBy time.Time
}

func newCanned(says string) *canned {
	return &canned{
		says:   io.MultiReader(strings.NewReader("\x20\x02\x00\x00"), strings.NewReader(says)),
		closed: make(chan struct{}),
	}
}

func (c *canned) Read(b []byte) (int, error)      { return c.says.Read(b) }
func (c *canned) Write(b []byte) (int, error)     { return len(b), nil }
func (c *canned) LocalAddr() net.Addr             { return nil }
func (c *canned) RemoteAddr() net.Addr            { return nil }
func (c *canned) SetDeadline(time.Time) error     { return nil }
func (c *canned) SetReadDeadline(time.Time) error { return nil }
func (c *canned) SetWriteDeadline(by time.Time) error {
	c.writeBy = by
	return nil
}
func (c *canned) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

// listen logs in at a hub that says that, and opens a feature.
func listen(t testing.TB, says string) transport.Conn {
	t.Helper()
	d := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) { return newCanned(says), nil }}
	c, err := d.Dial(context.Background(), login(time.Minute))
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	if err := c.Send(context.Background(), openResponses); err != nil {
		t.Fatalf("Send: %v", err)
	}
	return c
}

// hearOut receives to the end, which must come and be one of the known ones.
func hearOut(t *testing.T, says string) (frames int, err error) {
	t.Helper()
	c := listen(t, says)
	defer c.Close()
	for ; ; frames++ {
		f, err := c.Receive(context.Background())
		if err != nil {
			if !errors.Is(err, transport.ErrProtocol) && !errors.Is(err, transport.ErrLost) {
				t.Fatalf("hub says %q: got %v; want ErrProtocol or ErrLost", says, err)
			}
			return frames, err
		}
		fromHub := f.Kind == transport.Accepted || f.Kind == transport.Response || f.Kind == transport.Desired
		if frames > len(says) || !fromHub {
			t.Fatalf("hub says %q: frame %d is %+v", says, frames, f)
		}
		if f.Delivery == 0 {
			continue
		}
		if err := c.Send(context.Background(), settle(f.Delivery, transport.Complete)); err != nil && c.Send(context.Background(), get("1")) == nil {
			t.Fatalf("hub says %q: settle frame %d: %v", says, frames, err)
		}
	}
}

// TestWriteDeadlineIsTakenBack: TLS writes on its own while it reads, and would
// be broken for good by a deadline of the past.
func TestWriteDeadlineIsTakenBack(t *testing.T) {
	stream := newCanned("")
	d := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) { return stream, nil }}
	c, err := d.Dial(t.Context(), login(time.Minute))
	wantError(t, "Dial", err, nil)
	defer c.Close()
	for range 2 {
		if !stream.writeBy.IsZero() {
			t.Fatalf("after a write its deadline stands: %v", stream.writeBy)
		}
		send(t, c, get("1"))
	}
}

// good is what a hub may say to a device that opened a feature, a frame each.
var good = []string{
	"\x90\x03\x00\x01\x01",
	"\x90\x03\x00\x01\x80",
	publish(res+"204/?$rid=1&$version=2", ""),
	publish(res+"200/?$rid=1", `{"desired":{"$version":1},"reported":{"$version":1}}`),
	publish(desired+"?$version=5", `{"$version":5}`),
	packet(0x32, text(desired)+"\x00\x01{}"),
}

func TestTruncated(t *testing.T) {
	for _, whole := range good {
		if n, err := hearOut(t, whole); n != 1 || !errors.Is(err, transport.ErrLost) {
			t.Fatalf("%q: got %d frames, then %v; want one, then ErrLost", whole, n, err)
		}
		for i := range whole {
			if n, err := hearOut(t, whole[:i]); n != 0 || !errors.Is(err, transport.ErrLost) {
				t.Errorf("%q: got %d frames, then %v; want none, then ErrLost", whole[:i], n, err)
			}
		}
	}
}

// TestLying gives each byte of a packet, so each length, many other values. It
// ends, with an error, and never with a panic.
func TestLying(t *testing.T) {
	for _, whole := range good {
		for i := range whole {
			for _, lie := range []byte{0, 1, 2, 0x7f, 0x80, 0xff, whole[i] - 1, whole[i] + 1, whole[i] ^ 0x80} {
				lying := []byte(whole)
				lying[i] = lie
				hearOut(t, string(lying)+whole)
			}
		}
	}
}

func TestLyingLengthCostsNoMemory(t *testing.T) {
	for _, c := range []struct {
		says string
		want error
	}{
		{"\x30\xff\xff\xff\x7f" + text(desired), transport.ErrProtocol}, // 256 MB
		{"\x30\x80\x80\x40" + text(desired), transport.ErrLost},         // 1 MB
	} {
		conn := listen(t, c.says)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := conn.Receive(t.Context())
		runtime.ReadMemStats(&after)
		wantError(t, "Receive", err, c.want)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%q: allocated %d bytes; want at most 64 KB", c.says[:4], got)
		}
		conn.Close()
	}
}

// TestOutOfPlace are well-formed packets that a hub may not send.
func TestOutOfPlace(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"a second CONNACK", "\x20\x02\x00\x00"},
		{"CONNECT", packet(0x10, "\x00\x04MQTT\x04\x02\x00\x00\x00\x00")},
		{"SUBSCRIBE", subscribeResponses},
		{"UNSUBSCRIBE", packet(0xa2, "\x00\x01"+text("a"))},
		{"PINGREQ", "\xc0\x00"},
		{"DISCONNECT", "\xe0\x00"},
		{"PUBLISH of QoS 2", packet(0x34, text(desired)+"\x00\x01")},
		{"PUBREC", "\x50\x02\x00\x01"},
		{"PUBREL", "\x62\x02\x00\x01"},
		{"PUBCOMP", "\x70\x02\x00\x01"},
		{"SUBACK with two codes", "\x90\x04\x00\x01\x01\x01"},
	} {
		n, err := hearOut(t, c.says+publish(desired, "{}"))
		if n != 0 || !errors.Is(err, transport.ErrProtocol) {
			t.Errorf("%s: got %d frames, then %v; want ErrProtocol at once", c.name, n, err)
		}
	}
}

// TestMeaningless are packets that a hub may send and that are no frames.
func TestMeaningless(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"PINGRESP unasked", pong},
		{"PUBACK", "\x40\x02\x00\x01"},
		{"UNSUBACK", "\xb0\x02\x00\x01"},
		{"SUBACK for another packet", "\x90\x03\x00\x09\x01"},
		{"an unknown topic", publish("devices/dev1/messages/devicebound/", "x")},
		{"an unknown topic of QoS 1", publish1(1, false, "devices/dev1/messages/devicebound/", "x")},
		{"an unknown topic of QoS 2", packet(0x34, text("devices/dev1/messages/devicebound/")+"\x00\x01x")},
		{"a change twice", publish1(1, false, desired+"x", "{}") + publish1(1, true, desired+"x", "{}")},
		{"a response without id", publish(res+"200/", "{}")},
		{"a response without status", publish(res+"x/?$rid=1", "{}")},
	} {
		n, err := hearOut(t, c.says+publish(desired, "{}"))
		if n != 1 || !errors.Is(err, transport.ErrLost) {
			t.Errorf("%s: got %d frames, then %v; want only the one that follows", c.name, n, err)
		}
	}
}

// TestRemoteAlert has a hub that refuses the client certificate, which TLS 1.3
// tells at the first read.
func TestRemoteAlert(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, transport.ErrUnauthorized},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: access denied")}, transport.ErrUnauthorized},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: internal error")}, transport.ErrLost},
		{&net.OpError{Op: "read", Err: errors.New("certificate")}, transport.ErrLost},
	} {
		d := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) {
			conn := newCanned("")
			conn.says = brokenReader{c.err}
			return conn, nil
		}}
		_, err := d.Dial(t.Context(), login(time.Minute))
		wantError(t, "Dial", err, c.want, c.err)
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func FuzzReceive(f *testing.F) {
	for _, whole := range good {
		f.Add([]byte(whole))
		f.Add([]byte(whole + pong + whole))
	}
	f.Add([]byte(publish1(7, false, "devices/dev1/messages/devicebound/a=b", "{}") + publish1(7, true, desired, "{}") + publish1(7, true, desired, "{}")))
	f.Add([]byte("\x30\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, says []byte) { hearOut(t, string(bytes.Clone(says))) })
}
