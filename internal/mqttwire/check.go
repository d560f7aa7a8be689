package mqttwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// checkFlags checks a packet's type and the four bits beside it.
func checkFlags(kind, flags byte) error {
	var want byte
	switch kind {
	case packets.Publish:
		switch {
		case flags>>1&3 == 3: // [MQTT-3.3.1-4]
			return fmt.Errorf("%w: PUBLISH with QoS 3", ErrMalformed)
		case flags>>1&3 == 0 && flags&8 != 0: // [MQTT-3.3.1-2]
			return fmt.Errorf("%w: PUBLISH with QoS 0 and DUP", ErrMalformed)
		}
		return nil
	case packets.Pubrel, packets.Subscribe, packets.Unsubscribe:
		want = 2 // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
	case 0, 15: // MQTT 3.1.1, table 2.1: reserved
		return fmt.Errorf("%w: type %d is reserved", ErrMalformed, kind)
	}
	if flags != want { // [MQTT-2.2.2-2]
		return fmt.Errorf("%w: %s with flags %#x; they must be %#x",
			ErrMalformed, packets.PacketNames[kind], flags, want)
	}
	return nil
}

// checkBody checks a packet of our own as decode checks one of others'.
func checkBody(head packets.FixedHeader, body []byte) error {
	c := cursor{rest: body}
	if head.MessageType == packets.Publish {
		c.publish(head.Qos) // makes no packet
	} else {
		c.packet(head)
	}
	return c.err(head)
}

// A cursor takes fields off a body. After the first that is wrong it yields
// zero values and an empty rest, so loops over the rest end.
type cursor struct {
	rest  []byte
	wrong string // what is wrong, empty for nothing yet
}

// fail notes what is wrong, if nothing was before. Inlined, it would cost a device program 4 KB.
//
//go:noinline
func (c *cursor) fail(what string) {
	if c.wrong == "" {
		c.wrong = what
	}
	c.rest = nil
}

// err returns what is wrong with a packet, or nil.
func (c *cursor) err(head packets.FixedHeader) error {
	if len(c.rest) > 0 {
		c.fail("more bytes than the packet has fields")
	}
	if c.wrong == "" {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrMalformed, packets.PacketNames[head.MessageType], c.wrong)
}

