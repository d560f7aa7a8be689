package mqttwire

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Encode returns the whole packet as it goes over the wire, in memory of its
// own. It refuses with ErrTooLarge what has no place on the wire, where paho
// cuts in silence, and with ErrMalformed what Read would refuse. It may set
// the packet's RemainingLength.
func Encode(p packets.ControlPacket) ([]byte, error) {
	if err := checkSizes(p); err != nil {
		return nil, err
	}
	var whole []byte
	if publish, ok := p.(*packets.PublishPacket); ok {
		whole = encodePublish(publish)
	} else {
		var buf bytes.Buffer
		if err := p.Write(&buf); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
		whole = buf.Bytes()
	}
	return whole, checkEncoded(whole)
}

// checkEncoded holds our own packets to what we ask of others'.
func checkEncoded(whole []byte) error {
	r := bytes.NewReader(whole)
	head, err := readHeader(r, maxRemaining)
	if err != nil {
		return err
	}
	return checkBody(head, whole[len(whole)-r.Len():])
}

// checkSizes refuses what paho would cut, or index out of range.
func checkSizes(p packets.ControlPacket) error {
	total := 2
	field := func(what string, n int) error {
		if n > maxText {
			return fmt.Errorf("%w: %s has %d bytes; at most %d fit", ErrTooLarge, what, n, maxText)
		}
		if total += n + 3; total > maxRemaining {
			return fmt.Errorf("%w: its fields fill more than %d bytes", ErrTooLarge, maxRemaining)
		}
		return nil
	}
	filters := func(topics []string) error {
		for _, t := range topics {
			if err := field("a topic filter", len(t)); err != nil {
				return err
			}
		}
		return nil
	}
	switch p := p.(type) {
	case *packets.ConnectPacket:
		return checkConnectSizes(p, field)
	case *packets.PublishPacket:
		if len(p.Payload) > maxRemaining-maxText-4 {
			return fmt.Errorf("%w: a payload of %d bytes", ErrTooLarge, len(p.Payload))
		}
		return field("the topic", len(p.TopicName))
	case *packets.SubscribePacket:
		if len(p.Topics) != len(p.Qoss) {
			return fmt.Errorf("%w: SUBSCRIBE with %d filters and %d QoS", ErrMalformed, len(p.Topics), len(p.Qoss))
		}
		return filters(p.Topics)
	case *packets.UnsubscribePacket:
		return filters(p.Topics)
	case *packets.SubackPacket:
		if len(p.ReturnCodes) > maxText {
			return fmt.Errorf("%w: %d return codes", ErrTooLarge, len(p.ReturnCodes))
		}
	}
	return nil
}

func checkConnectSizes(p *packets.ConnectPacket, field func(string, int) error) error {
	for _, f := range []struct {
		what string
		n    int
	}{
		{"the protocol's name", len(p.ProtocolName)},
		{"the client identifier", len(p.ClientIdentifier)},
		{"the will's topic", len(p.WillTopic)},
		{"the will's message", len(p.WillMessage)},
		{"the user name", len(p.Username)},
		{"the password", len(p.Password)},
	} {
		if err := field(f.what, f.n); err != nil {
			return err
		}
	}
	return nil
}

// encodePublish writes into one allocation, where paho's way has three copies
// of the payload.
func encodePublish(p *packets.PublishPacket) []byte {
	remaining := 2 + len(p.TopicName) + len(p.Payload)
	if p.Qos > 0 {
		remaining += 2
	}
	b := make([]byte, 0, 5+remaining)
	b = append(b, packets.Publish<<4|bit(p.Dup)<<3|p.Qos<<1&0xf|bit(p.Retain))
	b = appendLength(b, remaining)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.TopicName)))
	b = append(b, p.TopicName...)
	if p.Qos > 0 {
		b = binary.BigEndian.AppendUint16(b, p.MessageID)
	}
	return append(b, p.Payload...)
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
