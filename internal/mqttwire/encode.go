package mqttwire

import (
	"encoding/binary"
	"fmt"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Encode returns the whole packet as it goes over the wire, in memory of its
// own. It refuses with ErrTooLarge what has no place on the wire, where paho
// cuts in silence, and with ErrMalformed what Read would refuse. It does not
// need the packet's RemainingLength.
func Encode(p packets.ControlPacket) ([]byte, error) {
	var w writer
	head := w.packet(p)
	if w.err != nil {
		return nil, w.err
	}
	body := w.b[headerRoom:]
	first := head.MessageType<<4 | bit(head.Dup)<<3 | head.Qos<<1&0xf | bit(head.Retain)
	// Our own packets are held to what we ask of others'.
	if err := checkFlags(head.MessageType, first&0xf); err != nil {
		return nil, err
	}
	if err := checkBody(head, body); err != nil {
		return nil, err
	}
	var room [headerRoom]byte
	header := appendLength(append(room[:0], first), len(body))
	whole := w.b[headerRoom-len(header):]
	copy(whole, header)
	return whole, nil
}

// headerRoom is the length of the longest fixed header.
const headerRoom = 5

// A writer writes the body of a packet behind room for its fixed header.
type writer struct {
	b   []byte
	err error // the first, or nil
}

// packet writes a packet's body, and returns what its header says.
func (w *writer) packet(p packets.ControlPacket) packets.FixedHeader {
	switch p := p.(type) {
	case *packets.ConnectPacket:
		w.connect(p)
		return p.FixedHeader
	case *packets.ConnackPacket:
		w.begin(2)
		w.b = append(w.b, bit(p.SessionPresent), p.ReturnCode)
		return p.FixedHeader
	case *packets.PublishPacket:
		w.publish(p)
		return p.FixedHeader
	case *packets.PubackPacket:
		return w.answer(p.FixedHeader, p.MessageID)
	case *packets.PubrecPacket:
		return w.answer(p.FixedHeader, p.MessageID)
	case *packets.PubrelPacket:
		return w.answer(p.FixedHeader, p.MessageID)
	case *packets.PubcompPacket:
		return w.answer(p.FixedHeader, p.MessageID)
	case *packets.UnsubackPacket:
		return w.answer(p.FixedHeader, p.MessageID)
	case *packets.SubscribePacket:
		if len(p.Topics) != len(p.Qoss) {
			w.err = fmt.Errorf("%w: SUBSCRIBE with %d filters and %d QoS", ErrMalformed, len(p.Topics), len(p.Qoss))
			break
		}
		w.filters(p.MessageID, p.Topics, p.Qoss)
		return p.FixedHeader
	case *packets.SubackPacket:
		w.begin(2 + len(p.ReturnCodes))
		w.uint16(p.MessageID)
		w.b = append(w.b, p.ReturnCodes...)
		return p.FixedHeader
	case *packets.UnsubscribePacket:
		w.filters(p.MessageID, p.Topics, nil)
		return p.FixedHeader
	case *packets.PingreqPacket:
		w.begin(0)
		return p.FixedHeader
	case *packets.PingrespPacket:
		w.begin(0)
		return p.FixedHeader
	case *packets.DisconnectPacket:
		w.begin(0)
		return p.FixedHeader
	default:
		w.err = fmt.Errorf("%w: no packet of MQTT 3.1.1: %T", ErrMalformed, p)
	}
	return packets.FixedHeader{}
}

// begin makes room for a body of at most n bytes.
func (w *writer) begin(n int) {
	if n > maxRemaining {
		w.err = fmt.Errorf("%w: its fields fill %d bytes; at most %d fit", ErrTooLarge, n, maxRemaining)
		n = 0
	}
	w.b = make([]byte, headerRoom, headerRoom+n)
}

func (w *writer) uint16(n uint16) { w.b = binary.BigEndian.AppendUint16(w.b, n) }

// answer writes the body that is a packet identifier alone.
func (w *writer) answer(head packets.FixedHeader, id uint16) packets.FixedHeader {
	w.begin(2)
	w.uint16(id)
	return head
}

// text writes a text or bytes with their length before them.
func (w *writer) text(what, s string) {
	if len(s) > maxText {
		w.err = fmt.Errorf("%w: %s has %d bytes; at most %d fit", ErrTooLarge, what, len(s), maxText)
	}
	if w.err == nil {
		w.uint16(uint16(len(s)))
		w.b = append(w.b, s...)
	}
}

func (w *writer) publish(p *packets.PublishPacket) {
	w.begin(4 + len(p.TopicName) + len(p.Payload))
	w.text("the topic", p.TopicName)
	if w.err != nil {
		return
	}
	if p.Qos > 0 {
		w.uint16(p.MessageID)
	}
	w.b = append(w.b, p.Payload...)
}

// filters writes a SUBSCRIBE, or without QoS an UNSUBSCRIBE.
func (w *writer) filters(id uint16, topics []string, qos []byte) {
	n := 2
	for _, t := range topics {
		n += len(t) + 3
	}
	w.begin(n)
	w.uint16(id)
	for i, t := range topics {
		w.text("a topic filter", t)
		if qos != nil {
			w.b = append(w.b, qos[i])
		}
	}
}

func (w *writer) connect(p *packets.ConnectPacket) {
	w.begin(32 + len(p.ClientIdentifier) + len(p.WillTopic) + len(p.WillMessage) + len(p.Username) + len(p.Password))
	w.text("the protocol's name", p.ProtocolName)
	w.b = append(w.b, p.ProtocolVersion, bit(p.CleanSession)<<1|bit(p.WillFlag)<<2|p.WillQos<<3|
		bit(p.WillRetain)<<5|bit(p.PasswordFlag)<<6|bit(p.UsernameFlag)<<7)
	w.uint16(p.Keepalive)
	w.text("the client identifier", p.ClientIdentifier)
	if p.WillFlag {
		w.text("the will's topic", p.WillTopic)
		w.text("the will's message", string(p.WillMessage))
	}
	if p.UsernameFlag {
		w.text("the user name", p.Username)
	}
	if p.PasswordFlag {
		w.text("the password", string(p.Password))
	}
}

// appendLength appends a remaining length, the low seven bits first.
func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}
