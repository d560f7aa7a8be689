package hubtest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

// A Protocol is what is spoken on a stream to the hub. Its value is the port
// that a real hub has for it.
type Protocol int

// The protocols of a hub.
const (
	// MQTT is MQTT 3.1.1 over TLS.
	MQTT Protocol = 8883
	// AMQP is AMQP 1.0 over TLS.
	AMQP Protocol = 5671
	// HTTPS is the service's REST interface, and MQTT over WebSocket.
	HTTPS Protocol = 443
)

// String names the protocol.
func (p Protocol) String() string {
	switch p {
	case MQTT:
		return "MQTT"
	case AMQP:
		return "AMQP"
	case HTTPS:
		return "HTTPS"
	}
	return "Protocol(" + strconv.Itoa(int(p)) + ")"
}

// protocols are all that a hub has a port for.
func protocols() []Protocol { return []Protocol{MQTT, AMQP, HTTPS} }

// known fails for a protocol that no hub has.
func (p Protocol) known() error {
	if slices.Contains(protocols(), p) {
		return nil
	}
	return fmt.Errorf("hubtest: nothing listens on port %d; MQTT has %d, AMQP %d, HTTPS %d", int(p), MQTT, AMQP, HTTPS)
}

// atPort are the protocols behind an address such as "host:8883": the port's
// own; every one where the port says nothing.
func atPort(address string) []Protocol {
	_, text, err := net.SplitHostPort(address)
	if err == nil {
		if port, err := strconv.Atoi(text); err == nil && Protocol(port).known() == nil {
			return []Protocol{Protocol(port)}
		}
	}
	return protocols()
}

// protocol says which of its protocols the client speaks. Where there is a
// choice, its first byte tells: each has the client speak first.
func (c *conn) protocol() (Protocol, error) {
	if len(c.speaks) == 1 {
		return c.speaks[0], nil
	}
	if err := c.readBy(time.Now().Add(firstPacket)); err != nil {
		return 0, err
	}
	first, err := c.in.Peek(1)
	if err != nil {
		return 0, err
	}
	p := protocolOf(first[0])
	if !slices.Contains(c.speaks, p) {
		return 0, fmt.Errorf("%v is not spoken here", p)
	}
	return p, nil
}

// protocolOf goes by the first byte: MQTT's CONNECT, the header of AMQP with
// or without SASL, or the name of a method of HTTP.
func protocolOf(first byte) Protocol {
	switch first {
	case 0x10:
		return MQTT
	case 'A':
		return AMQP
	}
	return HTTPS
}

// speak serves the connection in its protocol until it ends, and says why.
func (c *conn) speak() error {
	p, err := c.protocol()
	if err != nil {
		return err
	}
	return c.speakIn(p)
}

// speakIn is speak in a protocol that is known.
func (c *conn) speakIn(p Protocol) error {
	switch p {
	case MQTT:
		return speakMQTT(c)
	case HTTPS:
		return speakHTTP(c)
	default:
		return speakAMQP(c)
	}
}
