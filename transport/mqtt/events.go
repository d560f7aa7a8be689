package mqtt

import (
	"context"
	"fmt"
	"sort"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/internal/fate"
	"github.com/devicetwin/devicetwin-go/internal/hubproto"
	"github.com/devicetwin/devicetwin-go/transport"
)

// eventsTopic is the topic of an identity's telemetry, up to the properties.
func eventsTopic(id auth.Identity) string {
	topic := hubproto.PrefixDevices + id.DeviceID + "/"
	if id.ModuleID != "" {
		topic += hubproto.InfixModules + id.ModuleID + "/"
	}
	return topic + hubproto.SuffixEvents
}

// sendEvent publishes a message with QoS 1. Its packet id maps to the frame's ID
// until PUBACK.
//
// A message that is sent again is marked with DUP. [MQTT-4.4.0-1] asks for its
// old packet id too, where a session goes on; that id may be in use by then, for
// ids are counted in each connection, and hubs know a message by its own id.
func (c *conn) sendEvent(ctx context.Context, f transport.Frame) error {
	if f.Message == nil {
		return fmt.Errorf("%w: telemetry without a message", transport.ErrUnsupported)
	}
	if err := fate.CheckID(f); err != nil {
		return err
	}
	if n := f.Message.Size(); n > transport.MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes; the limit is %d", transport.ErrTooLarge, n, transport.MaxMessage)
	}
	topic := appendBag([]byte(c.events), f.Message)
	if len(topic) > maxTopic {
		return fmt.Errorf("%w: the topic has %d bytes; the limit is %d", transport.ErrTooLarge, len(topic), maxTopic)
	}
	// Before it is sent, for the answer may be received before Send returns.
	id, err := c.reserve(request{id: f.ID, kind: packets.Puback})
	if err != nil {
		return err
	}
	b, err := encode(&packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: 1, Dup: f.Again},
		TopicName:   string(topic), MessageID: id, Payload: f.Message.Body,
	})
	if err == nil {
		err = c.write(ctx, b, c.takeTidy)
	}
	if err != nil {
		c.answered(id, packets.Puback)
	}
	return err
}

// maxTopic is the longest text that MQTT has.
const maxTopic = 1<<16 - 1

// appendBag appends the properties of a message as the hub reads them in a topic.
func appendBag(b []byte, m *transport.Message) []byte {
	start := len(b)
	pair := func(name, value string) {
		if len(b) > start {
			b = append(b, '&')
		}
		b = appendEscaped(append(appendEscaped(b, name), '='), value)
	}
	for _, p := range [...][2]string{
		{hubproto.BagID, m.ID}, {hubproto.BagCorrelationID, m.CorrelationID},
		{hubproto.BagContentType, m.ContentType}, {hubproto.BagContentEncoding, m.ContentEncoding},
		{hubproto.BagComponent, m.Component}, {hubproto.BagOutput, m.Output},
		{transport.PropertyCreated, m.CreatedText()},
	} {
		if p[1] != "" {
			pair(p[0], p[1])
		}
	}
	if len(m.Properties) == 0 {
		return b
	}
	names := make([]string, 0, len(m.Properties))
	for name := range m.Properties {
		if name != transport.PropertyCreated || m.Created.IsZero() {
			names = append(names, name)
		}
	}
	sort.Strings(names) // so that a message sent again is the same
	for _, name := range names {
		pair(name, m.Properties[name])
	}
	return b
}

// appendEscaped percent-encodes what does not stand for itself in a topic.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}
