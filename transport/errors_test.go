package transport_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/transport"
)

func sentinels() map[string]error {
	return map[string]error{
		"ErrClosed": transport.ErrClosed, "ErrLost": transport.ErrLost, "ErrStalled": transport.ErrStalled,
		"ErrProtocol": transport.ErrProtocol, "ErrUnauthorized": transport.ErrUnauthorized,
		"ErrUnavailable": transport.ErrUnavailable, "ErrThrottled": transport.ErrThrottled,
		"ErrQuota": transport.ErrQuota, "ErrNotFound": transport.ErrNotFound,
		"ErrPrecondition": transport.ErrPrecondition, "ErrRejected": transport.ErrRejected,
		"ErrUnsupported": transport.ErrUnsupported, "ErrBusy": transport.ErrBusy, "ErrTooLarge": transport.ErrTooLarge,
	}
}

// matches is the name of the one sentinel that err matches, "" for none.
func matches(t *testing.T, err error) string {
	t.Helper()
	found := ""
	for name, sentinel := range sentinels() {
		if !errors.Is(err, sentinel) {
			continue
		}
		if found != "" {
			t.Errorf("%v matches both %s and %s", err, found, name)
		}
		found = name
	}
	return found
}

func TestStatusErrorMatches(t *testing.T) {
	body := func(code int) string { return fmt.Sprintf(`{"errorCode":%d}`, code) }
	for _, test := range []struct {
		status int
		body   string
		want   string
	}{
		{400, "", "ErrRejected"},
		{400, body(400004), "ErrRejected"},
		{401, "", "ErrUnauthorized"},
		{401, body(401003), "ErrUnauthorized"},
		{403, "", ""}, // refused, perhaps not for good: tried slowly
		{403, body(403010), ""},
		{403, body(403002), "ErrQuota"},
		{403, body(403100), "ErrRejected"},
		{404, "", "ErrNotFound"},
		{404, body(404000), "ErrNotFound"},
		{404, body(404001), "ErrNotFound"},
		{404, body(404010), "ErrNotFound"},
		{404, body(404002), ""}, // a job
		{404, body(404012), ""}, // the hub fails over
		{404, body(404103), ""}, // the device is offline
		{404, body(404104), ""}, // the device went away
		{404, body(404301), ""}, // a configuration
		{404, body(404999), ""}, // who knows
		{412, body(412001), "ErrPrecondition"},
		{413, body(413001), "ErrRejected"},
		{429, "", "ErrThrottled"},
		{429, body(429001), "ErrThrottled"},
		{500, "", "ErrUnavailable"},
		{502, "", "ErrUnavailable"},
		{503, body(503003), "ErrUnavailable"},
		{504, "", "ErrUnavailable"},
		{599, "", "ErrUnavailable"},

		// The status rules, whatever the code says.
		{400, body(403002), "ErrRejected"},
		{404, body(409001), "ErrNotFound"},
		{429, body(403002), "ErrThrottled"},
		{503, body(403100), "ErrUnavailable"},
		{409, body(403100), ""},

		{0, "", ""}, {-1, "", ""}, {200, "", ""}, {204, "", ""}, {302, "", ""},
		{402, "", ""}, {405, "", ""}, {409, "", ""}, {415, "", ""}, {600, "", ""}, {1 << 30, "", ""},
	} {
		err := fmt.Errorf("report: %w", transport.NewStatusError(test.status, []byte(test.body)))
		if got := matches(t, err); got != test.want {
			t.Errorf("status %d %s matches %q, want %q", test.status, test.body, got, test.want)
		}
	}
}

