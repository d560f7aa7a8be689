package bench_test

import (
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	amqplib "github.com/Azure/go-amqp"
	pahomqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

const (
	callers = 64
	window  = 16
)

// BenchmarkSend is a message of 100 bytes from one of 64 callers until the hub has
// it, hub included, beside the same by hand with bare paho (QoS 1, 16 under way) and
// with go-amqp's sender. The ratios of one run are what counts:
//
//	go test -run '^$' -bench Send -benchtime 20000x -count 5
func BenchmarkSend(b *testing.B) {
	for _, way := range []struct {
		name string
		send func(*testing.B, *hubtest.Hub, hubtest.Device) func(context.Context, []byte) error
	}{
		{"mqtt/paho", pahoSend},
		{"mqtt/device", func(b *testing.B, h *hubtest.Hub, d hubtest.Device) func(context.Context, []byte) error {
			return deviceSend(b, d, mqtt.Dialer{Stream: h.Stream})
		}},
		{"amqp/go-amqp", amqpSend},
		{"amqp/device", func(b *testing.B, h *hubtest.Hub, d hubtest.Device) func(context.Context, []byte) error {
			return deviceSend(b, d, amqp.Dialer{Stream: h.Stream})
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			hub, err := hubtest.Start(nil)
			if err != nil {
				b.Fatal(err)
			}
			defer hub.Close()
			dev, err := hub.AddDevice("dev1")
			if err != nil {
				b.Fatal(err)
			}
			send := way.send(b, hub, dev)
			body := make([]byte, 100)
			work := make(chan struct{}, callers)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range work {
						if err := send(b.Context(), body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}

func deviceSend(b *testing.B, d hubtest.Device, dialer transport.Dialer) func(context.Context, []byte) error {
	c := device.New(d.Identity, d.Credential, dialer, nil)
	b.Cleanup(func() { _ = c.Close() })
	if err := c.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	return func(ctx context.Context, body []byte) error {
		return c.Send(ctx, device.Message{Body: body, ContentType: "application/json"})
	}
}

func tokenOf(b *testing.B, d hubtest.Device) string {
	token, err := auth.TokenOf(b.Context(), d.Credential, d.Identity.Audience(), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	return token.Reveal()
}

func pahoSend(b *testing.B, h *hubtest.Hub, d hubtest.Device) func(context.Context, []byte) error {
	opts := pahomqtt.NewClientOptions().AddBroker("tcp://" + h.Host() + ":8883").SetClientID(d.Identity.DeviceID).SetProtocolVersion(4).
		SetCleanSession(false).SetUsername(h.Host() + "/" + d.Identity.DeviceID + "/?api-version=2021-04-12").SetPassword(tokenOf(b, d)).
		SetOrderMatters(false).SetCustomOpenConnectionFn(func(*url.URL, pahomqtt.ClientOptions) (net.Conn, error) {
		return h.Stream(context.Background(), transport.Target{Host: h.Host(), Port: 8883})
	})
	c := pahomqtt.NewClient(opts)
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		b.Fatal(t.Error())
	}
	b.Cleanup(func() { c.Disconnect(100) })
	room := make(chan struct{}, window)
	topic := "devices/" + d.Identity.DeviceID + "/messages/events/%24.ct=application%2Fjson"
	return func(_ context.Context, body []byte) error {
		room <- struct{}{}
		defer func() { <-room }()
		t := c.Publish(topic, 1, false, body)
		t.Wait()
		return t.Error()
	}
}

func amqpSend(b *testing.B, h *hubtest.Hub, d hubtest.Device) func(context.Context, []byte) error {
	ctx := b.Context()
	stream, err := h.Stream(ctx, transport.Target{Host: h.Host(), Port: 5671})
	if err != nil {
		b.Fatal(err)
	}
	conn, err := amqplib.NewConn(ctx, stream, &amqplib.ConnOptions{HostName: h.Host(), SASLType: amqplib.SASLTypeAnonymous()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	cbs, err := session.NewSender(ctx, "$cbs", nil)
	if err != nil {
		b.Fatal(err)
	}
	answers, err := session.NewReceiver(ctx, "$cbs", nil)
	if err != nil {
		b.Fatal(err)
	}
	audience, reply := d.Identity.Audience(), "cbs"
	put := &amqplib.Message{
		Value:      tokenOf(b, d),
		Properties: &amqplib.MessageProperties{MessageID: "1", ReplyTo: &reply},
		ApplicationProperties: map[string]any{
			"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience,
		},
	}
	if err := cbs.Send(ctx, put, nil); err != nil {
		b.Fatal(err)
	}
	answer, err := answers.Receive(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := answers.AcceptMessage(ctx, answer); err != nil {
		b.Fatal(err)
	}
	sender, err := session.NewSender(ctx, "/devices/"+d.Identity.DeviceID+"/messages/events", nil)
	if err != nil {
		b.Fatal(err)
	}
	json := "application/json"
	return func(ctx context.Context, body []byte) error {
		return sender.Send(ctx, &amqplib.Message{Data: [][]byte{body}, Properties: &amqplib.MessageProperties{ContentType: &json}}, nil)
	}
}
