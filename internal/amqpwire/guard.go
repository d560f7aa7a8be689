package amqpwire

import (
	"fmt"
	"time"
)

// What a Guard lets a server do. Its memory and go-amqp's are bounded by it.
const (
	// MaxTaken is the largest message that a Guard takes on any link.
	MaxTaken = 512 << 10
	// maxNotes bounds the sections of a message beside its data, in bytes, and
	// maxValues the values in all of them: decoded, each takes up to 100 bytes.
	maxNotes  = 64 << 10
	maxValues = 2 << 10
	// allowance is how many frames beside transfers a server may send without
	// cause. Each frame of ours is a cause for allowedPerFrame more, each second
	// for allowedPerSecond, and each session for a larger reserve.
	allowance         = 1000
	allowedPerFrame   = 4
	allowedPerSecond  = 20
	allowedPerSession = 32
	minIdle, maxIdle  = 2000, 3_600_000 // milliseconds between signs of life that a server may want
	maxCondition      = 256             // bytes of a condition that are kept
	maxDescription    = 4 << 10         // likewise of its description
	minHandleMax      = 4               // two pairs of links, and one for telemetry
	wideWindow        = 1<<31 - 1       // transfers, which credit and MaxTaken bound
	freeCredit        = 1 << 30         // what go-amqp gets: who sends asks GuardedLink.Claim before
	renewFree         = 1 << 20         // messages after which it gets it again
	maxEmptyParts     = 1024            // transfers without payload in one message
	maxUnfinished     = 8 * MaxTaken    // bytes of unfinished messages, on all links
	keptBuffer        = 8 << 10         // bytes of a buffer that are kept while nothing is in it
)

// A Guard protects a client on go-amqp, which believes what its server sends. It keeps the accounts of sessions and links in both
// directions, and go-amqp reads nothing but frames that the Guard has written:
// with the fields that go-amqp needs, every number within bounds and every text
// cut. It is not safe for concurrent use.
//
// Inbound, it joins messages from their parts and checks them, and ends the
// connection of a server that sends without credit, or floods: go-amqp queues
// without bound. Windows and credit that the server grants are kept here.
// go-amqp sees a window that never shrinks and credit without end, since its
// arithmetic wraps around where a server takes either back. The sender asks
// GuardedLink.Claim before. Outbound, the Guard corrects the numbers of BEGIN and FLOW,
// and keeps a channel from being used again before its old session has ended.
type Guard struct {
	state state // expectHeader, expectOpen, opened or done
	in    []byte
	ready []byte // to be read by go-amqp
	read  int    // how much of ready is read
	err   error  // why nothing more passes

	maxFrame   uint32 // of the server's OPEN, within bounds
	channelMax uint16
	heard      uint64 // frames that say something
	unfinished int    // bytes of messages of which some parts have come

	left    float64 // frames that may come yet without cause
	counted time.Time

	sessions map[uint16]*account // by our channel
	theirs   map[uint16]*account // by the server's, from its BEGIN to its END
}

// NewGuard returns a Guard for a connection that begins now.
func NewGuard(now time.Time) *Guard {
	return &Guard{left: allowance, counted: now, sessions: map[uint16]*account{}, theirs: map[uint16]*account{}}
}

// Parts is how many transfers a message of a size takes, at most.
func (g *Guard) Parts(size int) int { return 1 + size/int(g.maxFrame-maxTransferHead) }

// maxTransferHead is what go-amqp allows for a transfer beside its payload.
const maxTransferHead = 66

// Sessions is how many sessions the server takes, 1 before its OPEN.
func (g *Guard) Sessions() int { return int(g.channelMax) + 1 }

// Heard is how many frames of the server's said something.
func (g *Guard) Heard() uint64 { return g.heard }

// Read moves to b what go-amqp may read, and returns how much that is.
func (g *Guard) Read(b []byte) int {
	n := copy(b, g.ready[g.read:])
	if g.read += n; g.read == len(g.ready) {
		if g.ready, g.read = g.ready[:0], 0; cap(g.ready) > keptBuffer {
			g.ready = nil // the memory of a large message
		}
	}
	return n
}

