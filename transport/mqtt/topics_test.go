package mqtt_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/mqtt"
)

const (
	res     = "$iothub/twin/res/"
	desired = "$iothub/twin/PATCH/properties/desired/"
)

// TestFromHub is the golden table of what a hub publishes.
func TestFromHub(t *testing.T) {
	body := func(f transport.Frame, b string) transport.Frame { f.Body = []byte(b); return f }
	response := func(status int, id string, version int64) transport.Frame {
		return transport.Frame{Kind: transport.Response, Status: status, ID: id, Version: version}
	}
	retry := func(f transport.Frame, after time.Duration) transport.Frame { f.RetryAfter = after; return f }
	change := func(version int64) transport.Frame {
		return transport.Frame{Kind: transport.Desired, Version: version}
	}
	twin := `{"desired":{"$version":1},"reported":{"$version":1}}`
	for _, c := range []struct {
		topic, payload string
		want           transport.Frame
	}{
		{res + "200/?$rid=1", twin, body(response(200, "1", 0), twin)},    // EN-6, 13.1
		{res + "204/?$rid=2&$version=2", "", response(204, "2", 2)},       // 13.1
		{res + "204/?$version=6&$rid=ab-1", "", response(204, "ab-1", 6)}, // EN-6
		{res + "204/?$rid=ab-1&$version=6", "", response(204, "ab-1", 6)}, // EN-6
		{res + "429/?$rid=b", `{"errorCode":429001}`, body(response(429, "b", 0), `{"errorCode":429001}`)},
		{res + "429/?$rid=b&retry-after=7", "", retry(response(429, "b", 0), 7*time.Second)},
		{res + "429/?Retry-After=7&$rid=b&retry-after=8", "", retry(response(429, "b", 0), 7*time.Second)},
		{res + "503/?$rid=b&retry%2Dafter=4294967295", "", retry(response(503, "b", 0), 4294967295*time.Second)},
		{res + "503/?$rid=b&retry-after=4294967296", "", response(503, "b", 0)},
		{res + "503/?$rid=b&retry-after=-1", "", response(503, "b", 0)},
		{res + "503/?$rid=b&retry-after=1.5", "", response(503, "b", 0)},
		{res + "503/?$rid=b&retry-after", "", response(503, "b", 0)},
		{desired + "?$version=5&retry-after=7", "{}", body(change(5), "{}")},
		{res + "204/?x=y&$rid=1&z&$version=3&", "", response(204, "1", 3)}, // unknown parameters
		{res + "204/?%24rid=a%2Db&%24version=%33", "", response(204, "a-b", 3)},
		{res + "204/?$rid=1&$version=3&$rid=2&$version=4", "", response(204, "1", 3)}, // the first counts
		{res + "204/?$rid=1&$version=x", "", response(204, "1", 0)},
		{res + "204/?$rid=1&$version=-1", "", response(204, "1", 0)},
		{res + "204/?$rid=1&$version=9223372036854775807", "", response(204, "1", 9223372036854775807)},
		{res + "204/?$rid=1&$version=9223372036854775808", "", response(204, "1", 0)},
		{desired + "?$version=5", `{"b":{"x":9},"$version":5}`, body(change(5), `{"b":{"x":9},"$version":5}`)}, // 13.2
		{desired + "?$version=7", `{"a":1,"b":null}`, body(change(7), `{"a":1,"b":null}`)},
		{desired + "?x=y", "{}", body(change(0), "{}")},
		{desired + "?", "{}", body(change(0), "{}")},
		{desired, "{}", body(change(0), "{}")},
	} {
		got, ok := mqtt.ParsePublish(c.topic, []byte(c.payload))
		if !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s:\n got %+v, %v\nwant %+v", c.topic, c.payload, got, ok, c.want)
		}
	}
}

