package mqttwire_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
)

// limit is what the tests read at most, unless they say so.
const limit = 512 << 10

// golden holds every kind of packet with the bytes that MQTT 3.1.1 gives it,
// spaces for reading.
var golden = []struct {
	name   string
	packet packets.ControlPacket
	bytes  string
}{
	{"CONNECT of a device", &packets.ConnectPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQTT", ProtocolVersion: 4,
		UsernameFlag: true, PasswordFlag: true, Keepalive: 240, ClientIdentifier: "dev1", Username: "hub/dev1", Password: []byte("sig"),
	}, "10 1f 0004 4d515454 04 c0 00f0 0004 64657631 0008 6875622f64657631 0003 736967"},
	{"CONNECT with a will and an empty client id", &packets.ConnectPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQTT", ProtocolVersion: 4,
		CleanSession: true, WillFlag: true, WillQos: 1, WillTopic: "w", WillMessage: []byte{0, 0xff},
	}, "10 13 0004 4d515454 04 0e 0000 0000 0001 77 0002 00ff"},
	{"CONNECT of MQTT 3.1", &packets.ConnectPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQIsdp", ProtocolVersion: 3,
		ClientIdentifier: "d",
	}, "10 0f 0006 4d5149736470 03 00 0000 0001 64"},
	{"CONNACK", &packets.ConnackPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connack}, SessionPresent: true,
	}, "20 02 01 00"},
	{"CONNACK that refuses", &packets.ConnackPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connack}, ReturnCode: 5,
	}, "20 02 00 05"},
	{"PUBLISH QoS 0", &packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish}, TopicName: "a/b", Payload: []byte("{}"),
	}, "30 07 0003 612f62 7b7d"},
	{"PUBLISH QoS 1", &packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: 1, Dup: true, Retain: true},
		TopicName:   "é", MessageID: 258, Payload: []byte{0},
	}, "3b 07 0002 c3a9 0102 00"},
	{"PUBLISH QoS 2 without payload", &packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: 2}, TopicName: "t", MessageID: 1, Payload: []byte{},
	}, "34 05 0001 74 0001"},
	{"PUBACK", &packets.PubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Puback}, MessageID: 7}, "40 02 0007"},
	{"PUBREC", &packets.PubrecPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubrec}, MessageID: 7}, "50 02 0007"},
	{"PUBREL", &packets.PubrelPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubrel, Qos: 1}, MessageID: 7}, "62 02 0007"},
	{"PUBCOMP", &packets.PubcompPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pubcomp}, MessageID: 7}, "70 02 0007"},
	{"SUBSCRIBE", &packets.SubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Subscribe, Qos: 1}, MessageID: 1,
		Topics: []string{"a/#", "b"}, Qoss: []byte{1, 0},
	}, "82 0c 0001 0003 612f23 01 0001 62 00"},
	{"SUBACK", &packets.SubackPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Suback}, MessageID: 1, ReturnCodes: []byte{1, 0x80},
	}, "90 04 0001 01 80"},
	{"UNSUBSCRIBE", &packets.UnsubscribePacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Unsubscribe, Qos: 1}, MessageID: 2, Topics: []string{"a/#", "b"},
	}, "a2 0a 0002 0003 612f23 0001 62"},
	{"UNSUBACK", &packets.UnsubackPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Unsuback}, MessageID: 2}, "b0 02 0002"},
	{"PINGREQ", &packets.PingreqPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pingreq}}, "c0 00"},
	{"PINGRESP", &packets.PingrespPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Pingresp}}, "d0 00"},
	{"DISCONNECT", &packets.DisconnectPacket{FixedHeader: packets.FixedHeader{MessageType: packets.Disconnect}}, "e0 00"},
}

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatalf("the test's hex: %v", err)
	}
	return b
}

func read(b []byte, max int) (packets.ControlPacket, error) {
	return mqttwire.Read(bufio.NewReader(bytes.NewReader(b)), max)
}

