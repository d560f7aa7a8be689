package hubtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Why a connection ended, for the log.
var (
	errPolite   = errors.New("device said goodbye")
	errEnded    = errors.New("connection was ended")
	errCut      = errors.New("cut by Intercept")
	errRefused  = errors.New("login refused")
	errLineDown = errors.New("line is down")
	errTokenEnd = errors.New("token ended")
	errSilent   = errors.New("silent for longer than its keep-alive allows")
)

// conn is one connection. A goroutine reads and performs what comes in, in
// order; another writes. Neither waits for the other.
type conn struct {
	hub    *Hub
	raw    net.Conn   // closing it ends the connection
	secure bool       // TLS is to be spoken on raw
	speaks []Protocol // what may be spoken on the stream
	ended  atomic.Bool
	unread atomic.Bool   // the client has left something unread for too long
	done   chan struct{} // closed once ended
	out    queue

	// Of the reading goroutine; stream is set before the writing one starts.
	stream net.Conn
	in     *bufio.Reader
	peer   *tls.ConnectionState // nil where no TLS is spoken

	// hub.mu guards what follows.
	name   string // who claims to use it alone; empty until then, and where several do
	frozen bool
	front  front // nil until a device speaks
}

// A front is what devices speak on a connection, with the state that it keeps
// there. Services speak HTTP, which keeps none.
type front interface {
	// serve reads and performs until the connection ends, and says why.
	serve() error
	// late does what is due when nothing came in time, and says when to look at
	// the clocks again. An error ends the connection. The reading goroutine
	// calls it.
	late() (next time.Time, err error)
	// leave takes its devices offline. hub.mu is held.
	leave()
	// user is the part that an identity has of a shared connection, if it has
	// one. hub.mu is held.
	user(id string) (user, bool)
}

func newConn(h *Hub, raw net.Conn, secure bool, speaks []Protocol) *conn {
	return &conn{hub: h, raw: raw, secure: secure, speaks: speaks, done: make(chan struct{}), out: newQueue()}
}

// close ends the connection; only the first reason counts. No lock is held.
func (c *conn) close(reason string) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	close(c.done)
	err := c.shut()
	c.hub.mu.Lock()
	name := c.name
	c.hub.mu.Unlock()
	attrs := []any{"device", name, "reason", oneLine(reason)}
	if err != nil {
		attrs = append(attrs, "closeErr", oneLine(err.Error()))
	}
	c.hub.log.Info("connection ended", attrs...)
}

// oneLine is a text of joined errors as a line of a log has it.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// shut ends both directions. A socket that is closed with bytes unread resets
// the line, which real hubs rarely do, and which some clients take for a fatal
// error: so it says its end first, and serve reads on until the client's.
func (c *conn) shut() error {
	if c.unread.Load() { // it reads no goodbye either
		return unlessGone(reset(c.raw))
	}
	tcp, ok := c.raw.(*net.TCPConn)
	if !ok || isClosed(c.hub.done) {
		return unlessGone(c.raw.Close())
	}
	return errors.Join(unlessGone(tcp.CloseWrite()), unlessGone(tcp.SetReadDeadline(time.Now().Add(linger))))
}

// reset ends a stream without what is on its way to the client.
func reset(raw net.Conn) error {
	switch raw := raw.(type) {
	case *net.TCPConn:
		return errors.Join(raw.SetLinger(0), raw.Close())
	case interface{ Abort() error }:
		return raw.Abort()
	}
	return raw.Close()
}

// wrote passes on the error of a write, and notes that nobody reads.
func (c *conn) wrote(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.unread.Store(true)
	}
	return err
}

// unlessGone drops an error that says no more than that the other side was
// faster to close, as after any goodbye.
func unlessGone(err error) error {
	for _, gone := range []error{net.ErrClosed, io.ErrClosedPipe, syscall.ENOTCONN, syscall.EPIPE} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

// drain reads what the client still sends after the connection has ended.
func (c *conn) drain() {
	if c.raw.SetReadDeadline(time.Now().Add(linger)) == nil && !isClosed(c.hub.done) {
		_, _ = io.Copy(io.Discard, c.raw)
	}
	_ = c.raw.Close() // a second close does nothing
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// serve reads until the connection ends.
func (c *conn) serve() {
	c.close(c.run().Error())
	c.hub.mu.Lock()
	c.leave()
	c.hub.mu.Unlock()
	c.drain()
	c.hub.mu.Lock()
	delete(c.hub.conns, c)
	c.hub.mu.Unlock()
}

// leave takes the devices on a connection offline. hub.mu is held.
func (c *conn) leave() {
	if c.front != nil {
		c.front.leave()
	}
}

// speakAs serves devices in a protocol until the connection ends.
func (c *conn) speakAs(f front) error {
	c.hub.mu.Lock()
	c.front = f
	c.hub.mu.Unlock()
	c.hub.spawn(c.writeAll)
	return f.serve()
}

// run serves the connection and says why it ended.
func (c *conn) run() error {
	if !c.passGate() {
		return errEnded
	}
	if err := c.secureStream(); err != nil {
		return err
	}
	return c.speak()
}

// secureStream speaks TLS where it is to be spoken.
func (c *conn) secureStream() error {
	c.stream = c.raw
	if c.secure {
		config, err := c.hub.tlsConfig()
		if err != nil {
			return err
		}
		if err := c.raw.SetWriteDeadline(time.Now().Add(firstPacket)); err != nil {
			return err
		}
		if err := c.readBy(time.Now().Add(firstPacket)); err != nil {
			return err
		}
		s := tls.Server(c.raw, config)
		if err := s.HandshakeContext(context.Background()); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		c.stream = s
	}
	c.in, c.peer = bufio.NewReader(c.stream), peerOf(c.stream)
	return nil
}

// readBy sets the deadline of reads, unless the end of the connection has set
// one before.
func (c *conn) readBy(t time.Time) error {
	if c.ended.Load() {
		return errEnded
	}
	if err := c.raw.SetReadDeadline(t); err != nil {
		return err
	}
	if c.ended.Load() { // meanwhile, and its deadline is overwritten
		_ = c.raw.SetReadDeadline(time.Now())
		return errEnded
	}
	return nil
}

// trace logs one message.
func (c *conn) trace(m Message) {
	if !c.hub.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	text := "in"
	if m.FromHub {
		text = "out"
	}
	c.hub.log.Debug(text, "op", m.Op.String(), "device", m.Device, "rid", m.RequestID,
		"status", m.Status, "version", m.Version, "bytes", len(m.Body), "topics", m.Topics)
}
