package mqttwire_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
)

func TestMalformed(t *testing.T) {
	for _, c := range []struct{ name, bytes string }{
		{"type 0", "00 00"},
		{"type 15", "f0 00"},
		{"length of five bytes", "30 80 80 80 80 01"},
		{"PUBLISH with QoS 3", "36 05 0001 74 0001"},
		{"PUBLISH with QoS 0 and DUP", "38 03 0001 74"},
		{"PUBLISH without a topic's length", "30 01 00"},
		{"PUBLISH whose topic reaches past the end", "30 03 0002 74"},
		{"PUBLISH with an empty topic", "30 02 0000"},
		{"PUBLISH with a topic with #", "30 05 0003 612f23"},
		{"PUBLISH with a topic with +", "30 05 0003 2b2f62"},
		{"PUBLISH with a topic with NUL", "30 05 0003 610062"},
		{"PUBLISH with a topic that is not UTF-8", "30 04 0002 c328"},
		{"PUBLISH with a topic with a surrogate", "30 05 0003 eda080"},
		{"PUBLISH QoS 1 without a packet id", "32 03 0001 74"},
		{"PUBLISH QoS 1 with packet id 0", "32 05 0001 74 0000"},
		{"PUBACK with packet id 0", "40 02 0000"},
		{"PUBACK that is too short", "40 01 01"},
		{"PUBACK that is too long", "40 03 0001 00"},
		{"PUBREL with flags 0", "60 02 0007"},
		{"SUBSCRIBE with flags 0", "80 06 0001 0001 62 00"},
		{"SUBSCRIBE without a filter", "82 02 0001"},
		{"SUBSCRIBE with an empty filter", "82 05 0001 0000 00"},
		{"SUBSCRIBE without a QoS", "82 05 0001 0001 62"},
		{"SUBSCRIBE with QoS 3", "82 06 0001 0001 62 03"},
		{"SUBSCRIBE with a reserved bit in its QoS", "82 06 0001 0001 62 81"},
		{"SUBACK without a code", "90 02 0001"},
		{"SUBACK with code 3", "90 03 0001 03"},
		{"UNSUBSCRIBE without a filter", "a2 02 0001"},
		{"UNSUBSCRIBE with an empty filter before another", "a2 07 0001 0000 0001 62"},
		{"CONNACK with reserved bits", "20 02 02 00"},
		{"CONNACK that is too short", "20 01 00"},
		{"PINGREQ with a body", "c0 01 00"},
		{"PINGRESP with flags", "d1 00"},
		{"CONNECT with its reserved flag", "10 0d 0004 4d515454 04 01 0000 0001 64"},
		{"CONNECT with a will of QoS 3", "10 12 0004 4d515454 04 1c 0000 0001 64 0001 77 0000"},
		{"CONNECT with a will's QoS and no will", "10 0d 0004 4d515454 04 08 0000 0001 64"},
		{"CONNECT with will retain and no will", "10 0d 0004 4d515454 04 20 0000 0001 64"},
		{"CONNECT with a password and no user", "10 0f 0004 4d515454 04 40 0000 0001 64 0000"},
		{"CONNECT with more than it says", "10 0e 0004 4d515454 04 00 0000 0001 64 00"},
		{"CONNECT whose password reaches past the end", "10 11 0004 4d515454 04 c0 0000 0000 0000 ffff 61"},
		{"CONNECT without a level", "10 06 0004 4d515454"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := read(fromHex(t, c.bytes), limit)
			if !errors.Is(err, mqttwire.ErrMalformed) {
				t.Fatalf("got %v, %v; want ErrMalformed", p, err)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	long := strings.Repeat("x", 65536)
	publish := func(topic string, qos byte) packets.ControlPacket {
		return &packets.PublishPacket{
			FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: qos}, TopicName: topic,
		}
	}
	connect := func(set func(*packets.ConnectPacket)) packets.ControlPacket {
		c := &packets.ConnectPacket{
			FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQTT", ProtocolVersion: 4,
			ClientIdentifier: "d", UsernameFlag: true, PasswordFlag: true,
		}
		set(c)
		return c
	}
	for _, c := range []struct {
		name   string
		packet packets.ControlPacket
		want   error
	}{
		{"a long topic", publish(long, 0), mqttwire.ErrTooLarge},
		{"a topic with a wildcard", publish("a/#", 0), mqttwire.ErrMalformed},
		{"QoS 1 without an id", publish("t", 1), mqttwire.ErrMalformed},
		{"QoS 3", publish("t", 3), mqttwire.ErrMalformed},
		{"a long client id", connect(func(c *packets.ConnectPacket) { c.ClientIdentifier = long }), mqttwire.ErrTooLarge},
		{"a long user name", connect(func(c *packets.ConnectPacket) { c.Username = long }), mqttwire.ErrTooLarge},
		{"a long password", connect(func(c *packets.ConnectPacket) { c.Password = []byte(long) }), mqttwire.ErrTooLarge},
		{"a user name that is not UTF-8", connect(func(c *packets.ConnectPacket) { c.Username = "\xff" }), mqttwire.ErrMalformed},
		{"filters without QoS", &packets.SubscribePacket{
			FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 1, Topics: []string{"a"},
		}, mqttwire.ErrMalformed},
		{"more filters than a packet holds", &packets.SubscribePacket{ // one text, so they cost no memory
			FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 1,
			Topics: slices.Repeat([]string{long[1:]}, 4096), Qoss: make([]byte, 4096),
		}, mqttwire.ErrTooLarge},
		{"a long filter", &packets.UnsubscribePacket{
			FixedHeader: packets.FixedHeader{MessageType: packets.Unsubscribe, Qos: 1}, MessageID: 1, Topics: []string{long},
		}, mqttwire.ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			if b, err := mqttwire.Encode(c.packet); !errors.Is(err, c.want) {
				t.Fatalf("got %d bytes, %v; want %v", len(b), err, c.want)
			}
		})
	}
}
