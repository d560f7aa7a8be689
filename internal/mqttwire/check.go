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

// checkBody checks every length in what follows the fixed header, and that
// nothing is left over.
func checkBody(head packets.FixedHeader, body []byte) error {
	c := cursor{rest: body}
	switch head.MessageType {
	case packets.Connect:
		c.connect()
	case packets.Connack:
		c.connack()
	case packets.Publish:
		c.publish(head.Qos)
	case packets.Subscribe:
		c.subscribe()
	case packets.Suback:
		c.suback()
	case packets.Unsubscribe:
		c.unsubscribe()
	case packets.Pingreq, packets.Pingresp, packets.Disconnect:
	default: // PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK
		c.packetID()
	}
	if c.wrong == "" && len(c.rest) > 0 {
		c.fail("more bytes than the packet has fields")
	}
	if c.wrong != "" {
		return fmt.Errorf("%w: %s: %s", ErrMalformed, packets.PacketNames[head.MessageType], c.wrong)
	}
	return nil
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
func (c *cursor) topic(filter bool) {
	b := c.text()
	switch {
	case c.wrong != "":
	case len(b) == 0: // [MQTT-4.7.3-1]
		c.fail("an empty topic")
	case !filter && bytes.ContainsAny(b, "+#"): // [MQTT-3.3.2-2]
		c.fail("a topic with a wildcard")
	}
}

// packetID takes a packet identifier, which is never zero [MQTT-2.3.1-1].
func (c *cursor) packetID() {
	if c.uint16() == 0 {
		c.fail("packet identifier 0 or none")
	}
}

func (c *cursor) publish(qos byte) {
	c.topic(false)
	if qos > 0 {
		c.packetID()
	}
	if c.wrong == "" {
		c.rest = nil // the payload: anything
	}
}

func (c *cursor) subscribe() {
	c.packetID()
	for first := true; first || len(c.rest) > 0; first = false { // [MQTT-3.8.3-3]
		c.topic(true)
		if c.byte() > 2 { // [MQTT-3.8.3-4]
			c.fail("a QoS over 2")
		}
	}
}

func (c *cursor) suback() {
	c.packetID()
	for first := true; first || len(c.rest) > 0; first = false {
		if code := c.byte(); code > 2 && code != 0x80 { // [MQTT-3.9.3-2]
			c.fail("an unknown return code")
		}
	}
}

func (c *cursor) unsubscribe() {
	c.packetID()
	for first := true; first || len(c.rest) > 0; first = false { // [MQTT-3.10.3-2]
		c.topic(true)
	}
}

func (c *cursor) connack() {
	if c.byte() > 1 { // MQTT 3.1.1, 3.2.2.1: bits 7-1 are reserved
		c.fail("reserved bits are set")
	}
	// Any return code passes: what an unknown one means is the client's to say.
	c.byte()
}

// The bits of CONNECT's flags (MQTT 3.1.1, figure 3.4).
const (
	connectReserved = 1 << 0
	connectWill     = 1 << 2
	connectWillQoS  = 3 << 3
	connectRetain   = 1 << 5
	connectPassword = 1 << 6
	connectUser     = 1 << 7
)

func (c *cursor) connect() {
	name := string(c.text())
	level := c.byte()
	if c.wrong == "" && !knownLevel(name, level) {
		c.rest = nil // another protocol's: CONNACK 1 is the answer [MQTT-3.1.2-2]
		return
	}
	flags := c.byte()
	if what := wrongConnectFlags(flags); c.wrong == "" && what != "" {
		c.fail(what)
	}
	c.uint16() // keep-alive
	c.text()   // client identifier
	if flags&connectWill != 0 {
		c.topic(false)
		c.field()
	}
	if flags&connectUser != 0 {
		c.text()
	}
	if flags&connectPassword != 0 {
		c.field()
	}
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

// connectLevel reads how a checked CONNECT begins.
func connectLevel(body []byte) (name string, level byte) {
	c := cursor{rest: body}
	return string(c.field()), c.byte()
}

// knownLevel reports whether the rest of a CONNECT has the form known here.
func knownLevel(name string, level byte) bool {
	return name == "MQTT" && level == 4 || name == "MQIsdp" && level == 3
}
