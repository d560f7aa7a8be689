package amqp_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
)

// show is a message as the tables have it.
func show(m *goamqp.Message) string {
	if m == nil {
		return "nothing"
	}
	var notes []string
	for _, k := range []string{"operation", "resource", "version", "status"} {
		if v, ok := m.Annotations[k]; ok {
			notes = append(notes, fmt.Sprintf("%s=%T %v", k, v, v))
		}
	}
	return fmt.Sprintf("%v [%s] %q", m.Properties.CorrelationID, strings.Join(notes, ", "), m.GetData())
}

func TestFrameToMessage(t *testing.T) {
	body := []byte(`{"a":1}`)
	for _, test := range []struct {
		f    transport.Frame
		want string
	}{
		{transport.Frame{Kind: transport.Open, Feature: transport.TwinResponses, ID: "1"}, "nothing"},
		{transport.Frame{Kind: transport.Open, Feature: transport.DesiredChanges, ID: "2"},
			`2 [operation=string PUT, resource=string /notifications/twin/properties/desired] ""`},
		{transport.Frame{Kind: transport.Close, Feature: transport.TwinResponses, ID: "1"}, "nothing"},
		{transport.Frame{Kind: transport.Close, Feature: transport.DesiredChanges, ID: "2"},
			`2 [operation=string DELETE, resource=string /notifications/twin/properties/desired] ""`},
		{transport.Frame{Kind: transport.GetTwin, ID: "3", Body: body}, `3 [operation=string GET] ""`},
		{transport.Frame{Kind: transport.PatchReported, ID: "4", Body: body},
			`4 [operation=string PATCH, resource=string /properties/reported] "{\"a\":1}"`},
		{transport.Frame{Kind: transport.PatchReported, ID: "5", Version: 7, Body: body},
			`5 [operation=string PATCH, resource=string /properties/reported, version=int64 7] "{\"a\":1}"`},
	} {
		m, err := amqp.Message(test.f)
		if got := show(m); err != nil || got != test.want {
			t.Errorf("%+v: got %s, %v; want %s", test.f, got, err, test.want)
		}
	}
	for _, f := range []transport.Frame{
		{},
		{Kind: transport.Response, ID: "1"},
		{Kind: transport.Open, Feature: "other", ID: "1"},
		{Kind: transport.Open, Feature: transport.TwinResponses},
		{Kind: "other", ID: "1"},
		{Kind: transport.GetTwin, ID: "ä"},
		{Kind: transport.PatchReported, ID: "1", Version: -1},
		{Kind: "telemetry", ID: "1", Body: body},
		{Kind: transport.Complete, Delivery: 1},
	} {
		if m, err := amqp.Message(f); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("frame of kind %q, feature %q: got %s, %v; want ErrUnsupported", f.Kind, f.Feature, show(m), err)
		}
	}
	large := transport.Frame{Kind: transport.PatchReported, ID: "1", Body: make([]byte, transport.MaxBody+1)}
	if m, err := amqp.Message(large); !errors.Is(err, transport.ErrTooLarge) {
		t.Errorf("a patch over the limit: got %s, %v; want ErrTooLarge", show(m), err)
	}
}

func TestMessageToFrame(t *testing.T) {
	answer := func(id any, notes goamqp.Annotations, body string) *goamqp.Message {
		m := &goamqp.Message{Properties: &goamqp.MessageProperties{CorrelationID: id}, Annotations: notes}
		if body != "" {
			m.Data = [][]byte{[]byte(body)}
		}
		return m
	}
	change := &goamqp.Message{Data: [][]byte{[]byte(`{"$version":4}`)}}
	noted := &goamqp.Message{Data: change.Data, Annotations: goamqp.Annotations{"resource": "/properties/desired", "version": int64(4)}}
	throttled := func(pause any) *goamqp.Message {
		m := answer("7", goamqp.Annotations{"status": int32(429)}, "")
		m.ApplicationProperties = map[string]any{"other": "1", "Retry-After": pause}
		return m
	}
	wait := func(pause time.Duration) transport.Frame {
		return transport.Frame{Kind: transport.Response, ID: "7", Status: 429, RetryAfter: pause}
	}
	for _, test := range []struct {
		desc string
		m    *goamqp.Message
		want transport.Frame // zero for none
	}{
		{"a twin", answer("1", goamqp.Annotations{"status": int32(200)}, "{}"), transport.Frame{Kind: transport.Response, ID: "1", Status: 200, Body: []byte("{}")}},
		{"a patch taken", answer("2", goamqp.Annotations{"status": int32(200), "version": int64(5)}, ""), transport.Frame{Kind: transport.Response, ID: "2", Status: 200, Version: 5}},
		{"a patch refused", answer("3", goamqp.Annotations{"status": int32(412)}, "{}"), transport.Frame{Kind: transport.Response, ID: "3", Status: 412, Body: []byte("{}")}},
		{"status in other types", answer("4", goamqp.Annotations{"status": uint32(204), "version": uint64(1)}, ""), transport.Frame{Kind: transport.Response, ID: "4", Status: 204, Version: 1}},
		{"a change", change, transport.Frame{Kind: transport.Desired, Body: []byte(`{"$version":4}`)}},
		{"a change with notes", noted, transport.Frame{Kind: transport.Desired, Version: 4, Body: []byte(`{"$version":4}`)}},
		{"a negative version", answer("5", goamqp.Annotations{"status": int64(200), "version": int64(-1)}, ""), transport.Frame{Kind: transport.Response, ID: "5", Status: 200}},
		{"a pause", throttled(int32(30)), wait(30 * time.Second)},
		{"a pause in words", throttled("7"), wait(7 * time.Second)},
		{"a pause for ever", throttled(int64(1 << 62)), wait((1<<32 - 1) * time.Second)},
		{"a pause of less than none", throttled(int64(-1)), wait(0)},
		{"a pause that is none", throttled("soon"), wait(0)},
		{"no status", answer("6", nil, "{}"), transport.Frame{}},
		{"status in words", answer("6", goamqp.Annotations{"status": "200"}, "{}"), transport.Frame{}},
		{"a status that is none", answer("6", goamqp.Annotations{"status": int32(99)}, "{}"), transport.Frame{}},
		{"another's id", answer(uint64(6), goamqp.Annotations{"status": int32(200)}, "{}"), transport.Frame{}},
		{"an id of no frame", answer("a b", goamqp.Annotations{"status": int32(200)}, "{}"), transport.Frame{}},
		{"a change without its body", &goamqp.Message{}, transport.Frame{Kind: transport.Desired}},
		{"a value in place of a body", &goamqp.Message{Value: "{}"}, transport.Frame{Kind: transport.Desired}},
	} {
		got, ok := amqp.Parse(test.m)
		if ok != (test.want.Kind != "") || ok && !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v; want %+v", test.desc, got, ok, test.want)
		}
	}
}

