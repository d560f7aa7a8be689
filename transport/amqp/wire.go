package amqp

import (
	"errors"
	"fmt"
	"net"
	"sync"
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

// wire is the stream as go-amqp gets it. It bounds silence and writes by itself,
// whatever deadlines go-amqp sets; lets a guard see to the frames; and tells what
// go-amqp's errors hide, the failure of the line.
type wire struct {
	net.Conn
	silence time.Duration
	failed  func(error) // told why the line is of no use, by the goroutine that met it

	guard *guard
	buf   []byte // of the reading goroutine

	mu     sync.Mutex // guards what follows; nothing waits while it is held
	polite bool       // closing says goodbye
	last   time.Time  // no write goes on beyond it; zero for none
}

func newWire(stream net.Conn, silence time.Duration) *wire {
	return &wire{Conn: stream, silence: silence, guard: newGuard(), buf: make([]byte, readSize)}
}

// Read gives what the stream brought and the guard let pass. It gives up when
// nothing came for as long as a hub may be silent.
func (w *wire) Read(b []byte) (int, error) {
	for len(w.guard.ready) == 0 {
		err := w.guard.err
		if err == nil {
			err = w.Conn.SetReadDeadline(time.Now().Add(w.silence))
		}
		n := 0
		if err == nil {
			n, err = w.Conn.Read(w.buf)
		}
		w.guard.feed(w.buf[:n])
		if err != nil && len(w.guard.ready) == 0 {
			w.failed(readError(err))
			return 0, err
		}
	}
	n := copy(b, w.guard.ready)
	w.guard.ready = w.guard.ready[n:]
	return n, nil
}

// Write writes a whole frame.
func (w *wire) Write(b []byte) (int, error) {
	size := len(b)
	b = w.guard.leaving(b)
	written := 0
	for written < len(b) {
		err := w.Conn.SetWriteDeadline(w.limit())
		n := 0
		if err == nil {
			n, err = w.Conn.Write(b[written:min(len(b), written+pieceSize)])
		}
		written += n
		if err != nil {
			w.failed(linefail.Line(err))
			return min(written, size), err
		}
	}
	// TLS writes on its own too, and must not meet a deadline of the past.
	return size, w.Conn.SetWriteDeadline(time.Time{})
}

// limit is when a write that begins now is given up.
func (w *wire) limit() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := time.Now().Add(writeLimit)
	if !w.last.IsZero() && w.last.Before(limit) {
		return w.last
	}
	return limit
}

// part makes Close polite, and lets no write go on beyond a moment, also not the
// one under way.
func (w *wire) part(last time.Time) {
	w.mu.Lock()
	w.polite, w.last = true, last
	w.mu.Unlock()
	_ = w.Conn.SetWriteDeadline(last) // a closed stream writes no more anyway
}

// Close ends the stream, with the farewell of TLS after part.
func (w *wire) Close() error {
	w.mu.Lock()
	polite := w.polite
	w.mu.Unlock()
	if polite {
		return w.Conn.Close()
	}
	w.abort()
	return nil
}

// abort ends the stream without a farewell.
func (w *wire) abort() { fate.Abort(w.Conn) }

// readError says in the contract's words why the stream brings nothing more.
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
