package amqp_test

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

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

// code is the performative of a frame, 0 for none; channelOf its channel.
func code(f []byte) byte {
	if len(f) <= 10 || string(f[:4]) == "AMQP" {
		return 0
	}
	return f[10]
}

func channelOf(f []byte) uint16 { return binary.BigEndian.Uint16(f[6:]) }

// What the frames are.
const (
	kindOpen, kindBegin, kindAttach, kindFlow = 0x10, 0x11, 0x12, 0x13
	kindTransfer, kindDetach, kindEnd         = 0x14, 0x16, 0x17
)

// tapped is a pool of which every connection goes through a tap.
func tapped(hub *hubtest.Hub, set func(*tap)) (*amqp.Pool, *meter) {
	return tappedWith(hub, set, nil)
}

func tappedWith(hub *hubtest.Hub, set func(*tap), opts *amqp.PoolOptions) (*amqp.Pool, *meter) {
	m := &meter{to: func(ctx context.Context, target transport.Target) (net.Conn, error) {
		c, err := hub.Stream(ctx, target)
		if err != nil {
			return nil, err
		}
		t := &tap{Conn: c, closed: make(chan struct{})}
		set(t)
		return t, nil
	}}
	return amqp.NewPool(amqp.Dialer{Stream: m.stream}, opts), m
}

// loginFor is a login with a token of a day.
func loginFor(t *testing.T, d hubtest.Device) transport.Login {
	t.Helper()
	return loginOf(t, d, 24*time.Hour)
}

// dialIn dials with a limit.
func dialIn(t *testing.T, p transport.Dialer, d hubtest.Device, limit time.Duration) (transport.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := p.Dial(ctx, loginFor(t, d))
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}
