package mqttwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// A Reader is what packets are read from, such as a *bufio.Reader: headers are
// read byte by byte.
type Reader interface {
	io.Reader
	io.ByteReader
}

// Read reads the next packet. One that announces more than max bytes behind
// its fixed header is refused, with ErrTooLarge, before any of it is read; the
// memory for a shorter one grows with what arrives, so a lying length costs
// nothing. One that breaks the protocol is refused with ErrMalformed.
//
// An error of r passes through. The end of r is io.EOF between two packets and
// io.ErrUnexpectedEOF inside one. After any error the place in the stream is
// lost, and with it the stream.
//
// The packet shares no memory with r or with another packet. A CONNECT of
// another protocol level than 3 and 4 is read no further than that level, so
// that a hub can refuse it by CONNACK.
func Read(r Reader, max int) (packets.ControlPacket, error) {
	head, err := readHeader(r, max)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r, head.RemainingLength)
	if err != nil {
		return nil, err
	}
	return decode(head, body)
}

// readHeader reads the fixed header, flags and length checked.
func readHeader(r io.ByteReader, max int) (packets.FixedHeader, error) {
	var head packets.FixedHeader
	first, err := r.ReadByte()
	if err != nil {
		return head, err
	}
	head.MessageType = first >> 4
	head.Dup = first&8 != 0
	head.Qos = first >> 1 & 3
	head.Retain = first&1 != 0
	if err := checkFlags(head.MessageType, first&0xf); err != nil {
		return head, err
	}
	for shift := 0; ; shift += 7 {
		if shift == 28 { // a fifth byte (MQTT 3.1.1, 2.2.3)
			return head, fmt.Errorf("%w: its length has more than four bytes", ErrMalformed)
		}
		b, err := r.ReadByte()
		if err != nil {
			return head, inside(err)
		}
		head.RemainingLength |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
	}
	if head.RemainingLength > max {
		return head, fmt.Errorf("%w: %s announces %d bytes; at most %d are read",
			ErrTooLarge, packets.PacketNames[head.MessageType], head.RemainingLength, max)
	}
	return head, nil
}

// firstChunk is what is allocated on the strength of an announced length.
const firstChunk = 4 << 10

// readBody reads n bytes into memory that at most doubles with each arrival.
func readBody(r io.Reader, n int) ([]byte, error) {
	buf := make([]byte, min(n, firstChunk))
	for got := 0; ; {
		m, err := io.ReadFull(r, buf[got:])
		if err != nil {
			return nil, inside(err)
		}
		if got += m; got == n {
			return buf, nil
		}
		grown := make([]byte, min(n, 2*got))
		copy(grown, buf)
		buf = grown
	}
}

// inside turns the end of a stream into what it is inside a packet.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decode checks the body and makes it a packet, which may keep the body.
func decode(head packets.FixedHeader, body []byte) (packets.ControlPacket, error) {
	if err := checkBody(head, body); err != nil {
		return nil, err
	}
	switch head.MessageType {
	case packets.Publish:
		return decodePublish(head, body), nil
	case packets.Connect:
		if name, level := connectLevel(body); !knownLevel(name, level) {
			return &packets.ConnectPacket{FixedHeader: head, ProtocolName: name, ProtocolVersion: level}, nil
		}
	}
	p, err := packets.NewControlPacketWithHeader(head)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	// A bytes.Buffer, as paho itself uses: a bytes.Reader would answer the
	// reading of an empty last field with io.EOF.
	if err := p.Unpack(bytes.NewBuffer(body)); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrMalformed, packets.PacketNames[head.MessageType], err)
	}
	return p, nil
}

// decodePublish reads a checked body without copying the payload, which paho
// would: it may be a whole twin.
func decodePublish(head packets.FixedHeader, body []byte) *packets.PublishPacket {
	c := cursor{rest: body}
	p := &packets.PublishPacket{FixedHeader: head, TopicName: string(c.field())}
	if head.Qos > 0 {
		p.MessageID = c.uint16()
	}
	p.Payload = c.rest
	return p
}
