package mqtt

import (
	"bufio"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/transport"
)

const (
	// grace is what a silent hub is given after it was asked for a sign of life.
	grace = 10 * time.Second
	// farewell is what closing may take before it stops being polite.
	farewell = time.Second
	// readBuffer is small, for a device has one per connection: most packets fit.
	readBuffer = 4 << 10
)

// A conn is one session with a hub. The holder of the turn writes, the caller of
// Receive reads, the keeper asks for signs of life and writes the PUBACKs. All
// that they share is in atomics, in channels, and behind mu.
type conn struct {
	stream    net.Conn
	keepAlive time.Duration
	resumed   bool      // set before Dial returns
	leftovers []string  // filters to give back beside the first GET, guarded by the turn
	events    string    // the topic of telemetry, up to the properties, set before Dial returns
	start     time.Time // what sent and heard are counted from

	in    *bufio.Reader // owned by the caller of Receive
	quiet time.Time     // owned by the caller of Receive: since when it hears nothing

	sent  atomic.Int64 // when the last packet was written, in ns after start
	heard atomic.Int64 // when bytes last came, likewise

	fate   *fate.Fate
	kept   chan struct{} // closed when the keeper has ended
	closed chan struct{} // closed when Close is done
	owed   chan struct{} // capacity 1: wakes the keeper to write PUBACKs

	mu         sync.Mutex         // guards the rest. Nothing waits while it is held
	asked      map[uint16]request // what waits for SUBACK, UNSUBACK or PUBACK, by packet id
	lastID     uint16             // the packet id used last
	deliveries []delivery         // in the order of arrival
	lastNumber uint64             // the delivery's that came last
}

func newConn(stream net.Conn, keepAlive time.Duration) *conn {
	now := time.Now()
	c := &conn{
		stream: stream, keepAlive: keepAlive, start: now, quiet: now,
		fate:   fate.New(),
		kept:   make(chan struct{}),
		closed: make(chan struct{}),
		owed:   make(chan struct{}, 1),
		asked:  map[uint16]request{},
	}
	c.in = bufio.NewReaderSize(ear{c}, readBuffer)
	return c
}

// Resumed implements transport.Resumer: the hub kept the subscriptions.
func (c *conn) Resumed() bool { return c.resumed }

// now is the time since the connection began, as sent and heard count it.
func (c *conn) now() int64 { return int64(time.Since(c.start)) }

// Close says goodbye if the line takes that within a second, ends the stream,
// and waits for the keeper. It returns nil.
func (c *conn) Close() error {
	if c.fate.Close() {
		c.part()
		<-c.kept
		close(c.closed)
	}
	<-c.closed
	return nil
}

// part ends the stream politely, or not, when that takes too long.
func (c *conn) part() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	release := c.bind(ctx, func(error) error { return transport.ErrClosed })
	if c.fate.TakeLast() {
		// After DISCONNECT the hub forgets the will [MQTT-3.14.4-3] and this
		// side sends no more [MQTT-3.14.4-2].
		if c.put(append(c.takeAcks(), packets.Disconnect<<4, 0)) == nil {
			_ = c.stream.Close() // with the farewell of TLS too
		}
		c.fate.PassTurn()
	}
	release()
	c.fail(transport.ErrClosed)
}

// fail ends the connection: the first cause stands.
func (c *conn) fail(cause error) {
	if c.fate.End(cause) {
		fate.Abort(c.stream)
	}
}

// err says why the connection is dead, or nil.
func (c *conn) err() error { return c.fate.Err() }

// bind lets the end of ctx end the connection, until release, which waits for
// that if it has begun.
func (c *conn) bind(ctx context.Context, cause func(end error) error) (release func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		c.fail(cause(ctx.Err()))
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}
