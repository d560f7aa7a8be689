package amenzhinsky

import (
	"reflect"
	"testing"
	"time"

	"github.com/amenzhinsky/iothub/iotdevice"
	"github.com/amenzhinsky/iothub/iotservice"
)

// A way is a device, by its key or certificate, over a transport.
type way struct {
	name, id  string
	webSocket bool
}

func ways() (all []way) {
	for _, id := range []string{"dev1", "ca1", "self1"} {
		all = append(all, way{id + " over MQTT", id, false}, way{id + " over WebSocket", id, true})
	}
	return all
}

func TestTwin(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			h := newHub(t)
			dev := h.device(w.id, w.webSocket)
			version, err := dev.UpdateTwinState(h.ctx, iotdevice.TwinState{"by": w.name, "gone": nil})
			if err != nil {
				t.Fatal(err)
			}
			_, reported, err := dev.RetrieveTwinState(h.ctx)
			if err != nil || reported.Version() != version || reported["by"] != w.name {
				t.Errorf("got %v, %v; want by %q at version %d", reported, err, w.name, version)
			}
			wantDesired(h, dev, w.id)
		})
	}
}

// wantDesired has the back end desire something until the device hears it: the
// library subscribes at a time of its own.
func wantDesired(h *hub, dev *iotdevice.Client, id string) {
	h.Helper()
	sub, err := dev.SubscribeTwinUpdates(h.ctx)
	if err != nil {
		h.Fatal(err)
	}
	service := h.service()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for n := 1.0; ; n++ {
		twin, err := service.UpdateDeviceTwin(h.ctx, &iotservice.Twin{
			DeviceID: id, Tags: map[string]any{"n": n}, Properties: &iotservice.Properties{Desired: map[string]any{"n": n}},
		})
		if err != nil {
			h.Fatal(err)
		}
		select {
		case state := <-sub.C():
			if state["n"] == n && state["$version"] != twin.Properties.Desired["$version"] {
				h.Errorf("heard %v, want version %v", state, twin.Properties.Desired["$version"])
			}
			return
		case <-again.C:
		case <-h.ctx.Done():
			h.Fatal("the device hears nothing of what is desired")
		}
	}
}

func TestMethodsAndEvents(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			h := newHub(t)
			dev := h.device(w.id, w.webSocket)
			err := dev.RegisterMethod(h.ctx, "sum", func(v map[string]any) (int, map[string]any, error) {
				return 222, map[string]any{"result": v["a"].(float64) + v["b"].(float64)}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := h.service().CallDeviceMethod(h.ctx, w.id, &iotservice.MethodCall{
				MethodName: "sum", ConnectTimeout: 5, ResponseTimeout: 5, Payload: map[string]any{"a": 1.5, "b": 3},
			})
			want := &iotservice.MethodResult{Status: 222, Payload: map[string]any{"result": 4.5}}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
			err = dev.SendEvent(h.ctx, []byte("hello"),
				iotdevice.WithSendMessageID("1"), iotdevice.WithSendCorrelationID("ü&="), iotdevice.WithSendProperty("a", "b c"),
				iotdevice.WithSendCreationTime(time.Unix(1700000000, 0)))
			if err != nil {
				t.Errorf("send an event: %v", err)
			}
			h.wantEvent(w.id, "hello", map[string]string{"a": "b c"}, map[string]string{
				"message-id": "1", "correlation-id": "ü&=", "iothub-creation-time-utc": "2023-11-14T22:13:20Z",
			})
		})
	}
}

func TestModule(t *testing.T) {
	for _, over := range []struct {
		name      string
		webSocket bool
	}{{"MQTT", false}, {"WebSocket", true}} {
		t.Run(over.name, func(t *testing.T) {
			h := newHub(t)
			module := h.module("dev1/mod1", over.webSocket)
			version, err := module.UpdateTwinState(h.ctx, iotdevice.TwinState{"by": over.name})
			if err != nil {
				t.Fatal(err)
			}
			_, reported, err := module.RetrieveTwinState(h.ctx)
			if err != nil || reported.Version() != version || reported["by"] != over.name {
				t.Errorf("got %v, %v; want by %q at version %d", reported, err, over.name, version)
			}
		})
	}
}
