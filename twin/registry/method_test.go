package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/devicetwin/devicetwin-go/auth"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

// listener is a device that answers methods, one packet at a time.
type listener struct {
	t    *testing.T
	conn net.Conn
}

func (w *world) listener(d hubtest.Device) listener {
	w.Helper()
	conn, err := w.hub.Stream(w.Context(), transport.Target{Port: 8883})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close() })
	l := listener{w.T, conn}
	token, err := auth.TokenOf(context.Background(), d.Credential, d.Identity.Audience(), time.Now())
	if err != nil {
		w.Fatal(err)
	}
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.Keepalive, connect.CleanSession = "MQTT", 4, d.Identity.DeviceID, 240, true
	connect.Username, connect.UsernameFlag = w.hub.Host()+"/"+d.Identity.DeviceID+"/?api-version=2021-04-12", true
	connect.Password, connect.PasswordFlag = []byte(token.Reveal()), true
	l.say(connect)
	l.hear()
	subscribe := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{"$iothub/methods/POST/#"}, []byte{1}
	l.say(subscribe)
	l.hear()
	return l
}

func (l listener) say(p packets.ControlPacket) {
	l.t.Helper()
	if err := p.Write(l.conn); err != nil {
		l.t.Error(err)
	}
}

func (l listener) hear() packets.ControlPacket {
	l.t.Helper()
	p, err := packets.ReadPacket(l.conn)
	if err != nil {
		l.t.Errorf("read: %v", err)
	}
	return p
}

// answer answers the next method, and says what it was.
func (l listener) answer(status, body string) string {
	l.t.Helper()
	call, ok := l.hear().(*packets.PublishPacket)
	if !ok {
		l.t.Error("no method came")
		return ""
	}
	name, rid, _ := strings.Cut(strings.TrimPrefix(call.TopicName, "$iothub/methods/POST/"), "/?$rid=")
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = "$iothub/methods/res/"+status+"/?$rid="+rid, []byte(body)
	l.say(p)
	return name + " " + string(call.Payload)
}

func TestCall(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		ctx := w.Context()
		d := w.device("fan1")
		if _, err := w.client.Call(ctx, "fan1", "stop", nil, nil); !errors.Is(err, registry.ErrOffline) || errors.Is(err, transport.ErrNotFound) || code(err) != 404103 {
			t.Errorf("offline: got %v, want ErrOffline with 404103, and no ErrNotFound", err)
		}
		if _, err := w.client.Call(ctx, "nobody", "stop", nil, nil); errors.Is(err, registry.ErrOffline) || !errors.Is(err, transport.ErrNotFound) || code(err) != 404001 {
			t.Errorf("nobody: got %v, want 404001", err)
		}
		l := w.listener(d)
		for _, test := range []struct {
			name         string
			payload      any
			heard        string
			status, body string
			want         string
		}{
			{"a struct", struct{ Delay int }{5}, `stop {"Delay":5}`, "200", `{"ok":true}`, `{"ok":true}`},
			{"nothing", nil, "stop ", "500", "", "null"},
			{"a null", json.RawMessage("null"), "stop null", "-3", "7", "7"},
		} {
			heard := make(chan string, 1)
			go func() { heard <- l.answer(test.status, test.body) }()
			r, err := w.client.Call(ctx, "fan1", "stop", test.payload, nil)
			if got := <-heard; err != nil || got != test.heard || string(r.Payload) != test.want || test.status != itoa(r.Status) {
				t.Errorf("%s: got %d %s, heard %q, %v", test.name, r.Status, r.Payload, got, err)
			}
		}
		began := time.Now()
		_, err := w.client.Call(ctx, "fan1", "stop", nil, &registry.CallOptions{ResponseTimeout: 5 * time.Second})
		if !errors.Is(err, registry.ErrNoAnswer) || time.Since(began) != 5*time.Second {
			t.Errorf("no answer: got %v after %v, want ErrNoAnswer after 5s", err, time.Since(began))
		}
		l.hear()
		// The connect time-out waits for a device that is on its way.
		if err := w.hub.Device("fan1").Cut(); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(20 * time.Second)
			w.listener(d).answer("200", "")
		}()
		if _, err := w.client.Call(ctx, "fan1", "stop", nil, &registry.CallOptions{ConnectTimeout: 30 * time.Second}); err != nil {
			t.Errorf("a device that comes in time: %v", err)
		}
	})
}
