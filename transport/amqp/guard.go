package amqp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

const (
	// maxParts bounds the beginnings of messages whose rest is to come, in bytes
	// over all links of a connection.
	maxParts = 4 << 20
	// partCost is what a beginning costs beside its bytes.
	partCost = 256
	// maxUnasked is how many messages a hub may send on a session after our last
	// word on its credit: several times what we ever give.
	maxUnasked = 256
)

// A guard stands between the hub and go-amqp, which believes what it is sent.
// It lets whole frames pass that amqpwire.Inspect has found sound; joins messages
// from their parts, and lets them pass if they are; and completes what go-amqp
// cannot do without. On the way out it keeps a channel from being used anew
// before its old session has said goodbye.
type guard struct {
	ready []byte // checked, to be read
	in    []byte // the beginning of the next frame
	err   error  // why nothing more passes

	channels map[uint16]uint16 // the hub's to ours
	begun    map[linkID]*begun // messages under way
	held     int               // what they cost

	heard      atomic.Uint64 // frames of the hub's that say something
	maxFrame   atomic.Uint32 // the largest that the hub takes, once it has said
	channelMax atomic.Uint32 // the highest channel that it takes, likewise

	mu   sync.Mutex // guards what follows; nothing waits while it is held
	ours map[uint16]*channel
}

// A linkID is a link of the hub's.
type linkID struct {
	channel uint16
	handle  uint32
}

// A begun is a message of which some parts have come.
type begun struct {
	first   amqpwire.Part
	settled bool
	payload []byte
}

// A channel is one of ours, from its first BEGIN on.
type channel struct {
	moved   uint32 // transfers sent
	unasked int    // messages that came since we last gave credit
	ended   bool   // our END has left
	owed    bool   // the hub's END came first, and is not answered
	next    []byte // a BEGIN that waits for that answer
}

func newGuard() *guard {
	return &guard{channels: map[uint16]uint16{}, begun: map[linkID]*begun{}, ours: map[uint16]*channel{}}
}

// isHeader reports whether b begins as a protocol header does, which is no frame.
func isHeader(b []byte) bool { return len(b) >= 4 && string(b[:4]) == "AMQP" }

// feed takes bytes of the stream.
func (g *guard) feed(b []byte) {
	if len(g.ready) == 0 {
		g.ready = g.ready[:0]
	}
	if g.err != nil {
		return
	}
	if len(g.in) > 0 {
		b = append(g.in, b...)
	}
	for len(b) > 0 {
		n := g.frame(b)
		if n == 0 {
			break
		}
		b = b[n:]
	}
	g.in = append(g.in[:0:0], b...)
}

// frame lets pass what b begins with, and returns how many bytes it took; 0 when
// more are needed.
func (g *guard) frame(b []byte) int {
	if isHeader(b) {
		const size = 8
		if len(b) < size {
			return 0
		}
		g.ready = append(g.ready, b[:size]...)
		return size
	}
	f, n, err := amqpwire.Inspect(b)
	if err == nil && n > 0 {
		err = g.pass(f, b[:n])
	}
	if err != nil {
		g.err = err
		return 0
	}
	return n
}

// pass lets a frame pass that is sound by itself, or what stands for it.
func (g *guard) pass(f amqpwire.Frame, raw []byte) error {
	instead := false
	switch f.Kind {
	case amqpwire.KindNone:
		g.ready = append(g.ready, raw...)
		return nil
	case amqpwire.KindOpen:
		g.maxFrame.Store(f.MaxFrame)
		g.channelMax.Store(uint32(f.ChannelMax))
	case amqpwire.KindBegin:
		g.channels[f.Channel] = f.Answers
	case amqpwire.KindAttach:
		g.drop(linkID{f.Channel, f.Handle})
	case amqpwire.KindFlow:
		g.ready, instead = f.Complete(g.ready, g.moved(f.Channel))
	case amqpwire.KindTransfer:
		err := g.part(f, raw)
		if err != nil {
			return err
		}
		instead = true
	case amqpwire.KindDetach:
		g.drop(linkID{f.Channel, f.Handle})
		g.ready, instead = f.CloseLink(g.ready)
	case amqpwire.KindEnd:
		g.hubEnded(f.Channel)
	}
	g.heard.Add(1)
	if !instead {
		g.ready = append(g.ready, raw...)
	}
	return nil
}

