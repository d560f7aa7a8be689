package amqp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// frame is one around a performative, whose fields are encoded already, and a
// payload.
func frame(channel, code byte, payload string, fields ...string) string {
	list := strings.Join(fields, "")
	n := 8 + 6 + len(list) + len(payload)
	return string([]byte{0, byte(n >> 16), byte(n >> 8), byte(n), 2, 0, 0, channel, 0, 0x53, code, 0xc0, byte(len(list) + 1), byte(len(fields))}) + list + payload
}

// Values, as they are encoded.
const (
	null, yes, no, zero = "\x40", "\x41", "\x42", "\x43"
	one, three, hundred = "\x52\x01", "\x52\x03", "\x52\x64"
	tag                 = "\xa0\x01t"
)

const (
	protoHeader = "AMQP\x00\x01\x00\x00"
	heartbeat   = "\x00\x00\x00\x08\x02\x00\x00\x00"
)

// What the frames are.
const (
	kindOpen, kindBegin, kindAttach, kindFlow = 0x10, 0x11, 0x12, 0x13
	kindTransfer, kindDisposition             = 0x14, 0x15
	kindDetach, kindEnd, kindClose            = 0x16, 0x17, 0x18
)

// code is the performative of a frame, 0 for none; channelOf its channel.
func code(f []byte) byte {
	if len(f) <= 10 || string(f[:4]) == "AMQP" {
		return 0
	}
	return f[10]
}

func channelOf(f []byte) uint16 { return binary.BigEndian.Uint16(f[6:]) }

// A meter counts the streams to a hub.
type meter struct {
	to             transport.StreamFunc
	opened, closed atomic.Int32
}

func (m *meter) stream(ctx context.Context, target transport.Target) (net.Conn, error) {
	c, err := m.to(ctx, target)
	if err != nil {
		return nil, err
	}
	m.opened.Add(1)
	return &metered{Conn: c, of: m}, nil
}

type metered struct {
	net.Conn
	of   *meter
	once sync.Once
}

func (c *metered) Close() error {
	c.once.Do(func() { c.of.closed.Add(1) })
	return c.Conn.Close()
}

// want compares how many streams were opened, and how many are open.
func (m *meter) want(t *testing.T, when string, opened, open int32) {
	t.Helper()
	if o, n := m.opened.Load(), m.opened.Load()-m.closed.Load(); o != opened || n != open {
		t.Errorf("%s: %d connections were opened and %d are open; want %d and %d", when, o, n, opened, open)
	}
}

// newPool is a pool in front of a hub.
func newPool(hub *hubtest.Hub, opts *amqp.PoolOptions) (*amqp.Pool, *meter) {
	m := &meter{to: hub.Stream}
	return amqp.NewPool(amqp.Dialer{Stream: m.stream}, opts), m
}

