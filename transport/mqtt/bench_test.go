package mqtt_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

var benchBody = []byte(`{"climate":{"__t":"c","temperature":21.5,"humidity":48},"fan":{"rpm":1200,"mode":"auto"}}`)

// BenchmarkEncodePatch is one reported patch up to its bytes.
func BenchmarkEncodePatch(b *testing.B) {
	b.ReportAllocs()
	f := transport.Frame{Kind: transport.PatchReported, ID: "1f", Body: benchBody}
	for b.Loop() {
		if _, err := mqtt.EncodeRequest(f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse is one published message up to its frame.
func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, topic string }{
		{"response", "$iothub/twin/res/204/?$rid=1f&$version=17"},
		{"desired", "$iothub/twin/PATCH/properties/desired/?$version=17"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := mqtt.ParsePublish(c.topic, benchBody); !ok {
					b.Fatal("skipped")
				}
			}
		})
	}
}

// BenchmarkSend is one patch through a connection whose line costs nothing.
func BenchmarkSend(b *testing.B) {
	c := listen(b, "")
	defer c.Close()
	f := transport.Frame{Kind: transport.PatchReported, ID: "1f", Body: benchBody}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Send(context.Background(), f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceive is one change, with a context that could end.
func BenchmarkReceive(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	message := []byte(publish("$iothub/twin/PATCH/properties/desired/?$version=17", string(benchBody)))
	d := mqtt.Dialer{Stream: func(context.Context, transport.Target) (net.Conn, error) {
		conn := newCanned("")
		conn.says = io.MultiReader(conn.says, &endless{message: message})
		return conn, nil
	}}
	c, err := d.Dial(ctx, login(time.Minute))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Receive(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// endless says one message again and again.
type endless struct {
	message []byte
	rest    bytes.Reader
}

func (e *endless) Read(b []byte) (int, error) {
	if e.rest.Len() == 0 {
		e.rest.Reset(e.message)
	}
	return e.rest.Read(b)
}
