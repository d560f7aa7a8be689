package amqpwire

import (
	"bytes"
	"fmt"
)

// MaxFrame is the largest frame that Inspect takes, in bytes.
const MaxFrame = maxFrame

// maxSpan bounds how many deliveries one disposition concerns: more than any
// window holds.
const maxSpan = 2 * window

// A Frame is what a client has to know of a frame of its server before go-amqp
// may see it. It shares the memory it was read from.
type Frame struct {
	Channel uint16
	// Kind is the performative; KindNone for a heartbeat.
	Kind Kind

	MaxFrame   uint32 // of KindOpen: the largest frame that the server takes
	ChannelMax uint16 // of KindOpen: the highest channel
	Answers    uint16 // of KindBegin: the channel of the client that it answers
	Handle     uint32 // of KindAttach and KindDetach
	Transfer   Part   // of KindTransfer

	flow   flow
	detach detach
}

// A Kind is a performative that Inspect tells apart, by its descriptor.
type Kind byte

// The kinds.
const (
	KindNone     Kind = 0
	KindOpen     Kind = descOpen
	KindBegin    Kind = descBegin
	KindAttach   Kind = descAttach
	KindFlow     Kind = descFlow
	KindTransfer Kind = descTransfer
	KindDetach   Kind = descDetach
	KindEnd      Kind = descEnd
	KindOther    Kind = 0xff
)

// A Part is a message or a part of one.
type Part struct {
	Handle  uint32
	More    bool // another part follows
	Aborted bool // the message ends without having been sent
	Settled bool
	Payload []byte

	head transfer
}

// Begins reports whether the part tells what the first of a message must.
func (p Part) Begins() bool {
	return p.head.deliveryID.set && p.head.format.set && p.head.tag != nil
}

// Continues reports whether the part tells nothing else than the first did.
func (p Part) Continues(first Part) bool {
	return (!p.head.deliveryID.set || p.head.deliveryID == first.head.deliveryID) &&
		(!p.head.format.set || p.head.format == first.head.format) &&
		(p.head.tag == nil || bytes.Equal(p.head.tag, first.head.tag))
}

// Keep is the part without its payload, and without the memory it was read from.
func (p Part) Keep() Part {
	p.Payload, p.head.tag = nil, bytes.Clone(p.head.tag)
	return p
}

// AppendWhole appends a frame of any size that carries a whole message in place
// of all its parts; p is the first.
func (p Part) AppendWhole(dst []byte, channel uint16, settled bool, payload []byte) []byte {
	t := p.head
	t.settled, t.more = some(settled), false
	dst, at := openFrame(dst, frameAMQP, channel)
	return closeFrame(append(t.append(dst), payload...), at)
}

// Inspect reads the frame that b begins with, and returns how many bytes it
// has; 0 when b does not hold all of it yet.
//
// It is for a client on go-amqp, which believes what its server sends. What
// Inspect refuses, with ErrProtocol, ends in its panic, in a loop over billions
// of numbers, or in as much memory as the server likes to announce: a frame over
// MaxFrame bytes, values that do not hold what they announce or are nested
// deeper than 8, keys of maps that are not plain, and a disposition over more
// deliveries than there can be. The payload of a transfer is not looked at: that
// is CheckMessage's, once the message is whole.
func Inspect(b []byte) (f Frame, n int, err error) {
	raw, n, err := consumeFrame(b, MaxFrame)
	if err != nil || n == 0 {
		return Frame{}, 0, err
	}
	f.Channel = raw.channel
	if len(raw.body) == 0 {
		return f, n, nil
	}
	code, fs, payload, err := consumePerformative(raw.body)
	if err != nil {
		return Frame{}, 0, err
	}
	if !wellFormed(raw.body[:len(raw.body)-len(payload)]) {
		return Frame{}, 0, fmt.Errorf("%w: performative %#x does not hold what it announces, or is nested deeper than %d", ErrProtocol, code, maxDepth)
	}
	f.Kind = KindOther
	switch code {
	case descOpen:
		f.Kind = KindOpen
		var p open
		p.read(&fs)
		f.MaxFrame, f.ChannelMax = p.maxFrameSize, p.channelMax
	case descBegin:
		f.Kind = KindBegin
		var p begin
		p.read(&fs)
		f.Answers = p.remoteChannel.value
	case descAttach:
		f.Kind = KindAttach
		fs.skip(1) // name
		f.Handle = must(&fs, "handle", value.uint)
	case descFlow:
		f.Kind = KindFlow
		f.flow.read(&fs)
	case descTransfer:
		f.Kind = KindTransfer
		var p transfer
		p.read(&fs)
		f.Transfer = Part{p.handle, p.more, p.aborted, p.settled.value, payload, p}
	case descDetach:
		f.Kind = KindDetach
		f.detach.read(&fs)
		f.Handle = f.detach.handle
	case descDisposition:
		fs.skip(1) // role
		first := must(&fs, "first", value.uint)
		last := or(&fs, "last", value.uint, first)
		if last == 1<<32-1 || last > first && last-first > maxSpan {
			return Frame{}, 0, fmt.Errorf("%w: a disposition from %d to %d", ErrProtocol, first, last)
		}
	case descEnd:
		f.Kind = KindEnd
	}
	if fs.wrong != "" {
		return Frame{}, 0, fmt.Errorf("%w: performative %#x: %s", ErrProtocol, code, fs.wrong)
	}
	return f, n, nil
}

// Complete appends the frame, a KindFlow, to dst with what go-amqp cannot do without, and
// reports whether anything was missing; if not, it appends nothing.
//
// A missing next-incoming-id becomes the one given: some gateways of IoT hubs
// leave it out, at which go-amqp ends the session. A link's flow that tells no
// credit, at which it panics, becomes one of the session alone.
func (f Frame) Complete(dst []byte, nextIncomingID uint32) (b []byte, missing bool) {
	p := f.flow
	bare := p.handle.set && !p.linkCredit.set
	if p.nextIncomingID.set && !bare {
		return dst, false
	}
	if !p.nextIncomingID.set {
		p.nextIncomingID = some(nextIncomingID)
	}
	if bare {
		p.handle, p.deliveryCount, p.available, p.drain = optional[uint32]{}, optional[uint32]{}, optional[uint32]{}, optional[bool]{}
	}
	dst, at := openFrame(dst, frameAMQP, f.Channel)
	return closeFrame(p.append(dst), at), true
}

// OfLink reports whether a flow is a link's, and not the session's alone.
func (f Frame) OfLink() bool { return f.flow.handle.set }

// CloseLink appends the frame, a KindDetach, to dst as one that closes the link,
// and reports whether it was none; if not, it appends nothing. go-amqp knows no
// other: it would wait for another DETACH.
func (f Frame) CloseLink(dst []byte) (b []byte, missing bool) {
	if f.detach.closed {
		return dst, false
	}
	p := f.detach
	p.closed = true
	dst, at := openFrame(dst, frameAMQP, f.Channel)
	return closeFrame(p.append(dst), at), true
}

// CheckMessage is the check of DecodeMessage without decoding.
func CheckMessage(b []byte) error {
	if len(b) > maxMessage {
		return fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	return checkSections(b)
}