// join dials as several devices, one after the other.
func join(t *testing.T, p *amqp.Pool, devices ...hubtest.Device) []transport.Conn {
	t.Helper()
	var conns []transport.Conn
	for _, d := range devices {
		c, err := p.Dial(t.Context(), loginOf(t, d, time.Hour))
		if err != nil {
			t.Fatalf("Dial as %v: %v", d.Identity, err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
	}
	return conns
}

func addMany(t *testing.T, hub *hubtest.Hub, n int) []hubtest.Device {
	t.Helper()
	var devices []hubtest.Device
	for i := range n {
		devices = append(devices, add(t, hub, fmt.Sprintf("dev%d", i)))
	}
	return devices
}

func closeConn(t *testing.T, c transport.Conn) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// open asks for desired changes.
func open(t *testing.T, c transport.Conn) {
	t.Helper()
	if err := c.Send(t.Context(), transport.Frame{Kind: transport.Open, Feature: transport.DesiredChanges, ID: "o"}); err != nil {
		t.Fatal(err)
	}
	if f, err := c.Receive(t.Context()); err != nil || f.Kind != transport.Accepted {
		t.Fatalf("got %+v, %v; want the subscription accepted", f, err)
	}
}

// wantGone wants a hub to take devices for disconnected, soon.
func wantGone(t *testing.T, hub *hubtest.Hub, devices ...hubtest.Device) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, d := range devices {
		if _, err := hub.Device(d.Identity.DeviceID).Wait(ctx, func(tw hubtest.Twin) bool { return !tw.Connected }); err != nil {
			t.Errorf("%v is connected still: %v", d.Identity, err)
		}
	}
}

// dialIn dials as a device, and waits no longer than limit.
func dialIn(t *testing.T, p transport.Dialer, d hubtest.Device, limit time.Duration) (transport.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := p.Dial(ctx, loginOf(t, d, time.Hour))
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// receiveIn receives, and waits no longer than limit.
func receiveIn(t *testing.T, c transport.Conn, limit time.Duration) (transport.Frame, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Receive(ctx)
}

// A breaker keeps the streams it opened, and cuts them.
type breaker struct {
	to  transport.StreamFunc
	mu  sync.Mutex
	all []net.Conn
}

func (b *breaker) stream(ctx context.Context, target transport.Target) (net.Conn, error) {
	c, err := b.to(ctx, target)
	if err == nil {
		b.mu.Lock()
		b.all = append(b.all, c)
		b.mu.Unlock()
	}
	return c, err
}

func (b *breaker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.all {
		_ = c.Close()
	}
	b.all = nil
}

// get is the request for a twin.
func get(id string) transport.Frame {
	return transport.Frame{Kind: transport.GetTwin, ID: id}
}

// sentinels is how many of the contract's errors err matches.
func sentinels(err error) (n int) {
	for _, s := range []error{
		transport.ErrClosed, transport.ErrLost, transport.ErrStalled, transport.ErrProtocol, transport.ErrUnauthorized,
		transport.ErrUntrusted, transport.ErrUnavailable, transport.ErrThrottled, transport.ErrUnsupported, transport.ErrQuota,
	} {
		if errors.Is(err, s) {
			n++
		}
	}
	return n
}

// A tap sits between a hub and a client, and sees, changes, adds and drops frames.
type tap struct {
	net.Conn
	comes  func(frame []byte) []byte // of the hub's; nil passes all
	leaves func(frame []byte) []byte // of the client's; nil passes all
	stall  func() bool               // a write waits for its deadline

	ready, in []byte // of the reading goroutine
	out       []byte // of the writing goroutine

	mu       sync.Mutex
	deadline time.Time
	closed   chan struct{}
	once     sync.Once
}

// split takes whole frames off b.
func split(b []byte) (frames [][]byte, rest []byte) {
	for len(b) >= 8 {
		n := 8
		if string(b[:4]) != "AMQP" {
			n = int(binary.BigEndian.Uint32(b))
		}
		if len(b) < n {
			break
		}
		frames, b = append(frames, append([]byte(nil), b[:n]...)), b[n:]
	}
	return frames, append([]byte(nil), b...)
}

func (t *tap) Read(b []byte) (int, error) {
	for len(t.ready) == 0 {
		buf := make([]byte, 4<<10)
		n, err := t.Conn.Read(buf)
		var all [][]byte
		all, t.in = split(append(t.in, buf[:n]...))
		for _, f := range all {
			if t.comes != nil {
				f = t.comes(f)
			}
			t.ready = append(t.ready, f...)
		}
		if err != nil && len(t.ready) == 0 {
			return 0, err
		}
	}
	n := copy(b, t.ready)
	t.ready = t.ready[n:]
	return n, nil
}

func (t *tap) Write(b []byte) (int, error) {
	if t.stall != nil && t.stall() {
		t.mu.Lock()
		left := time.Until(t.deadline)
		t.mu.Unlock()
		select {
		case <-time.After(left):
			return 0, os.ErrDeadlineExceeded
		case <-t.closed:
			return 0, net.ErrClosed
		}
	}
	var all [][]byte
	all, t.out = split(append(t.out, b...))
	var pass []byte
	for _, f := range all {
		if t.leaves != nil {
			f = t.leaves(f)
		}
		pass = append(pass, f...)
	}
	if len(pass) == 0 {
		return len(b), nil
	}
	if _, err := t.Conn.Write(pass); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (t *tap) SetWriteDeadline(d time.Time) error {
	t.mu.Lock()
	t.deadline = d
	t.mu.Unlock()
	return t.Conn.SetWriteDeadline(d)
}

func (t *tap) Close() error {
	t.once.Do(func() { close(t.closed) })
	return t.Conn.Close()
}

// tapped is a pool of which every connection goes through a tap.
func tapped(hub *hubtest.Hub, set func(*tap)) (*amqp.Pool, *meter) {
	m := &meter{to: func(ctx context.Context, target transport.Target) (net.Conn, error) {
		c, err := hub.Stream(ctx, target)
		if err != nil {
			return nil, err
		}
		t := &tap{Conn: c, closed: make(chan struct{})}
		set(t)
		return t, nil
	}}
	return amqp.NewPool(amqp.Dialer{Stream: m.stream}, nil), m
}

// wantEnd wants goroutines to end, and tells where they hang. Its limit is real
// time, for what runs outside of bubbles; none is near it but what hangs.
func wantEnd(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s hangs:\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}
