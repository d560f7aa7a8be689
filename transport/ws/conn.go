package ws

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/devicetwin/devicetwin-go/transport"
)

// farewell is what saying goodbye may take. Into a line with room it takes
// nothing; one without room will hardly deliver it.
const farewell = 100 * time.Millisecond

// A conn is the byte stream inside a WebSocket. Reads take turns, writes take
// turns; the library does the rest.
type conn struct {
	ws   *websocket.Conn
	line *line

	reading chan struct{} // holds a token while somebody reads
	writing chan struct{} // likewise
	closing chan struct{} // closed when Close begins

	message io.Reader // owned by the reader: what is left of a message
	readErr error     // owned by the reader: why there is no more

	closed atomic.Bool    // Close was called
	pongs  sync.WaitGroup // what answers pings
}

func newConn(ws *websocket.Conn, l *line) *conn {
	c := &conn{
		ws: ws, line: l,
		reading: make(chan struct{}, 1),
		writing: make(chan struct{}, 1),
		closing: make(chan struct{}),
	}
	ws.SetPingHandler(c.ping)
	return c
}

// pongLimit is what the answer to a ping may take to leave, as long as package
// transport/mqtt and transport/amqp give a write of data.
const pongLimit = 10 * time.Second

// ping has a ping answered, without waiting. Of pings that wait, only the last is
// answered (RFC 6455, 5.5.3).
func (c *conn) ping(data string) error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.closed.Load() {
		return nil
	}
	c.line.pong = &data
	if !c.line.answering {
		c.line.answering = true
		c.pongs.Go(c.answer)
	}
	return nil
}

// answer answers pings until none waits. When an answer cannot leave, the stream
// ends, and Read returns the cause.
func (c *conn) answer() {
	for {
		select {
		case <-c.closing:
			return
		case c.writing <- struct{}{}:
		}
		pong := c.line.nextPong()
		var err error
		if pong != nil {
			err = c.ws.WriteControl(websocket.PongMessage, []byte(*pong), time.Now().Add(pongLimit))
		}
		<-c.writing
		if err != nil && c.line.writeFailure() != nil {
			abort(c.line.Conn)
		}
		if pong == nil || err != nil {
			return
		}
	}
}

// Read returns what comes first of a message.
func (c *conn) Read(b []byte) (int, error) {
	select {
	case <-c.closing:
		return 0, closedError("read")
	case c.reading <- struct{}{}:
	}
	defer func() { <-c.reading }()
	if len(b) == 0 && c.readErr == nil {
		return 0, nil
	}
	for c.readErr == nil {
		n, err := c.some(b)
		if err != nil {
			c.readErr = err
		}
		if n > 0 {
			return n, nil
		}
	}
	select {
	case <-c.closing:
		return 0, closedError("read")
	default:
		return 0, c.readErr
	}
}

// some reads from the message at hand, or from the next. It may be nothing: at
// a message's end, and from an empty one.
func (c *conn) some(b []byte) (int, error) {
	if c.message == nil {
		kind, message, err := c.ws.NextReader()
		switch {
		case err != nil:
			return 0, readError(c.line, err)
		case kind != websocket.BinaryMessage:
			return 0, fmt.Errorf("%w: a WebSocket message of text", transport.ErrProtocol)
		}
		c.message = message
	}
	n, err := c.message.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		c.message = nil
	case err != nil:
		return n, readError(c.line, err)
	}
	return n, nil
}

// Write sends b as binary messages.
func (c *conn) Write(b []byte) (int, error) {
	c.line.await(1)
	defer c.line.await(-1)
	select {
	case <-c.closing:
		return 0, closedError("write")
	case c.writing <- struct{}{}:
	}
	defer func() { <-c.writing }()
	done := 0
	for done < len(b) {
		piece := b[done:min(done+bufferSize, len(b))]
		if err := c.ws.WriteMessage(websocket.BinaryMessage, piece); err != nil {
			select {
			case <-c.closing:
				return done, closedError("write")
			default:
				return done, writeError(c.line, err)
			}
		}
		done += len(piece)
	}
	return done, nil
}

// Close says goodbye if the line takes it at once, and ends the stream. A
// second Close does not wait for that: it ends the stream under the first.
func (c *conn) Close() error {
	c.line.mu.Lock()
	first := c.closed.CompareAndSwap(false, true) // no answer begins after it
	c.line.mu.Unlock()
	if first {
		close(c.closing)
		select {
		case c.writing <- struct{}{}:
			c.part()
			<-c.writing
		default: // a write is under way; it fails now
		}
	}
	abort(c.line.Conn)
	c.pongs.Wait()
	return nil
}

// part sends the closing frame. The peer's answer is not waited for: what is
// above has its own goodbye, and a line costs money.
func (c *conn) part() {
	if c.line.writeFailure() == nil && c.line.readFailure() == nil {
		goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(farewell))
	}
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline concerns a read under way too.
func (c *conn) SetReadDeadline(t time.Time) error { return c.line.Conn.SetReadDeadline(t) }

// SetWriteDeadline concerns a write under way too.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.line.setWriteDeadline(t) }

// LocalAddr is the one of the stream below, on the network "websocket".
func (c *conn) LocalAddr() net.Addr { return over(c.line.LocalAddr()) }

// RemoteAddr is likewise the one of the stream below.
func (c *conn) RemoteAddr() net.Addr { return over(c.line.RemoteAddr()) }

// An endpoint says by its network what the bytes go through: package amqp puts
// fewer devices on such a connection.
type endpoint struct{ net.Addr }

// Network is "websocket".
func (endpoint) Network() string { return "websocket" }

func over(below net.Addr) net.Addr {
	if below == nil {
		return nil
	}
	return endpoint{below}
}
