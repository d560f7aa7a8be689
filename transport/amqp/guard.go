package amqp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/devicetwin/devicetwin-go/internal/amqpwire"
)

// maxParts bounds the beginnings of messages whose rest is to come, in bytes
// over all links of a connection.
const maxParts = 4 << 20

// A guard stands between the hub and go-amqp, which believes what it is sent.
// It lets whole frames pass that amqpwire.Inspect has found sound, the last part
// of a message only if the message is, and completes FLOW frames. On the way out
// it keeps a channel from being used anew before its old session has said
// goodbye.
type guard struct {
	ready []byte // checked, to be read
	in    []byte // the beginning of the next frame
	err   error  // why nothing more passes

	channels map[uint16]uint16 // the hub's to ours
	parts    map[linkID][]byte // messages under way
	held     int               // bytes of them

	mu   sync.Mutex // guards what follows; nothing waits while it is held
	ours map[uint16]*channel
}

// A linkID is a link of the hub's.
type linkID struct {
	channel uint16
	handle  uint32
}

// A channel is one of ours, from its first BEGIN on.
type channel struct {
	moved uint32 // transfers sent
	ended bool   // our END has left
	owed  bool   // the hub's END came first, and is not answered
	next  []byte // a BEGIN that waits for that answer
}

func newGuard() *guard {
	return &guard{channels: map[uint16]uint16{}, parts: map[linkID][]byte{}, ours: map[uint16]*channel{}}
}

// isHeader reports whether b begins as a protocol header does, which is no frame.
func isHeader(b []byte) bool { return len(b) >= 4 && string(b[:4]) == "AMQP" }

// feed takes bytes of the stream.
func (g *guard) feed(b []byte) {
	if len(g.ready) == 0 {
		g.ready = g.ready[:0]
	}
	if len(g.in) > 0 {
		b = append(g.in, b...)
	}
	for g.err == nil {
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
	if err == nil && n > 0 && f.Kind == amqpwire.KindTransfer {
		err = g.part(f)
	}
	if err != nil {
		g.err = err
		return 0
	}
	switch f.Kind {
	case amqpwire.KindBegin:
		g.channels[f.Channel] = f.Answers
	case amqpwire.KindEnd:
		g.hubEnded(f.Channel)
	case amqpwire.KindFlow:
		var missing bool
		if g.ready, missing = f.Complete(g.ready, g.moved(f.Channel)); missing {
			return n
		}
	}
	g.ready = append(g.ready, b[:n]...)
	return n
}

// part checks a message once all of it is there.
func (g *guard) part(f amqpwire.Frame) error {
	id, t := linkID{f.Channel, f.Transfer.Handle}, f.Transfer
	before := g.parts[id]
	if len(before) == 0 && !t.More && !t.Aborted {
		return amqpwire.CheckMessage(t.Payload)
	}
	whole := append(before, t.Payload...)
	g.held += len(t.Payload)
	if t.More && !t.Aborted {
		if g.held > maxParts {
			return fmt.Errorf("%w: over %d bytes of messages that do not end", amqpwire.ErrMessage, maxParts)
		}
		g.parts[id] = whole
		return nil
	}
	delete(g.parts, id)
	g.held -= len(whole)
	if t.Aborted {
		return nil
	}
	return amqpwire.CheckMessage(whole)
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
	for id, b := range g.parts {
		if id.channel == remote {
			g.held -= len(b)
			delete(g.parts, id)
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