func TestEncode(t *testing.T) {
	for _, c := range golden {
		t.Run(c.name, func(t *testing.T) {
			want := fromHex(t, c.bytes)
			got, err := mqttwire.Encode(c.packet)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got % x, %v; want % x", got, err, want)
			}
		})
	}
}

func TestRead(t *testing.T) {
	var stream bytes.Buffer
	for _, c := range golden {
		stream.Write(fromHex(t, c.bytes))
	}
	// One byte at a time is how a bad line delivers.
	r := bufio.NewReader(iotest.OneByteReader(&stream))
	for _, c := range golden {
		got, err := mqttwire.Read(r, limit)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want := clone(c.packet, len(fromHex(t, c.bytes))-2)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %#v\nwant %#v", c.name, got, want)
		}
	}
	if _, err := mqttwire.Read(r, limit); err != io.EOF {
		t.Fatalf("after the last packet: got %v; want bare io.EOF", err)
	}
}

// clone copies a packet and sets its remaining length, as reading does.
func clone(p packets.ControlPacket, remaining int) packets.ControlPacket {
	v := reflect.New(reflect.TypeOf(p).Elem())
	v.Elem().Set(reflect.ValueOf(p).Elem())
	v.Elem().FieldByName("FixedHeader").FieldByName("RemainingLength").SetInt(int64(remaining))
	return v.Interface().(packets.ControlPacket)
}

func TestEveryTruncatedPrefix(t *testing.T) {
	for _, c := range golden {
		whole := fromHex(t, c.bytes)
		for n := range whole {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := read(whole[:n], limit); err != want {
				t.Errorf("%s: first %d of %d bytes: got %v; want %v", c.name, n, len(whole), err, want)
			}
		}
	}
}

// TestEveryLyingByte gives each byte of each packet, so each length and flag
// too, every value: what is not refused must be exactly what the bytes say.
func TestEveryLyingByte(t *testing.T) {
	for _, c := range golden {
		whole := fromHex(t, c.bytes)
		for at, truth := range whole {
			for lie := range 256 {
				whole[at] = byte(lie)
				checkHonest(t, whole)
			}
			whole[at] = truth
		}
	}
}

// checkHonest reads a packet and wants an error of the known ones, or the very
// bytes back.
func checkHonest(t *testing.T, b []byte) {
	t.Helper()
	r := bytes.NewReader(b)
	p, err := mqttwire.Read(r, limit)
	if err != nil {
		if p != nil {
			t.Fatalf("% x: got a packet and an error: %v, %v", b, p, err)
		}
		for _, known := range []error{mqttwire.ErrMalformed, mqttwire.ErrTooLarge, io.ErrUnexpectedEOF, io.EOF} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Fatalf("% x: got an unknown kind of error: %v", b, err)
	}
	used := b[:len(b)-r.Len()]
	if c, ok := p.(*packets.ConnectPacket); ok && c.Validate() == packets.ErrRefusedBadProtocolVersion || ok && c.Validate() == packets.ErrProtocolViolation {
		return // read no further than its level
	}
	again, err := mqttwire.Encode(p)
	if err != nil {
		t.Fatalf("% x: read as %v, which does not encode: %v", used, p, err)
	}
	if body(again) != body(used) || again[0] != used[0] {
		t.Fatalf("% x: read as %v, which says % x", used, p, again)
	}
}

// body is a packet without its fixed header, whose length may be padded.
func body(packet []byte) string {
	i := 1
	for packet[i]&0x80 != 0 {
		i++
	}
	return string(packet[i+1:])
}

func TestConnectOfAnotherLevel(t *testing.T) {
	// MQTT 5: behind the keep-alive stand properties, not a client identifier.
	p, err := read(fromHex(t, "10 0f 0004 4d515454 05 02 003c 03 210014 0001 64"), limit)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := p.(*packets.ConnectPacket)
	if !ok || c.ProtocolName != "MQTT" || c.ProtocolVersion != 5 || c.ClientIdentifier != "" {
		t.Fatalf("got %#v; want a CONNECT of level 5, read no further", p)
	}
	if got := c.Validate(); got != packets.ErrRefusedBadProtocolVersion {
		t.Fatalf("Validate: got %d; want the code for CONNACK, 1", got)
	}
}