func TestConditions(t *testing.T) {
	body := func(code int) string {
		return fmt.Sprintf(`{"errorCode":%d,"trackingId":"c6f7","message":"words"}`, code)
	}
	for _, test := range []struct {
		condition, description string
		want                   error
	}{
		{"amqp:unauthorized-access", "Token Invalid.", transport.ErrUnauthorized},
		{"amqp:not-found", body(404001), transport.ErrUnauthorized},
		{"amqp:not-found", body(404006), transport.ErrUnauthorized},
		{"amqp:resource-deleted", "", transport.ErrUnauthorized},
		{"amqp:not-allowed", "", transport.ErrProtocol},
		{"amqp:not-implemented", "", transport.ErrUnsupported},
		{"amqp:internal-error", body(500001), transport.ErrUnavailable},
		{"amqp:internal-error", body(429001), transport.ErrThrottled},
		{"amqp:resource-limit-exceeded", body(403002), transport.ErrQuota},
		{"amqp:link:detach-forced", "Server Busy. Please retry operation", transport.ErrUnavailable},
		{"amqp:link:stolen", "", transport.ErrLost},
		{"amqp:link:message-size-exceeded", "", transport.ErrRejected},
		{"amqp:connection:forced", "", transport.ErrLost},
		{"amqp:connection:framing-error", "", transport.ErrProtocol},
		{"com.microsoft:link-creation-conflict", "", transport.ErrLost},
		{"com.microsoft:device-container-throttled", "", transport.ErrThrottled},
		{"com.microsoft:timeout", "", transport.ErrUnavailable},
		{"com.microsoft:argument-error", "", transport.ErrRejected},
		{"x:y", "\x00\xff" + strings.Repeat("long", 1000), transport.ErrLost},
	} {
		err := amqp.Condition(&goamqp.Error{Condition: goamqp.ErrCond(test.condition), Description: test.description})
		matched := 0
		for _, s := range []error{transport.ErrUnauthorized, transport.ErrProtocol, transport.ErrUnsupported, transport.ErrUnavailable,
			transport.ErrThrottled, transport.ErrQuota, transport.ErrLost, transport.ErrRejected, transport.ErrNotFound} {
			if errors.Is(err, s) {
				matched++
			}
		}
		if !errors.Is(err, test.want) || matched != 1 || len(err.Error()) > 2000 || !strings.Contains(err.Error(), test.condition) {
			t.Errorf("%s %.40q: got %v, %d sentinels; want %v alone", test.condition, test.description, err, matched, test.want)
		}
	}
	err := amqp.Condition(&goamqp.Error{Condition: "amqp:not-found", Description: body(404006)})
	if want := (amqp.ConditionError{Condition: "amqp:not-found", Code: 404006, Message: "words", TrackingID: "c6f7"}); *err != want {
		t.Errorf("got %+v, want %+v", *err, want)
	}
}

func TestTokenRefused(t *testing.T) {
	for status, want := range map[int]error{
		400: transport.ErrUnauthorized, 401: transport.ErrUnauthorized, 403: transport.ErrUnauthorized, 404: transport.ErrUnauthorized,
		0: transport.ErrUnauthorized, 429: transport.ErrThrottled, 500: transport.ErrUnavailable, 503: transport.ErrUnavailable,
	} {
		err := amqp.TokenRefused(status, "the hub's words")
		var s *transport.StatusError
		if !errors.Is(err, want) || !errors.As(err, &s) || s.Status != status || !strings.Contains(err.Error(), "the hub's words") {
			t.Errorf("%d: got %v, %+v; want %v", status, err, s, want)
		}
		if want == transport.ErrUnauthorized && (errors.Is(err, transport.ErrRejected) || errors.Is(err, transport.ErrNotFound)) {
			t.Errorf("%d: %v matches more than ErrUnauthorized", status, err)
		}
	}
}
