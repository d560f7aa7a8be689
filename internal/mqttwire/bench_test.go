package mqttwire_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/internal/mqttwire"
)

// patchPacket is a reported patch of the usual size.
func patchPacket(size int) *packets.PublishPacket {
	return &packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish},
		TopicName:   "$iothub/twin/PATCH/properties/reported/?$rid=1f", Payload: bytes.Repeat([]byte{'x'}, size),
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, size := range []int{100, 30_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			p := patchPacket(size)
			for b.Loop() {
				if _, err := mqttwire.Encode(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 30_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			whole, err := mqttwire.Encode(patchPacket(size))
			if err != nil {
				b.Fatal(err)
			}
			var r bytes.Reader
			for b.Loop() {
				r.Reset(whole)
				if _, err := mqttwire.Read(&r, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