// Comes takes bytes of the server's. It returns why nothing more passes, or nil.
func (g *Guard) Comes(now time.Time, b []byte) error {
	if g.err != nil || g.state == done {
		return g.err
	}
	g.in = append(g.in, b...)
	at := 0
	for at < len(g.in) && g.err == nil {
		n := g.frame(now, g.in[at:])
		if n == 0 {
			break
		}
		at += n
	}
	if g.in = g.in[:copy(g.in, g.in[at:])]; len(g.in) == 0 && cap(g.in) > keptBuffer {
		g.in = nil
	}
	return g.err
}

// frame takes the frame that b begins with, and returns how many bytes it has, 0
// when more are needed.
func (g *Guard) frame(now time.Time, b []byte) int {
	if g.state == expectHeader {
		if len(b) < headerSize {
			return 0
		}
		g.state = expectOpen // go-amqp judges the header
		g.ready = append(g.ready, b[:headerSize]...)
		return headerSize
	}
	f, n, err := Inspect(b)
	if err == nil && n > 0 && f.Kind != KindNone && f.Kind != KindOther && g.state != done {
		g.heard++
		err = g.take(now, &f)
	}
	if err != nil {
		g.err = err
		return 0
	}
	return n
}

// take takes a performative.
func (g *Guard) take(now time.Time, f *Frame) error {
	switch {
	case (f.Kind == KindOpen) != (g.state == expectOpen):
		return fmt.Errorf("%w: OPEN is to come once, and first", ErrProtocol)
	case f.Kind == KindOpen:
		return g.open(f)
	case f.Kind == KindBegin:
		return g.begin(now, f)
	case f.Kind == KindClose:
		p := ended{descriptor: descClose}
		err := f.read(&p)
		p.err = p.err.cut()
		g.state = done
		g.pass(0, &p, nil)
		return err
	}
	s := g.theirs[f.Channel]
	if s == nil {
		return fmt.Errorf("%w: a frame on channel %d, which has no session", ErrProtocol, f.Channel)
	}
	if s.ended && f.Kind != KindEnd {
		return nil // sent before the server saw our END
	}
	switch f.Kind {
	case KindAttach:
		return g.attach(now, s, f)
	case KindFlow:
		return g.flow(now, s, f)
	case KindTransfer:
		return g.transfer(now, s, f)
	case KindDisposition:
		return g.disposition(now, s, f)
	case KindDetach:
		return g.detach(now, s, f)
	}
	return g.end(now, s, f)
}

// pass lets go-amqp read a frame.
func (g *Guard) pass(channel uint16, p performative, payload []byte) {
	g.ready = appendFrame(g.ready, channel, p, payload)
}

// passCounted does so with a frame that no credit bounds.
func (g *Guard) passCounted(now time.Time, channel uint16, p performative) error {
	if err := g.charge(now); err != nil {
		return err
	}
	g.pass(channel, p, nil)
	return nil
}

// charge counts a frame against the server's allowance.
func (g *Guard) charge(now time.Time) error {
	if passed := now.Sub(g.counted); passed > 0 {
		g.allow(passed.Seconds() * allowedPerSecond)
		g.counted = now
	}
	if g.left < 1 {
		return fmt.Errorf("%w: it floods, with frames that nothing asks for", ErrProtocol)
	}
	g.left--
	return nil
}

// allow lets more frames come.
func (g *Guard) allow(more float64) {
	g.left = min(g.left+more, float64(allowance+allowedPerSession*len(g.sessions)))
}

func (g *Guard) open(f *Frame) error {
	var p open
	if err := f.read(&p); err != nil {
		return err
	}
	if p.maxFrameSize < minFrame {
		return fmt.Errorf("%w: OPEN: max-frame-size is %d; it must be at least %d", ErrProtocol, p.maxFrameSize, minFrame)
	}
	p.containerID, p.hostname = clip(p.containerID, maxCondition), ""
	p.maxFrameSize = min(p.maxFrameSize, maxFrame)
	if p.idleTimeout > 0 {
		p.idleTimeout = min(max(p.idleTimeout, minIdle), maxIdle)
	}
	g.maxFrame, g.channelMax, g.state = p.maxFrameSize, p.channelMax, opened
	g.pass(f.Channel, &p, nil)
	return nil
}