func TestTooLarge(t *testing.T) {
	payload := make([]byte, limit-3)
	whole, err := mqttwire.Encode(&packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish}, TopicName: "t", Payload: payload,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := read(whole, limit)
	if err != nil || len(p.(*packets.PublishPacket).Payload) != len(payload) {
		t.Fatalf("a packet of the limit: got %v; want it whole", err)
	}
	if _, err := read(whole, limit-1); !errors.Is(err, mqttwire.ErrTooLarge) {
		t.Fatalf("a packet over the limit by one: got %v; want ErrTooLarge", err)
	}
}

// TestLyingLengthCostsNoMemory announces much and sends nothing.
func TestLyingLengthCostsNoMemory(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		max         int
		want        error
	}{
		{"256 MB, over the limit", "30 ff ff ff 7f", limit, mqttwire.ErrTooLarge},
		{"256 MB, within it", "30 ff ff ff 7f 0001 74", 1 << 28, io.ErrUnexpectedEOF},
		{"512 KB", "30 80 80 20 0001 74", limit, io.ErrUnexpectedEOF},
	} {
		b := fromHex(t, c.bytes)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		const rounds = 50
		for range rounds {
			if _, err := mqttwire.Read(bytes.NewReader(b), c.max); !errors.Is(err, c.want) {
				t.Fatalf("%s: got %v; want %v", c.name, err, c.want)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / rounds; got > 16<<10 {
			t.Errorf("%s: allocated %d bytes; want at most 16 KB", c.name, got)
		}
	}
}

func TestReadPassesErrorsThrough(t *testing.T) {
	broken := errors.New("the line broke")
	for _, whole := range []string{"", "30", "30 07 00"} {
		r := io.MultiReader(bytes.NewReader(fromHex(t, whole)), iotest.ErrReader(broken))
		if _, err := mqttwire.Read(bufio.NewReader(r), limit); !errors.Is(err, broken) {
			t.Errorf("after %q: got %v; want the stream's own error", whole, err)
		}
	}
}

func TestPacketsShareNoMemory(t *testing.T) {
	whole := fromHex(t, "30 07 0003 612f62 7b7d 30 07 0003 612f62 7b7d")
	r := bufio.NewReader(bytes.NewReader(whole))
	first, err := mqttwire.Read(r, limit)
	if err != nil {
		t.Fatal(err)
	}
	payload := first.(*packets.PublishPacket).Payload
	_ = append(payload, "trampled"...)
	copy(payload, "[]")
	second, err := mqttwire.Read(r, limit)
	if err != nil || string(second.(*packets.PublishPacket).Payload) != "{}" {
		t.Fatalf("the second packet: got %v, %v; want it untouched by what was done to the first", second, err)
	}
}

// TestLengthBorders crosses each border between lengths of one to four bytes.
func TestLengthBorders(t *testing.T) {
	for _, n := range []int{127, 128, 16383, 16384, 2097151, 2097152} {
		p := &packets.PublishPacket{
			FixedHeader: packets.FixedHeader{MessageType: packets.Publish}, TopicName: "t", Payload: bytes.Repeat([]byte{'x'}, n-3),
		}
		whole, err := mqttwire.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		var paho bytes.Buffer
		if err := p.Write(&paho); err != nil || !bytes.Equal(whole, paho.Bytes()) {
			t.Fatalf("%d bytes: encoded unlike paho (%v)", n, err)
		}
		got, err := read(whole, 1<<28)
		if err != nil || !bytes.Equal(got.(*packets.PublishPacket).Payload, p.Payload) {
			t.Fatalf("%d bytes: did not come back: %v", n, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range golden {
		f.Add(fromHex(f, c.bytes))
	}
	f.Add(fromHex(f, "30 ff ff ff 7f"))
	f.Add(fromHex(f, "10 0f 0004 4d515454 05 02 003c 03 210014 0001 64"))
	f.Fuzz(func(t *testing.T, b []byte) { checkHonest(t, b) })
}
