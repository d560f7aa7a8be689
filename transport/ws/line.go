package ws

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
)

// A line is the stream below as the library sees it. It adds what the library
// lacks: the true errors, a bound on the handshake, and write deadlines that
// move under a write.
type line struct {
	net.Conn

	mu       sync.Mutex // guards the rest
	budget   int        // bytes that may yet be read; negative: any number
	readErr  error      // the first error of the stream below
	writeErr error
	writeBy  time.Time // the user's deadline
	data     bool      // the write under way, or the last one, was of data
	ownBy    time.Time // the deadline of one that was not
	writers  int       // of the user's, in Write

	pong      *string // the answer to the last ping, nil for none
	answering bool    // a goroutine answers pings
}

// nextPong takes the answer that waits. If no answer waits, the goroutine ends.
func (l *line) nextPong() *string {
	l.mu.Lock()
	defer l.mu.Unlock()
	pong := l.pong
	l.pong = nil
	l.answering = pong != nil
	return pong
}

func newLine(raw net.Conn) *line { return &line{Conn: raw, budget: maxHandshake} }

// endHandshake lifts the bound on what is read.
func (l *line) endHandshake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.budget = -1
}

// Read notes the error, for the library hides it behind one of its own.
func (l *line) Read(b []byte) (int, error) {
	l.mu.Lock()
	budget := l.budget
	l.mu.Unlock()
	var n int
	var err error
	switch {
	case budget == 0:
		err = fmt.Errorf("%w: its answer has no end after %d bytes", transport.ErrProtocol, maxHandshake)
	case budget > 0:
		n, err = l.Conn.Read(b[:min(len(b), budget)])
	default:
		n, err = l.Conn.Read(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if budget > 0 {
		l.budget -= n
	}
	if l.readErr == nil && !errors.Is(err, io.EOF) { // which the library tells better
		l.readErr = err
	}
	return n, err
}

// Write notes the error.
func (l *line) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writeErr == nil {
		l.writeErr = err
	}
	return n, err
}

// SetWriteDeadline is called by the library before each write, by whoever has
// its turn: with no deadline for data, for a conn sets none in the library, and
// with the library's own for a ping's answer.
func (l *line) SetWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.data = t.IsZero(); l.data {
		t = l.writeBy
	} else {
		l.ownBy = t
		t = l.ownLimitLocked()
	}
	return l.Conn.SetWriteDeadline(t)
}

// ownLimitLocked is the deadline of a write that is not of data: the user's too, where
// somebody's Write waits behind it.
func (l *line) ownLimitLocked() time.Time {
	if l.writers > 0 && !l.writeBy.IsZero() && l.writeBy.Before(l.ownBy) {
		return l.writeBy
	}
	return l.ownBy
}

// await counts those in Write: what they wait for obeys the user's deadline.
func (l *line) await(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers += more; more > 0 && !l.data {
		_ = l.Conn.SetWriteDeadline(l.ownLimitLocked()) // the stream's end is reported by what is written
	}
}

// setWriteDeadline is the user's, also for a write under way. It does not extend
// one that is not of data.
func (l *line) setWriteDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeBy = t
	if !l.data && (t.IsZero() || t.After(l.ownBy)) {
		return nil
	}
	return l.Conn.SetWriteDeadline(t)
}

func (l *line) readFailure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readErr
}

func (l *line) writeFailure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writeErr
}

// failure is the first error of either direction.
func (l *line) failure() error { return errors.Join(l.writeFailure(), l.readFailure()) }

// abort ends a stream without a farewell: TLS would try for 5 s to say goodbye
// on a line that may be dead.
func abort(stream net.Conn) {
	if t, ok := stream.(*tls.Conn); ok {
		stream = t.NetConn()
	}
	_ = stream.Close() // that it was closed already is no news
}
