package amqpwire

import (
	"encoding/binary"
	"fmt"
)

// Protocol headers (AMQP 1.0 part 2, section 2.2, and part 5, section 5.3.2):
// what a stream, and each layer on it, begins with.
const (
	headerAMQP = "AMQP\x00\x01\x00\x00"
	headerSASL = "AMQP\x03\x01\x00\x00"
	headerSize = 8
)

// What the frames of a layer say they are (section 2.3.1).
const (
	frameAMQP = 0
	frameSASL = 1
)

// minFrame is the largest frame that everybody must take, and so the least
// that a peer may ask us to stay below (section 2.4.1).
const minFrame = 512

// frameHead is the length of a frame's header without extension.
const frameHead = 8

// A frame is one frame of either layer. It shares the memory it was read from.
type frame struct {
	kind    byte
	channel uint16
	body    []byte // empty for a heartbeat
}

// consumeFrame reads the frame that b begins with and returns how many bytes
// it has, 0 when b does not hold all of it yet. A frame over max bytes is
// refused once its size is there.
func consumeFrame(b []byte, max int) (f frame, n int, err error) {
	if len(b) < 4 {
		return frame{}, 0, nil
	}
	size := binary.BigEndian.Uint32(b)
	if size < frameHead || uint64(size) > uint64(max) {
		return frame{}, 0, fmt.Errorf("%w: a frame of %d bytes; from %d to %d are taken", ErrProtocol, size, frameHead, max)
	}
	if len(b) < int(size) {
		return frame{}, 0, nil
	}
	offset := int(b[4]) * 4
	if offset < frameHead || offset > int(size) {
		return frame{}, 0, fmt.Errorf("%w: a frame whose data begin at %d of %d bytes", ErrProtocol, offset, size)
	}
	return frame{kind: b[5], channel: binary.BigEndian.Uint16(b[6:]), body: b[offset:size:size]}, int(size), nil
}

// openFrame begins a frame; at is for closeFrame.
func openFrame(b []byte, kind byte, channel uint16) (grown []byte, at int) {
	return append(b, 0, 0, 0, 0, 2, kind, byte(channel>>8), byte(channel)), len(b)
}

// closeFrame ends a frame with its size.
func closeFrame(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

// consumePerformative reads what a frame's body begins with. What follows it
// is a transfer's payload. The code is unknown for a performative that has no
// numeric descriptor.
func consumePerformative(body []byte) (code uint64, f fields, payload []byte, err error) {
	v, n := consumeValue(body)
	if n == 0 || !v.described {
		return 0, fields{}, nil, fmt.Errorf("%w: a frame that does not begin with a performative", ErrProtocol)
	}
	f, ok := v.list()
	if !ok {
		return 0, fields{}, nil, fmt.Errorf("%w: performative %#x is no list", ErrProtocol, v.descriptor)
	}
	return v.descriptor, f, body[n:], nil
}