func (g *Guard) begin(now time.Time, f *Frame) error {
	var p begin
	if err := f.read(&p); err != nil {
		return err
	}
	s := g.sessions[p.remoteChannel.value]
	switch {
	case !p.remoteChannel.set || s == nil || s.answered:
		return fmt.Errorf("%w: BEGIN that answers none", ErrProtocol)
	case g.theirs[f.Channel] != nil:
		return fmt.Errorf("%w: BEGIN on channel %d, which has a session", ErrProtocol, f.Channel)
	case p.handleMax < minHandleMax:
		return fmt.Errorf("%w: BEGIN: handle-max is %d; it must be at least %d", ErrProtocol, p.handleMax, minHandleMax)
	}
	p.incomingWindow = min(p.incomingWindow, wideWindow)
	s.answered, s.remote, s.nextIn = true, f.Channel, p.nextOutgoingID
	s.limit, s.granted, s.window = p.incomingWindow, p.incomingWindow, p.incomingWindow
	g.theirs[f.Channel] = s
	return g.passCounted(now, f.Channel, &p)
}

// end takes the end of a session. It may answer ours.
func (g *Guard) end(now time.Time, s *account, f *Frame) error {
	p := ended{descriptor: descEnd}
	if err := f.read(&p); err != nil {
		return err
	}
	p.err = p.err.cut()
	s.drop()
	delete(g.theirs, f.Channel)
	if s.ended {
		delete(g.sessions, s.local)
	} else {
		s.owed = true
	}
	return g.passCounted(now, f.Channel, &p)
}

// disposition takes what the server says of our messages.
func (g *Guard) disposition(now time.Time, s *account, f *Frame) error {
	var p disposition
	if err := f.read(&p); err != nil {
		return err
	}
	last := p.first
	if p.last.set {
		last = p.last.value
	}
	switch {
	case p.role == Sender || last < p.first || !p.final && !p.settled:
		return nil // of its own messages, of none, or nothing
	case last-p.first > maxSpan || last == 1<<32-1: // go-amqp counts one by one, and beyond
		return fmt.Errorf("%w: a disposition from %d to %d", ErrProtocol, p.first, last)
	}
	p.outcome.Error = p.outcome.Error.cut()
	return g.passCounted(now, f.Channel, &p)
}

// maxSpan bounds how many deliveries one disposition concerns: more than any
// window holds.
const maxSpan = 2 * window

// Leaves takes a frame of go-amqp's, and returns what is to be written in its
// place, the frame with its numbers corrected. A BEGIN on a channel whose END
// go-amqp still owes waits, since go-amqp gives a channel away before it has ended
// the session. That END is returned with the BEGIN behind it.
func (g *Guard) Leaves(frame []byte) []byte {
	if len(frame) >= 4 && string(frame[:4]) == "AMQP" {
		return frame
	}
	f, _, err := inspect(frame, 1<<30)
	if err != nil || f.Kind == KindNone {
		return frame
	}
	if f.Kind != KindFlow {
		g.allow(allowedPerFrame)
	}
	s := g.sessions[f.Channel]
	switch {
	case f.Kind == KindBegin && s != nil && s.owed:
		s.next = append([]byte(nil), frame...)
		return nil
	case f.Kind == KindBegin:
		return g.beginOurs(&f, frame)
	case s == nil:
		return frame
	case f.Kind == KindEnd:
		s.drop()
		if !s.owed {
			s.ended = true
			return frame
		}
		delete(g.sessions, f.Channel)
		if s.next == nil {
			return frame
		}
		next, _, _ := inspect(s.next, 1<<30) // it was sound before
		return append(append([]byte(nil), frame...), g.beginOurs(&next, s.next)...)
	}
	return s.leaves(&f, frame)
}

// beginOurs begins the account of a session, and corrects its BEGIN.
func (g *Guard) beginOurs(f *Frame, frame []byte) []byte {
	var p begin
	if f.read(&p) != nil {
		return frame
	}
	g.sessions[f.Channel] = newAccount(g, f.Channel)
	p.incomingWindow = wideWindow
	return appendFrame(nil, f.Channel, &p, nil)
}

// cut is the error with its texts cut.
func (e *Error) cut() *Error {
	if e == nil {
		return nil
	}
	return &Error{Condition: clip(e.Condition, maxCondition), Description: clip(e.Description, maxDescription)}
}
