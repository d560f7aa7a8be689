package amqpwire

import (
	"errors"
	"fmt"
	"time"
)

// Options are how a hub presents itself. Nil is a good hub.
type Options struct {
	// ContainerID is the hub's name in its OPEN; empty is "hub".
	ContainerID string
	// IdleTimeout is the longest silence of a client that is borne, and
	// announced, in whole milliseconds; 0 is 4 minutes.
	IdleTimeout time.Duration
	// OmitNextIncomingID leaves next-incoming-id out of every FLOW, as some
	// gateways of IoT Hub do (Azure/go-amqp#326). AMQP requires it.
	OmitNextIncomingID bool
}

// state is where in its life a connection is.
type state byte

const (
	expectHeader state = iota // the stream's first 8 bytes
	expectInit                // a SASL login
	expectAnswer              // the hub's, to the login; nothing is read
	expectAMQP                // the AMQP header after a login
	expectOpen
	opened
	closing // CLOSE is sent; only the client's is of interest
	done
)

// A Conn is the hub's end of one connection. It is not safe for concurrent
// use. NewConn makes one.
type Conn struct {
	opts  Options
	state state
	cause error // why this end closes, for Closed

	in     []byte // received
	read   int    // how much of in is read
	out    []byte // to be sent
	events []Event

	lastIn, lastOut time.Time
	heartbeat       time.Duration // silence after which we speak; 0 for any
	frameLimit      int           // the largest frame that the client takes
	channelLimit    uint16

	sessions map[uint16]*Session
	links    int // of all sessions
	partial  int // bytes of messages begun
	queued   int // bytes of messages that wait
}

// NewConn returns a connection that begins now, at the first byte of its
// stream, TLS and WebSocket taken off.
func NewConn(now time.Time, o *Options) *Conn {
	c := &Conn{lastIn: now, lastOut: now, frameLimit: minFrame, sessions: map[uint16]*Session{}}
	if o != nil {
		c.opts = *o
	}
	if c.opts.ContainerID == "" {
		c.opts.ContainerID = "hub"
	}
	if c.opts.IdleTimeout < time.Millisecond {
		c.opts.IdleTimeout = defaultIdle
	}
	return c
}

// Feed takes bytes that the client sent; they are copied. Take the events they
// make with Next before feeding more.
func (c *Conn) Feed(now time.Time, b []byte) {
	if c.state == done || len(b) == 0 {
		return
	}
	c.lastIn = now
	if c.read > 0 {
		c.in, c.read = append(c.in[:0], c.in[c.read:]...), 0
	}
	if c.state == expectAnswer && len(c.in)+len(b) > maxWaiting {
		c.finish(&Closed{Cause: fmt.Errorf("%w: it sent over %d bytes before its login was answered", ErrProtocol, maxWaiting)})
		return
	}
	c.in = append(c.in, b...)
}

// Next returns the next event, nil when there is none before more bytes are
// fed.
func (c *Conn) Next() Event {
	for len(c.events) == 0 {
		n := c.step(c.in[c.read:])
		if n == 0 && len(c.events) == 0 {
			return nil
		}
		c.read += n
	}
	ev := c.events[0]
	c.events[0] = nil
	if c.events = c.events[1:]; len(c.events) == 0 {
		c.events = nil
	}
	return ev
}

// step reads a header or a frame and returns how many bytes it had, 0 when
// there is none to read.
func (c *Conn) step(b []byte) int {
	switch c.state {
	case expectHeader, expectAMQP:
		return c.readHeader(b)
	case expectAnswer, done:
		return 0
	}
	f, n, err := consumeFrame(b, maxFrame)
	if err != nil {
		c.fail(condFraming, err)
		return 0
	}
	if n > 0 {
		c.handle(f)
	}
	if c.state == done {
		return 0
	}
	return n
}

// handle reads one frame.
func (c *Conn) handle(f frame) {
	kind := byte(frameAMQP)
	if c.state == expectInit {
		kind = frameSASL
	}
	if f.kind != kind {
		c.fail(condFraming, fmt.Errorf("%w: a frame of type %d where type %d is due", ErrProtocol, f.kind, kind))
		return
	}
	if len(f.body) == 0 {
		return // a heartbeat
	}
	code, fields, payload, err := consumePerformative(f.body)
	switch {
	case err != nil:
		c.fail(condDecode, err)
	case c.state == expectInit:
		c.login(code, &fields)
	default:
		c.perform(f.channel, code, &fields, payload)
	}
}

// perform reads one performative of the AMQP layer.
func (c *Conn) perform(channel uint16, code uint64, f *fields, payload []byte) {
	switch {
	case code < descOpen || code > descClose:
		return // nobody's
	case code == descClose:
		p := ended{}
		if p.read(f); !c.broken("CLOSE", f) {
			c.closeByClient(p.err)
		}
		return
	case c.state == closing:
		return
	case (code == descOpen) != (c.state == expectOpen):
		c.fail(condNotAllowed, fmt.Errorf("%w: OPEN is to come once, and first", ErrProtocol))
		return
	case code == descOpen:
		c.open(f)
		return
	case code == descBegin:
		c.begin(channel, f)
		return
	}
	s := c.sessions[channel]
	if s == nil {
		c.fail(condNotAllowed, fmt.Errorf("%w: a frame on channel %d, which has no session", ErrProtocol, channel))
		return
	}
	s.perform(code, f, payload)
}

// broken closes the connection over a performative that cannot be read.
func (c *Conn) broken(name string, f *fields) bool {
	if f.wrong == "" {
		return false
	}
	c.fail(condDecode, fmt.Errorf("%w: %s: %s", ErrProtocol, name, f.wrong))
	return true
}

