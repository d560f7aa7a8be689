package registry_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin/registry"
)

func response(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// Every dialect in which hubs have been seen to speak of errors.
func TestErrorDialects(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		date := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
		tests := []struct {
			name   string
			answer *http.Response
			want   transport.StatusError
			is     error
		}{
			{"the semicolons of 2016", response(409, `{"Message":"ErrorCode:DeviceAlreadyExists;Conflict","ExceptionMessage":"Tracking ID:ab-G:11-TimeStamp:07/16/2016 00:12:41"}`),
				transport.StatusError{Code: 409001, Message: "DeviceAlreadyExists: Conflict", TrackingID: "ab-G:11-TimeStamp:07/16/2016 00:12:41"}, registry.ErrExists},
			{"a bad query", response(400, `{"Message":"ErrorCode:ArgumentNull;BadRequest"}`),
				transport.StatusError{Code: 400005, Message: "ArgumentNull: BadRequest"}, transport.ErrRejected},
			{"a number as code", response(404, `{"Message":"x;ErrorCode:404001;gone"}`),
				transport.StatusError{Code: 404001, Message: "x: 404001: gone"}, transport.ErrNotFound},
			{"JSON in JSON", response(404, `{"Message":"{\"errorCode\":404103,\"trackingId\":\"2c-G:0\",\"message\":\"Timed out waiting for device to connect.\",\"info\":{\"timeout\":\"00:00:00\"},\"timestampUtc\":\"2018-08-24T17:49:33.201157Z\"}","ExceptionMessage":""}`),
				transport.StatusError{Code: 404103, Message: "Timed out waiting for device to connect.", TrackingID: "2c-G:0"}, registry.ErrOffline},
			{"no answer", response(504, `{"Message":"{\"errorCode\":504101,\"message\":\"Timed out\"}"}`),
				transport.StatusError{Code: 504101, Message: "Timed out"}, registry.ErrNoAnswer},
			{"bare JSON", response(412, `{"errorCode":412001,"message":"no","trackingId":"t"}`),
				transport.StatusError{Code: 412001, Message: "no", TrackingID: "t"}, transport.ErrPrecondition},
			{"the header alone", response(401, "", "iothub-errorcode", "IotHubUnauthorizedAccess"),
				transport.StatusError{Code: 401002}, transport.ErrUnauthorized},
			{"a proxy's page", response(403, "<html>"), transport.StatusError{}, nil},
			{"a quota", response(403, `{"Message":"ErrorCode:IotHubQuotaExceeded;Total"}`),
				transport.StatusError{Code: 403002, Message: "IotHubQuotaExceeded: Total"}, transport.ErrQuota},
			{"a code of another status", response(404, `{"Message":"ErrorCode:DeviceAlreadyExists;x"}`),
				transport.StatusError{Message: "DeviceAlreadyExists: x"}, transport.ErrNotFound},
			{"a name that nobody knows", response(400, `{"Message":"ErrorCode:SomethingNew;x"}`),
				transport.StatusError{Message: "SomethingNew: x"}, transport.ErrRejected},
			{"seconds to wait", response(429, "", "Retry-After", "7"), transport.StatusError{RetryAfter: 7 * time.Second}, transport.ErrThrottled},
			{"a date to wait for", response(429, "", "Retry-After", date), transport.StatusError{RetryAfter: 90 * time.Second}, transport.ErrThrottled},
			{"a date that is over", response(429, "", "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), transport.StatusError{}, transport.ErrThrottled},
			{"nonsense to wait for", response(429, "", "Retry-After", "soon"), transport.StatusError{}, transport.ErrThrottled},
			{"a redirection", response(302, "", "Location", "https://elsewhere.example.net/"), transport.StatusError{}, nil},
		}
		for _, test := range tests {
			x := &wire{answers: func(*http.Request) *http.Response { return test.answer }}
			c := w.dial(&registry.Options{MaxAttempts: 1, Transport: x})
			_, err := c.Twin(w.Context(), "x")
			var got *transport.StatusError
			if !errors.As(err, &got) {
				t.Errorf("%s: got %v, want a StatusError", test.name, err)
				continue
			}
			test.want.Status = test.answer.StatusCode
			if *got != test.want {
				t.Errorf("%s:\ngot  %+v\nwant %+v", test.name, *got, test.want)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: got %v, want %v", test.name, err, test.is)
			}
			if errors.Is(err, registry.ErrOffline) && errors.Is(err, transport.ErrNotFound) {
				t.Errorf("%s: got %v, which is ErrNotFound, too: the device is there", test.name, err)
			}
		}
	})
}

// Whatever else a server answers is an error, and not read without end.
func TestHostileAnswers(t *testing.T) {
	story(t, nil, func(t *testing.T, w *world) {
		for name, body := range map[string]io.Reader{
			"no JSON":            strings.NewReader("hello"),
			"nothing":            strings.NewReader(""),
			"a list":             strings.NewReader("[]"),
			"no id":              strings.NewReader("{}"),
			"no versions":        strings.NewReader(`{"deviceId":"x","properties":{"desired":{},"reported":{}}}`),
			"no reported":        strings.NewReader(`{"deviceId":"x","properties":{"desired":{"$version":1}}}`),
			"tags that are text": strings.NewReader(strings.Replace(emptyTwin, "{", `{"tags":"x",`, 1)),
			"no end":             endless{},
		} {
			x := &wire{answers: func(*http.Request) *http.Response {
				r := response(200, "")
				r.Body = io.NopCloser(body)
				return r
			}}
			c := w.dial(&registry.Options{Transport: x})
			if _, err := c.Twin(w.Context(), "x"); !errors.Is(err, transport.ErrProtocol) {
				t.Errorf("%s: got %v, want ErrProtocol", name, err)
			}
			if len(x.asked) != 1 {
				t.Errorf("%s: asked %d times, want once", name, len(x.asked))
			}
		}
		x := &wire{answers: func(*http.Request) *http.Response { return response(200, "[]", "x-ms-continuation", "again") }}
		c := w.dial(&registry.Options{Transport: x})
		for _, err := range c.Query(w.Context(), "SELECT * FROM devices", nil) {
			if !errors.Is(err, transport.ErrProtocol) || !strings.Contains(err.Error(), "repeats") {
				t.Errorf("a hub that goes round in circles: got %v, want ErrProtocol", err)
			}
		}
		x.answers = func(*http.Request) *http.Response { return response(200, "7") }
		if _, err := c.Call(w.Context(), "x", "y", nil, nil); !errors.Is(err, transport.ErrProtocol) {
			t.Errorf("a method's answer of 7: got %v, want ErrProtocol", err)
		}
		// Times are read in every form that was seen; others are none.
		for text, want := range map[string]string{
			`"2024-05-08T18:54:31.9876543"`: "2024-05-08T18:54:31.9876543Z", `"2024-05-08T18:54:31.9876543Z"`: "2024-05-08T18:54:31.9876543Z",
			`"0001-01-01T00:00:00"`: "0001-01-01T00:00:00Z", `"0001-01-01T00:00:00Z"`: "0001-01-01T00:00:00Z", `7`: "0001-01-01T00:00:00Z", `"soon"`: "0001-01-01T00:00:00Z",
		} {
			x.answers = func(*http.Request) *http.Response {
				return response(200, strings.Replace(emptyTwin, "{", `{"lastActivityTime":`+text+`,`, 1))
			}
			tw, err := c.Twin(w.Context(), "x")
			if got := tw.LastActivity.Format(time.RFC3339Nano); err != nil || got != want {
				t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
			}
		}
	})
}

// endless is an answer that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
