package amqp

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/linefail"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// grace is what a silent hub is given beyond the keep-alive.
	grace = 10 * time.Second
	// writeLimit is what one piece of a frame may take to leave.
	writeLimit = 10 * time.Second
	// pieceSize is large enough for nearly every frame to be one write, and
	// small enough for a slow modem to move it within writeLimit.
	pieceSize = 16 << 10
	// readSize is how much is read at a time.
	readSize = 4 << 10
)

// await sets how long the hub may be silent.
func (w *wire) await() error {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	return w.Conn.SetReadDeadline(time.Now().Add(w.line.silence))
}

// failed ends the line, unless go-amqp has let it go: then go-amqp has a better
// cause, or the line parts and there may be something to write yet.
func (w *wire) failed(cause error) {
	w.line.mu.Lock()
	closed := w.closed
	w.line.mu.Unlock()
	if !closed {
		w.line.fail(cause)
	}
}

// maxOut bounds what waits to be written: go-amqp waits beyond it.
const maxOut = 1 << 20

// wire is a line's stream as go-amqp gets it. It bounds silence and writes by
// itself, whatever deadlines go-amqp sets. The line's guard sees all frames.
// go-amqp hears nothing while it writes, so a goroutine of the wire's writes for
// it.
type wire struct {
	net.Conn
	line *line

	buf []byte // owned by the reading goroutine, as is err
	err error  // why nothing more comes

	work chan struct{} // capacity 1: there is something to write

	// Guarded by line.mu.
	closed          bool // go-amqp reads no more
	out             []byte
	queued, written uint64        // bytes, of all that was ever to be written
	progress        chan struct{} // closed, and replaced, when something was written
}

// Read returns what the stream brought and the guard let pass. It fails when
// nothing came for as long as a hub may be silent.
func (w *wire) Read(b []byte) (int, error) {
	l := w.line
	for {
		l.mu.Lock()
		n := l.guard.Read(b)
		l.mu.Unlock()
		if n > 0 || len(b) == 0 {
			return n, nil
		}
		if w.err != nil {
			w.failed(readError(w.err))
			return 0, w.err
		}
		if w.err = w.await(); w.err == nil {
			n, w.err = w.Conn.Read(w.buf)
		}
		l.mu.Lock()
		if err := l.guard.Comes(time.Now(), w.buf[:n]); err != nil {
			w.err = err
		}
		l.mu.Unlock()
	}
}

// Write queues a whole frame.
func (w *wire) Write(b []byte) (int, error) {
	l := w.line
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(w.out) > maxOut && l.cause == nil {
		w.awaitLocked(nil)
	}
	if l.cause != nil {
		return 0, l.cause
	}
	before := len(w.out)
	w.out = append(w.out, l.guard.Leaves(b)...)
	w.queued += uint64(len(w.out) - before)
	poke(w.work)
	return len(b), nil
}

// flush waits until all that is queued is written, until done, or until the line
// is dead, and returns why it is.
func (w *wire) flush(done <-chan struct{}) error {
	l := w.line
	l.mu.Lock()
	defer l.mu.Unlock()
	for goal := w.queued; w.written < goal && l.cause == nil; {
		if !w.awaitLocked(done) {
			return nil
		}
	}
	return l.cause
}

// awaitLocked waits until something was written, or the line is dead. It returns
// false if done ended the wait. It lets line.mu go meanwhile.
func (w *wire) awaitLocked(done <-chan struct{}) bool {
	progress := w.progress
	w.line.mu.Unlock()
	defer w.line.mu.Lock()
	select {
	case <-progress:
	case <-w.line.dead:
	case <-done:
		return false
	}
	return true
}

// write writes what is queued until the line is dead.
func (w *wire) write() {
	l := w.line
	var out []byte
	for {
		l.mu.Lock()
		if cap(out) > readSize {
			out = nil // the memory of a large message
		}
		out, w.out = w.out, out[:0]
		l.mu.Unlock()
		if len(out) == 0 {
			select {
			case <-w.work:
				continue
			case <-l.dead:
				return
			}
		}
		if err := w.writeAll(out); err != nil {
			w.failed(linefail.Line(err))
			return
		}
	}
}

// writeAll writes to the stream, in pieces that each have their time.
func (w *wire) writeAll(b []byte) error {
	for len(b) > 0 {
		if err := w.Conn.SetWriteDeadline(w.limit()); err != nil {
			return err
		}
		n, err := w.Conn.Write(b[:min(len(b), pieceSize)])
		w.line.mu.Lock()
		w.written += uint64(n)
		close(w.progress)
		w.progress = make(chan struct{})
		w.line.mu.Unlock()
		if err != nil {
			return err
		}
		b = b[n:]
	}
	// TLS writes on its own too, and must not meet a deadline of the past.
	return w.Conn.SetWriteDeadline(time.Time{})
}

// limit returns when a write that begins now is given up.
func (w *wire) limit() time.Time {
	w.line.mu.Lock()
	defer w.line.mu.Unlock()
	limit := time.Now().Add(writeLimit)
	if last := w.line.last; !last.IsZero() && last.Before(limit) {
		return last
	}
	return limit
}

// part makes Close polite, and ends every write at a moment, also the one under
// way.
func (w *wire) part(last time.Time) {
	w.line.mu.Lock()
	w.line.last = last
	w.line.mu.Unlock()
	_ = w.Conn.SetWriteDeadline(last) // a closed stream writes no more anyway
}

// Close ends the stream or, after part, only what go-amqp reads of it: what is
// queued is written yet.
func (w *wire) Close() error {
	w.line.mu.Lock()
	w.closed = true
	polite := !w.line.last.IsZero()
	if polite {
		_ = w.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	w.line.mu.Unlock()
	if !polite {
		w.abort()
	}
	return nil
}

// abort ends the stream without a farewell.
func (w *wire) abort() { fate.Abort(w.Conn) }

// readError returns in the contract's words why the stream brings nothing more.
func readError(err error) error {
	if errors.Is(err, amqpwire.ErrProtocol) || errors.Is(err, amqpwire.ErrMessage) {
		return fmt.Errorf("%w: %w", transport.ErrProtocol, err)
	}
	return linefail.Line(err)
}

// SetDeadline does nothing: the wire has limits of its own.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing likewise.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing likewise.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