// part takes a message or a part of one, and lets the message pass in one frame
// once it is there: so go-amqp, which would let some parts count and others not,
// decodes the very bytes that were checked. That it then counts fewer transfers
// than the hub sent makes the window look smaller, until the hub's next FLOW.
func (g *guard) part(f amqpwire.Frame, raw []byte) error {
	t, id := f.Transfer, linkID{f.Channel, f.Transfer.Handle}
	m := g.begun[id]
	switch {
	case m == nil && !t.Begins():
		return fmt.Errorf("%w: a message without delivery-id, tag or format", amqpwire.ErrProtocol)
	case m != nil && !t.Continues(m.first):
		return fmt.Errorf("%w: a message inside another", amqpwire.ErrProtocol)
	case t.Aborted:
		g.drop(id)
		return nil
	case m == nil && !t.More:
		if err := g.whole(f.Channel, t.Payload); err != nil {
			return err
		}
		g.ready = append(g.ready, raw...)
		return nil
	case m == nil:
		m = &begun{first: t.Keep()}
		g.begun[id] = m
		g.held += partCost
	}
	m.settled = m.settled || t.Settled
	m.payload = append(m.payload, t.Payload...)
	g.held += len(t.Payload)
	if t.More {
		if g.held > maxParts {
			return fmt.Errorf("%w: over %d bytes of messages that do not end", amqpwire.ErrMessage, maxParts)
		}
		return nil
	}
	g.drop(id)
	if err := g.whole(f.Channel, m.payload); err != nil {
		return err
	}
	g.ready = m.first.AppendWhole(g.ready, f.Channel, m.settled, m.payload)
	return nil
}

// whole checks a message, and that it was asked for.
func (g *guard) whole(remote uint16, payload []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.ours[g.channels[remote]]; c != nil {
		if c.unasked++; c.unasked > maxUnasked {
			return fmt.Errorf("%w: %d messages without credit", amqpwire.ErrProtocol, c.unasked)
		}
	}
	return amqpwire.CheckMessage(payload)
}

// drop forgets the message under way on a link.
func (g *guard) drop(id linkID) {
	if m := g.begun[id]; m != nil {
		g.held -= partCost + len(m.payload)
		delete(g.begun, id)
	}
}

// moved is how many transfers left for the session of a hub's channel: where the
// hub does not say how many it has, it can only be all of them.
func (g *guard) moved(remote uint16) uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.ours[g.channels[remote]]; c != nil {
		return c.moved
	}
	return 0
}

// hubEnded notes an END of the hub's.
func (g *guard) hubEnded(remote uint16) {
	local, known := g.channels[remote]
	delete(g.channels, remote)
	for id := range g.begun {
		if id.channel == remote {
			g.drop(id)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.ours[local]
	switch {
	case !known || c == nil:
	case c.ended:
		delete(g.ours, local)
	default:
		c.owed = true
	}
}

// leaving notes a frame that is about to leave, and returns what is to be written
// in its place: nothing of a BEGIN on a channel whose END go-amqp still owes the
// hub, for go-amqp gives the channel away before it pays; and behind that END
// the BEGIN.
func (g *guard) leaving(frame []byte) []byte {
	const head, code = 8, 10 // a performative is described, a smallulong, a code
	if len(frame) <= code || isHeader(frame) || frame[head] != 0 || frame[head+1] != 0x53 {
		return frame
	}
	id := binary.BigEndian.Uint16(frame[6:])
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.ours[id]
	switch kind := amqpwire.Kind(frame[code]); {
	case kind == amqpwire.KindBegin && c != nil && c.owed:
		c.next = bytes.Clone(frame)
		return nil
	case kind == amqpwire.KindBegin:
		g.ours[id] = &channel{}
	case c == nil:
	case kind == amqpwire.KindTransfer:
		c.moved++
	case kind == amqpwire.KindFlow:
		if f, _, err := amqpwire.Inspect(frame); err == nil && f.OfLink() {
			c.unasked = 0
		}
	case kind == amqpwire.KindEnd && !c.owed:
		c.ended = true
	case kind == amqpwire.KindEnd:
		delete(g.ours, id)
		if c.next != nil {
			g.ours[id] = &channel{}
			return append(bytes.Clone(frame), c.next...)
		}
	}
	return frame
}