func (c *cursor) take(n int) []byte {
	if len(c.rest) < n {
		c.fail("a field reaches past the end")
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// field takes bytes with their length before them.
func (c *cursor) field() []byte { return c.take(int(c.uint16())) }

// text takes a field that must be text.
func (c *cursor) text() []byte {
	b := c.field()
	switch {
	case !utf8.Valid(b): // [MQTT-1.5.3-1]
		c.fail("a text is not UTF-8")
	case bytes.IndexByte(b, 0) >= 0: // [MQTT-1.5.3-2]
		c.fail("a text holds NUL")
	}
	return b
}

// topic takes a text that topics are published to or, if filter, subscribed by.
func (c *cursor) topic(filter bool) []byte {
	b := c.text()
	switch {
	case c.wrong != "":
	case len(b) == 0: // [MQTT-4.7.3-1]
		c.fail("an empty topic")
	case !filter && bytes.ContainsAny(b, "+#"): // [MQTT-3.3.2-2]
		c.fail("a topic with a wildcard")
	}
	return b
}

// packetID takes a packet identifier, which is never zero [MQTT-2.3.1-1].
func (c *cursor) packetID() uint16 {
	id := c.uint16()
	if id == 0 {
		c.fail("packet identifier 0 or none")
	}
	return id
}

func (c *cursor) publish(qos byte) (topic []byte, id uint16, payload []byte) {
	topic = c.topic(false)
	if qos > 0 {
		id = c.packetID()
	}
	payload, c.rest = c.rest, nil // anything
	return topic, id, payload
}

func (c *cursor) subscribe(head packets.FixedHeader) *packets.SubscribePacket {
	p := &packets.SubscribePacket{FixedHeader: head, MessageID: c.packetID()}
	for first := true; first || len(c.rest) > 0; first = false { // [MQTT-3.8.3-3]
		p.Topics = append(p.Topics, string(c.topic(true)))
		qos := c.byte()
		if qos > 2 { // [MQTT-3.8.3-4]
			c.fail("a QoS over 2")
		}
		p.Qoss = append(p.Qoss, qos)
	}
	return p
}

func (c *cursor) suback(head packets.FixedHeader) *packets.SubackPacket {
	p := &packets.SubackPacket{FixedHeader: head, MessageID: c.packetID()}
	p.ReturnCodes = c.rest
	for first := true; first || len(c.rest) > 0; first = false {
		if code := c.byte(); code > 2 && code != 0x80 { // [MQTT-3.9.3-2]
			c.fail("an unknown return code")
		}
	}
	return p
}

func (c *cursor) unsubscribe(head packets.FixedHeader) *packets.UnsubscribePacket {
	p := &packets.UnsubscribePacket{FixedHeader: head, MessageID: c.packetID()}
	for first := true; first || len(c.rest) > 0; first = false { // [MQTT-3.10.3-2]
		p.Topics = append(p.Topics, string(c.topic(true)))
	}
	return p
}

func (c *cursor) connack(head packets.FixedHeader) *packets.ConnackPacket {
	flags := c.byte()
	if flags > 1 { // MQTT 3.1.1, 3.2.2.1: bits 7-1 are reserved
		c.fail("reserved bits are set")
	}
	// Any return code passes: what an unknown one means is the client's to say.
	return &packets.ConnackPacket{FixedHeader: head, SessionPresent: flags == 1, ReturnCode: c.byte()}
}

// The bits of CONNECT's flags (MQTT 3.1.1, figure 3.4).
const (
	connectReserved = 1 << 0
	connectClean    = 1 << 1
	connectWill     = 1 << 2
	connectWillQoS  = 3 << 3
	connectRetain   = 1 << 5
	connectPassword = 1 << 6
	connectUser     = 1 << 7
)

func (c *cursor) connect(head packets.FixedHeader) *packets.ConnectPacket {
	p := &packets.ConnectPacket{FixedHeader: head, ProtocolName: string(c.text()), ProtocolVersion: c.byte()}
	if c.wrong == "" && !knownLevel(p.ProtocolName, p.ProtocolVersion) {
		c.rest = nil // another protocol's: CONNACK 1 is the answer [MQTT-3.1.2-2]
		return p
	}
	flags := c.byte()
	if what := wrongConnectFlags(flags); what != "" {
		c.fail(what)
	}
	p.CleanSession = flags&connectClean != 0
	p.Keepalive = c.uint16()
	p.ClientIdentifier = string(c.text())
	if p.WillFlag = flags&connectWill != 0; p.WillFlag {
		p.WillQos, p.WillRetain = flags&connectWillQoS>>3, flags&connectRetain != 0
		p.WillTopic, p.WillMessage = string(c.topic(false)), c.field()
	}
	if p.UsernameFlag = flags&connectUser != 0; p.UsernameFlag {
		p.Username = string(c.text())
	}
	if p.PasswordFlag = flags&connectPassword != 0; p.PasswordFlag {
		p.Password = c.field()
	}
	return p
}

func wrongConnectFlags(flags byte) string {
	switch {
	case flags&connectReserved != 0: // [MQTT-3.1.2-3]
		return "the reserved flag is set"
	case flags&connectWillQoS == connectWillQoS: // [MQTT-3.1.2-14]
		return "a will with QoS 3"
	case flags&connectWill == 0 && flags&(connectWillQoS|connectRetain) != 0: // [MQTT-3.1.2-13] [MQTT-3.1.2-15]
		return "flags of a will without a will"
	case flags&connectUser == 0 && flags&connectPassword != 0: // [MQTT-3.1.2-22]
		return "a password without a user name"
	}
	return ""
}

// knownLevel reports whether the rest of a CONNECT has the form known here.
func knownLevel(name string, level byte) bool {
	return name == "MQTT" && level == 4 || name == "MQIsdp" && level == 3
}