// TestSkipped are topics that mean nothing here.
func TestSkipped(t *testing.T) {
	for _, topic := range []string{
		"", "$", "foo", "devices/dev1/messages/devicebound/x",
		"$iothub/methods/POST/reboot/?$rid=1",
		"$iothub/twin/", "$iothub/twin/GET/?$rid=1", "$iothub/twin/PATCH/properties/reported/?$rid=1",
		strings.TrimSuffix(desired, "/"), desired + "x", desired + "x/?$version=3",
		res, res + "200", res + "200/", res + "200/?", res + "200/?$version=1", res + "200/x?$rid=1",
		res + "?$rid=1", res + "/?$rid=1", res + "abc/?$rid=1", res + "20/?$rid=1", res + "2000/?$rid=1",
		res + "099/?$rid=1", res + "600/?$rid=1", res + "+20/?$rid=1", res + "-20/?$rid=1", res + "65736/?$rid=1",
		res + "200/?$rid=", res + "200/?$rid", res + "200/?$RID=1",
		res + "200/?$rid=a+b", res + "200/?$rid=a%20b", res + "200/?$rid=%zz", res + "200/?$rid=é", res + "200/?$rid=a/b",
	} {
		if f, ok := mqtt.ParsePublish(topic, []byte("{}")); ok {
			t.Errorf("%q: got %+v; want it skipped", topic, f)
		}
	}
}

// TestToHub is the golden table of what a device publishes.
func TestToHub(t *testing.T) {
	request := func(op transport.Kind, id string, version int64, body string) transport.Frame {
		return transport.Frame{Kind: op, ID: id, Version: version, Body: []byte(body)}
	}
	for _, c := range []struct {
		frame          transport.Frame
		topic, payload string
	}{
		{request(transport.GetTwin, "1", 0, ""), "$iothub/twin/GET/?$rid=1", ""},
		{request(transport.GetTwin, "aZ-09", 4, "not its fields"), "$iothub/twin/GET/?$rid=aZ-09", ""},
		{request(transport.PatchReported, "2", 0, `{"fw":"1.0"}`), "$iothub/twin/PATCH/properties/reported/?$rid=2", `{"fw":"1.0"}`},
		{request(transport.PatchReported, "9", 3, "{}"), "$iothub/twin/PATCH/properties/reported/?$rid=9&$version=3", "{}"},
	} {
		topic, payload, err := mqtt.RequestMessage(c.frame)
		if err != nil || topic != c.topic || string(payload) != c.payload {
			t.Errorf("%+v:\n got %s %q, %v\nwant %s %q", c.frame, topic, payload, err, c.topic, c.payload)
		}
	}
}

func TestUnsayable(t *testing.T) {
	for _, c := range []struct {
		what  string
		frame transport.Frame
	}{
		{"no ID", transport.Frame{Kind: transport.GetTwin}},
		{"an ID with &", transport.Frame{Kind: transport.GetTwin, ID: "1&$version=2"}},
		{"an ID with +", transport.Frame{Kind: transport.GetTwin, ID: "1+"}},
		{"an ID with é", transport.Frame{Kind: transport.GetTwin, ID: "é"}},
		{"an ID with _", transport.Frame{Kind: transport.GetTwin, ID: "a_b"}},
		{"an unknown kind", transport.Frame{Kind: "other", ID: "1"}},
		{"a negative version", transport.Frame{Kind: transport.PatchReported, ID: "1", Version: -1}},
		{"telemetry", transport.Frame{Kind: "telemetry", ID: "1"}},
		{"a hub's frame", transport.Frame{Kind: transport.Desired, ID: "1"}},
		{"no kind", transport.Frame{ID: "1"}},
	} {
		if topic, _, err := mqtt.RequestMessage(c.frame); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("%s: got %q, %v; want ErrUnsupported", c.what, topic, err)
		}
	}
}

func FuzzTopic(f *testing.F) {
	for _, topic := range []string{
		res + "200/?$rid=1", res + "204/?$version=6&$rid=ab-1", res + "204/?%24rid=a%2Db", res + "204/?$rid=1&$version=-1",
		desired + "?$version=5", desired, "$iothub/twin/GET/?$rid=1", "",
	} {
		f.Add(topic, []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		got, ok := mqtt.ParsePublish(topic, payload)
		if !ok {
			return
		}
		switch got.Kind {
		case transport.Response:
			// Whatever comes in can be paired by an ID that could have gone out.
			_, _, err := mqtt.RequestMessage(transport.Frame{Kind: transport.GetTwin, ID: got.ID})
			if err != nil || got.Status < 100 || got.Status > 599 {
				t.Errorf("%q: got %+v; want a usable ID and status", topic, got)
			}
		case transport.Desired:
			if got.ID != "" || got.Status != 0 {
				t.Errorf("%q: got %+v; want no ID and no status", topic, got)
			}
		default:
			t.Errorf("%q: got kind %v", topic, got.Kind)
		}
		if got.Version < 0 || string(got.Body) != string(payload) {
			t.Errorf("%q: got %+v; want a version of 0 or more and the payload %q", topic, got, payload)
		}
	})
}