func TestNewStatusError(t *testing.T) {
	long := strings.Repeat("ä", transport.MaxErrorText)
	for _, test := range []struct {
		name, body string
		want       transport.StatusError
		text       string
	}{
		{"the hub's own",
			`{"errorCode":400004,"trackingId":"c3c3-G:7","message":"Value of Property or Tag cannot be null.","timestampUtc":"2021-01-12T22:23:43.6426124Z"}`,
			transport.StatusError{Code: 400004, Message: "Value of Property or Tag cannot be null.", TrackingID: "c3c3-G:7"},
			`transport: hub answered 400 (400004): "Value of Property or Tag cannot be null." [tracking id "c3c3-G:7"]`},
		{"names in another case", `{"ErrorCode":1,"Message":"m","TrackingId":"t"}`,
			transport.StatusError{Code: 1, Message: "m", TrackingID: "t"}, `transport: hub answered 400 (1): "m" [tracking id "t"]`},
		{"code as text", `{"errorCode":"400004"}`, transport.StatusError{Code: 400004}, "transport: hub answered 400 (400004)"},
		{"empty", "", transport.StatusError{}, "transport: hub answered 400"},
		{"empty object", "{}", transport.StatusError{}, "transport: hub answered 400"},
		{"white space", " \n", transport.StatusError{}, "transport: hub answered 400"},
		{"not JSON", "<html>Bad Request</html>", transport.StatusError{}, "transport: hub answered 400"},
		{"not UTF-8", "\xff\xfe", transport.StatusError{}, "transport: hub answered 400"},
		{"cut", `{"errorCode":400004,"mess`, transport.StatusError{}, "transport: hub answered 400"},
		{"null", "null", transport.StatusError{}, "transport: hub answered 400"},
		{"another kind of JSON", `["errorCode",400004]`, transport.StatusError{}, "transport: hub answered 400"},
		{"text", `"denied"`, transport.StatusError{}, "transport: hub answered 400"},
		{"deep", strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), transport.StatusError{}, "transport: hub answered 400"},
		{"message of another type", `{"message":{"a":1},"errorCode":400004,"trackingId":7}`, transport.StatusError{Code: 400004}, "transport: hub answered 400 (400004)"},
		{"code of another type", `{"errorCode":{},"message":"m"}`, transport.StatusError{Message: "m"}, `transport: hub answered 400: "m"`},
		{"code in words", `{"errorCode":"ArgumentInvalid","message":"m"}`, transport.StatusError{Message: "m"}, `transport: hub answered 400: "m"`},
		{"code with a fraction", `{"errorCode":400.5}`, transport.StatusError{}, "transport: hub answered 400"},
		{"code below 1", `{"errorCode":-400004}`, transport.StatusError{}, "transport: hub answered 400"},
		{"code too large", `{"errorCode":1000000000}`, transport.StatusError{}, "transport: hub answered 400"},
		{"code beyond 64 bits", `{"errorCode":99999999999999999999}`, transport.StatusError{}, "transport: hub answered 400"},
		{"control characters are quoted", `{"message":"a\nb\u001b[31m"}`, transport.StatusError{Message: "a\nb\x1b[31m"}, `transport: hub answered 400: "a\nb\x1b[31m"`},
		{"longest", `{"message":"` + long[:transport.MaxErrorText] + `"}`,
			transport.StatusError{Message: long[:transport.MaxErrorText]}, `transport: hub answered 400: "` + long[:transport.MaxErrorText] + `"`},
		{"cut between characters", `{"message":"x` + long + `","trackingId":"x` + long + `"}`,
			transport.StatusError{Message: "x" + long[:transport.MaxErrorText-2] + "…", TrackingID: "x" + long[:transport.MaxErrorText-2] + "…"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want.Status = 400
			got := transport.NewStatusError(400, []byte(test.body))
			if *got != test.want {
				t.Errorf("read as %#v\nwant    %#v", *got, test.want)
			}
			if test.text != "" && got.Error() != test.text {
				t.Errorf("Error() = %s\nwant      %s", got.Error(), test.text)
			}
		})
	}
}

// A body of any size adds little to a log.
func TestNewStatusErrorIsBounded(t *testing.T) {
	body := `{"message":"` + strings.Repeat("\\u0001", 1<<17) + `","trackingId":"` + strings.Repeat("y", 1<<20) + `"}`
	if got := len(transport.NewStatusError(400, []byte(body)).Error()); got > 10*transport.MaxErrorText {
		t.Errorf("the error has %d bytes", got)
	}
}

func FuzzNewStatusError(f *testing.F) {
	f.Add(400, []byte(`{"errorCode":400004,"trackingId":"c3c3","message":"null","timestampUtc":"2021-01-12T22:23:43.6426124Z"}`))
	f.Add(403, []byte(`{"errorCode":"403002"}`))
	f.Add(503, []byte(`{"errorCode":null,"message":7}`))
	f.Add(200, []byte(nil))
	f.Add(429, []byte(`{"Message":"\ud800ä\u0000`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		e := transport.NewStatusError(status, body)
		if e.Status != status || e.Code < 0 || e.Code >= 1e9 || e.RetryAfter != 0 {
			t.Fatalf("%#v of status %d", e, status)
		}
		for _, s := range []string{e.Message, e.TrackingID} {
			if len(s) > transport.MaxErrorText+len("…") || !utf8.ValidString(s) {
				t.Fatalf("text of %d bytes, valid %v", len(s), utf8.ValidString(s))
			}
		}
		if text := e.Error(); !strings.HasPrefix(text, "transport: hub answered ") || strings.ContainsAny(text, "\n\r\x00") {
			t.Fatalf("Error() = %q", text)
		}
		matches(t, e)
	})
}