// open answers the client's OPEN.
func (c *Conn) open(f *fields) {
	var p open
	if p.read(f); c.broken("OPEN", f) {
		return
	}
	if p.maxFrameSize < minFrame { // section 2.7.1
		c.fail(condInvalid, fmt.Errorf("%w: OPEN: max-frame-size is %d; it must be at least %d", ErrProtocol, p.maxFrameSize, minFrame))
		return
	}
	c.frameLimit = int(min(p.maxFrameSize, maxFrame))
	c.channelLimit = min(p.channelMax, channelMax)
	idle := time.Duration(p.idleTimeout) * time.Millisecond
	if idle > 0 {
		c.heartbeat = max(idle/2, minHeartbeat)
	}
	c.state = opened
	c.sendOpen()
	c.emit(&Opened{ContainerID: p.containerID, Hostname: p.hostname, IdleTimeout: idle})
}

func (c *Conn) sendOpen() {
	c.send(0, &open{
		containerID: c.opts.ContainerID, hostname: "localhost", maxFrameSize: maxFrame,
		channelMax: channelMax, idleTimeout: uint32(min(c.opts.IdleTimeout.Milliseconds(), 1<<32-1)),
	})
}

// closeByClient answers the client's CLOSE.
func (c *Conn) closeByClient(err *Error) {
	if c.state == opened {
		c.send(0, &ended{descriptor: descClose})
	}
	c.finish(&Closed{Error: err, Cause: c.cause})
}

// Close ends the connection with a CLOSE that tells why; nil tells nothing.
// Closed comes when the client has answered. A client may never do: bound the
// wait, or just close the stream. Node's client stalls for 45 s at a CLOSE, so
// the way to throw it out is to close the stream. Close does nothing before
// Opened or when the connection is closing already.
func (c *Conn) Close(err *Error) {
	if c.state != opened {
		return
	}
	c.send(0, &ended{descriptor: descClose, err: err})
	if c.state == opened { // it fitted
		c.state = closing
	}
	if err != nil {
		c.cause = err
	}
}

// fail ends a connection whose client broke the protocol. Its answer, if any,
// is not awaited: after a broken frame the place in the stream is lost.
func (c *Conn) fail(condition string, err error) {
	switch c.state {
	case expectOpen: // a CLOSE comes after an OPEN (section 2.4.3)
		c.sendOpen()
		c.send(0, &ended{descriptor: descClose, err: errorf(condition, "%v", err)})
	case opened:
		c.send(0, &ended{descriptor: descClose, err: errorf(condition, "%v", err)})
	}
	c.finish(&Closed{Cause: err})
}

// finish is the end of the connection.
func (c *Conn) finish(ev *Closed) {
	if c.state == done {
		return
	}
	c.state = done
	for _, s := range c.sessions {
		s.drop()
	}
	c.sessions, c.in, c.read = nil, nil, 0
	c.events = append(c.events, ev)
}

// emit gives an event; there is none after Closed.
func (c *Conn) emit(ev Event) {
	if c.state != done {
		c.events = append(c.events, ev)
	}
}

// Done reports whether the connection has come to its end; events and output
// may be left.
func (c *Conn) Done() bool { return c.state == done }

// AppendOutput appends to b what is to be sent now, and forgets it.
func (c *Conn) AppendOutput(now time.Time, b []byte) []byte {
	if len(c.out) == 0 {
		return b
	}
	c.lastOut = now
	b = append(b, c.out...)
	if c.out = c.out[:0]; cap(c.out) > 2*maxFrame {
		c.out = nil // the memory of a burst
	}
	return b
}

// A performative is what can be sent.
type performative interface{ append(b []byte) []byte }

// send writes a frame without payload. One that is over the client's limit
// loses what it can do without. After CLOSE nothing is sent.
func (c *Conn) send(channel uint16, p performative) {
	if c.state >= closing || c.sendWhole(channel, p) {
		return
	}
	switch p := p.(type) {
	case *attach:
		p.properties = nil
	case *detach:
		p.err = p.err.brief()
	case *disposition:
		p.outcome.Error = p.outcome.Error.brief()
	case *ended:
		p.err = p.err.brief()
	}
	if !c.sendWhole(channel, p) {
		c.finish(&Closed{Cause: fmt.Errorf("%w: its frames of at most %d bytes hold no answer (%s)", ErrProtocol, c.frameLimit, condFrameSize)})
	}
}

// sendWhole writes a frame unless it is over the client's limit.
func (c *Conn) sendWhole(channel uint16, p performative) bool {
	out, at := openFrame(c.out, frameAMQP, channel)
	out = closeFrame(p.append(out), at)
	if len(out)-at > c.frameLimit {
		return false
	}
	c.out = out
	return true
}

// Tick tells the time. It sends a heartbeat if one is due, and ends a
// connection whose client was silent for too long.
func (c *Conn) Tick(now time.Time) {
	if c.state == done {
		return
	}
	if !now.Before(c.lastIn.Add(c.opts.IdleTimeout)) {
		c.finish(&Closed{Cause: errors.Join(ErrIdle, c.cause)})
		return
	}
	if c.state == opened && c.heartbeat > 0 && len(c.out) == 0 && !now.Before(c.lastOut.Add(c.heartbeat)) {
		out, at := openFrame(c.out, frameAMQP, 0)
		c.out = closeFrame(out, at)
	}
}

// NextTick is when Tick is to be called at the latest; zero for never.
func (c *Conn) NextTick() time.Time {
	if c.state == done {
		return time.Time{}
	}
	next := c.lastIn.Add(c.opts.IdleTimeout)
	if c.heartbeat == 0 || c.state != opened {
		return next
	}
	if beat := c.lastOut.Add(c.heartbeat); beat.Before(next) {
		return beat
	}
	return next
}
