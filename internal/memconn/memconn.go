// Package memconn is a network connection in memory: a full-duplex stream with
// bounded buffers and deadlines, for tests and for the hub in the box.
//
// Unlike net.Pipe it buffers, as a socket does, so two ends that write at the
// same time do not wait for each other. It waits on channels only and starts
// no goroutine, so it obeys the virtual time of testing/synctest.
package memconn

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// bufferSize is what one direction holds before its writer waits: as much as
// a small socket's buffer.
const bufferSize = 64 << 10

// Pipe returns the two ends of a stream, whose addresses bear the names given.
//
// Closing one end ends its own reads and writes with net.ErrClosed; the other
// end reads what was written before, then io.EOF, and its writes fail with
// io.ErrClosedPipe. Each Write stays in one piece among concurrent ones. Once
// a deadline has passed the calls it concerns fail with os.ErrDeadlineExceeded
// until it is set anew.
func Pipe(clientName, serverName string) (client, server net.Conn) {
	up, down := newHalf(), newHalf()
	c := &end{in: down, out: up, local: addr(clientName), remote: addr(serverName)}
	s := &end{in: up, out: down, local: addr(serverName), remote: addr(clientName)}
	for _, e := range []*end{c, s} {
		e.closed = make(chan struct{})
		e.readBy, e.writeBy = newDeadline(), newDeadline()
	}
	return c, s
}

// An end is one side of a stream.
type end struct {
	in, out       *half
	local, remote addr
	readBy        *deadline
	writeBy       *deadline

	closing once
	closed  chan struct{} // closed by Close of this end
}

// Read waits for the first bytes and returns what is there.
func (e *end) Read(b []byte) (int, error) {
	n, err := e.in.read(b, e.closed, e.readBy.passed)
	return n, e.wrap("read", err)
}

// Write waits until all of b is in the buffer.
func (e *end) Write(b []byte) (int, error) {
	n, err := e.out.write(b, e.closed, e.writeBy.passed)
	return n, e.wrap("write", err)
}

// Close ends both directions. It may be called more than once.
func (e *end) Close() error {
	if !e.closing.first() {
		return nil
	}
	close(e.closed)
	e.out.endWriting()
	e.in.endReading()
	e.readBy.set(time.Time{})
	e.writeBy.set(time.Time{})
	return nil
}

// Abort closes like Close, and drops what the other end has not read yet, as the
// reset of a socket does.
func (e *end) Abort() error {
	err := e.Close()
	e.out.drop()
	return err
}

// LocalAddr bears this end's name.
func (e *end) LocalAddr() net.Addr { return e.local }

// RemoteAddr bears the other end's name.
func (e *end) RemoteAddr() net.Addr { return e.remote }

// SetDeadline bounds reads and writes, those under way too.
func (e *end) SetDeadline(t time.Time) error {
	if err := e.setDeadline(e.readBy, t); err != nil {
		return err
	}
	return e.setDeadline(e.writeBy, t)
}

// SetReadDeadline bounds reads, those under way too.
func (e *end) SetReadDeadline(t time.Time) error { return e.setDeadline(e.readBy, t) }

// SetWriteDeadline bounds writes, those under way too.
func (e *end) SetWriteDeadline(t time.Time) error { return e.setDeadline(e.writeBy, t) }

func (e *end) setDeadline(d *deadline, t time.Time) error {
	if isClosed(e.closed) {
		return e.wrap("set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

// wrap dresses an error as the net package does: io.EOF stays bare.
func (e *end) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: e.local.Network(), Source: e.local, Addr: e.remote, Err: err}
}

// An addr is the name of an end.
type addr string

// Network is "mem".
func (a addr) Network() string { return "mem" }

// String is the name.
func (a addr) String() string { return string(a) }

// waitError says why this end can no longer wait, nil if it can.
func waitError(closed, passed <-chan struct{}) error {
	switch {
	case isClosed(closed):
		return net.ErrClosed
	case isClosed(passed):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
