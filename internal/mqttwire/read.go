package mqttwire

import (
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

// decode checks a body and makes it a packet, which may keep the body.
func decode(head packets.FixedHeader, body []byte) (packets.ControlPacket, error) {
	c := cursor{rest: body}
	p := c.packet(head)
	if err := c.err(head); err != nil {
		return nil, err
	}
	return p, nil
}

// packet takes a whole packet. It is of no use where c.wrong says something.
func (c *cursor) packet(head packets.FixedHeader) packets.ControlPacket {
	switch head.MessageType {
	case packets.Connect:
		return c.connect(head)
	case packets.Connack:
		return c.connack(head)
	case packets.Publish:
		// The payload is not copied: it may be a whole twin.
		topic, id, payload := c.publish(head.Qos)
		return &packets.PublishPacket{FixedHeader: head, TopicName: string(topic), MessageID: id, Payload: payload}
	case packets.Puback:
		return &packets.PubackPacket{FixedHeader: head, MessageID: c.packetID()}
	case packets.Pubrec:
		return &packets.PubrecPacket{FixedHeader: head, MessageID: c.packetID()}
	case packets.Pubrel:
		return &packets.PubrelPacket{FixedHeader: head, MessageID: c.packetID()}
	case packets.Pubcomp:
		return &packets.PubcompPacket{FixedHeader: head, MessageID: c.packetID()}
	case packets.Subscribe:
		return c.subscribe(head)
	case packets.Suback:
		return c.suback(head)
	case packets.Unsubscribe:
		return c.unsubscribe(head)
	case packets.Unsuback:
		return &packets.UnsubackPacket{FixedHeader: head, MessageID: c.packetID()}
	case packets.Pingreq:
		return &packets.PingreqPacket{FixedHeader: head}
	case packets.Pingresp:
		return &packets.PingrespPacket{FixedHeader: head}
	default: // checkFlags lets no other pass
		return &packets.DisconnectPacket{FixedHeader: head}
	}
}
