package hubtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/transport"
)

// service is a back end that writes its requests by hand: it shares no code
// with the hub or with twin/registry.
type service struct {
	t      testing.TB
	h      *Hub
	policy string // whose key signs
	auth   string // an Authorization of its own in place of a token; "-" for none
}

// reply is what a request was answered.
type reply struct {
	status int
	header http.Header
	body   string
}

const version = "?api-version=2021-04-12"

// serviceToken is a token of a policy's primary key.
func serviceToken(t testing.TB, h *Hub, policy, scope string, life time.Duration) string {
	t.Helper()
	p, ok := h.Policy(policy)
	if !ok {
		t.Fatalf("there is no policy %q", policy)
	}
	return sign(t, scope, p.PrimaryKey, h.opts.Now().Add(life), policy)
}

func owner(t testing.TB, h *Hub) service { return service{t: t, h: h, policy: "iothubowner"} }

// do sends one request on a stream of its own. A path without a query gets the
// usual one; headers are lines such as "If-Match: *".
func (s service) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (s service) try(method, path, body string, headers ...string) (reply, error) {
	conn, err := s.h.Stream(context.Background(), transport.Target{Host: s.h.Host(), Port: 443})
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Minute)) // virtual
	if !strings.Contains(path, "?") {
		path += version
	}
	auth := s.auth
	if auth == "" {
		auth = serviceToken(s.t, s.h, s.policy, s.h.Host(), time.Hour)
	}
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: " + s.h.Host()}, headers...)
	if auth != "-" {
		lines = append(lines, "Authorization: "+auth)
	}
	if body != "" {
		lines = append(lines, "Content-Type: application/json; charset=utf-8", fmt.Sprint("Content-Length: ", len(body)))
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+body); err != nil {
		return reply{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(b)}, err
}

// code is the numeric code of an error that comes as JSON within JSON, else the
// name: every error is checked to be well formed in all its parts.
func (r reply) code(t testing.TB) string {
	t.Helper()
	var outer struct{ Message, ExceptionMessage string }
	if err := json.Unmarshal([]byte(r.body), &outer); err != nil {
		t.Fatalf("error body %q: %v", r.body, err)
	}
	name := r.header.Get("Iothub-Errorcode")
	if strings.HasPrefix(outer.Message, "{") {
		var inner struct {
			ErrorCode                         int
			TrackingID, Message, TimestampUTC string
			Info                              json.RawMessage
		}
		if err := json.Unmarshal([]byte(outer.Message), &inner); err != nil || inner.ErrorCode/1000 != r.status ||
			inner.TrackingID == "" || inner.Message == "" || inner.TimestampUTC == "" || codeName(inner.ErrorCode) != name {
			t.Errorf("nested error: got %q with header %q (%v)", outer.Message, name, err)
		}
		return fmt.Sprint(inner.ErrorCode)
	}
	if !strings.HasPrefix(outer.Message, "ErrorCode:"+name+";") || !matches(outer.ExceptionMessage, "Tracking ID:…-TimeStamp:…") {
		t.Errorf("error: got %q with header %q", r.body, name)
	}
	return name
}

// field follows a path in the body.
func (r reply) field(t testing.TB, path string) string {
	t.Helper()
	doc, err := jsondoc.Parse([]byte(r.body))
	if err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
	v := jsondoc.At(doc, path)
	if v == (jsondoc.Absent{}) {
		return "absent"
	}
	return string(jsondoc.Append(nil, v))
}

func (r reply) want(t testing.TB, what string, status int) {
	t.Helper()
	if r.status != status {
		t.Errorf("%s: got %d %s, want %d", what, r.status, r.body, status)
	}
}

func TestRESTErrors(t *testing.T) { bubble(t, testRESTErrors) }
func testRESTErrors(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	if _, err := h.AddDevice("dev1/m"); err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	deep := strings.Repeat(`{"a":`, 11) + "1" + strings.Repeat("}", 11)
	long := `{"query":"` + strings.Repeat("x", 8193) + `"}`
	call := func(rest string) string { return `{"methodName":"reboot",` + rest + `}` }
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     string
	}{
		{"no api-version", "GET", "/twins/dev1?x=y", "", nil, 400, "InvalidProtocolVersion"},
		{"a malformed api-version", "GET", "/twins/dev1?api-version=latest", "", nil, 400, "InvalidProtocolVersion"},
		{"a path of nobody", "GET", "/nothing", "", nil, 404, "GenericNotFound"},
		{"a path that goes on", "GET", "/twins/dev1/modules/m/more", "", nil, 404, "GenericNotFound"},
		{"an id that is empty", "GET", "/twins//modules/m", "", nil, 404, "GenericNotFound"},
		{"a slash in an id", "GET", "/twins/a%2Fb", "", nil, 400, "ArgumentInvalid"},
		{"a verb that is not there", "POST", "/twins/dev1", "{}", nil, 405, "GenericMethodNotAllowed"},
		{"a body of over 1 MB", "PATCH", "/twins/dev1", strings.Repeat(" ", maxBody+1), nil, 413, "MessageTooLarge"},

		{"twin of an unknown device", "GET", "/twins/dev2", "", nil, 404, "DeviceNotFound"},
		{"twin of an unknown module", "GET", "/twins/dev1/modules/x", "", nil, 404, "ModuleNotFound"},
		{"module twin of an unknown device", "GET", "/twins/dev2/modules/m", "", nil, 404, "DeviceNotFound"},
		{"patch of an unknown device", "PATCH", "/twins/dev2", "{}", nil, 404, "DeviceNotFound"},
		{"patch that is no JSON", "PATCH", "/twins/dev1", "{", nil, 400, "IotHubFormatError"},
		{"patch without a body", "PATCH", "/twins/dev1", "", nil, 400, "IotHubFormatError"},
		{"patch that is no object", "PATCH", "/twins/dev1", "[]", nil, 400, "ArgumentInvalid"},
		{"patch of another etag", "PATCH", "/twins/dev1", "{}", []string{`If-Match: "AAAAAAAAAAk="`}, 412, "PreconditionFailed"},
		{"null tags", "PATCH", "/twins/dev1", `{"tags":null}`, nil, 400, "ArgumentInvalid"},
		{"tags that are a list", "PATCH", "/twins/dev1", `{"tags":[]}`, nil, 400, "ArgumentInvalid"},
		{"null properties", "PATCH", "/twins/dev1", `{"properties":null}`, nil, 400, "ArgumentInvalid"},
		{"null desired", "PATCH", "/twins/dev1", `{"properties":{"desired":null}}`, nil, 400, "ArgumentInvalid"},
		{"a dot in a tag's name", "PATCH", "/twins/dev1", `{"tags":{"a.b":1}}`, nil, 400, "ArgumentInvalid"},
		{"a dollar in a tag's name", "PATCH", "/twins/dev1", `{"tags":{"$a":1}}`, nil, 400, "ArgumentInvalid"},
		{"a number beyond 53 bits", "PATCH", "/twins/dev1", `{"properties":{"desired":{"a":4503599627370496}}}`, nil, 400, "ArgumentInvalid"},
		{"depth 11", "PATCH", "/twins/dev1", `{"tags":{"a":` + deep + `}}`, nil, 400, "ArgumentInvalid"},
		{"null in a list", "PATCH", "/twins/dev1", `{"tags":{"a":[null]}}`, nil, 400, "ArgumentInvalid"},
		{"null in a replacement", "PUT", "/twins/dev1", `{"tags":{"a":null}}`, nil, 400, "ArgumentInvalid"},
		{"tags over 8 KB", "PATCH", "/twins/dev1", `{"tags":{"a":["` + strings.Repeat("x", 4000) + `","` + strings.Repeat("x", 4000) + `","` + strings.Repeat("x", 200) + `"]}}`, nil, 403, "DeviceModelMaxPropertiesExceeded"},
		{"desired over 32 KB", "PUT", "/twins/dev1", `{"properties":{"desired":{"a":[` + strings.Repeat(`"`+strings.Repeat("x", 4096)+`",`, 8) + `1]}}}`, nil, 403, "DeviceModelMaxPropertiesExceeded"},

		{"unknown device", "GET", "/devices/dev2", "", nil, 404, "DeviceNotFound"},
		{"modules of an unknown device", "GET", "/devices/dev2/modules", "", nil, 404, "DeviceNotFound"},
		{"device that exists", "PUT", "/devices/dev1", "{}", nil, 409, "DeviceAlreadyExists"},
		{"module that exists", "PUT", "/devices/dev1/modules/m", "{}", nil, 409, "ModuleAlreadyExistsOnDevice"},
		{"module of nobody", "PUT", "/devices/dev2/modules/m", "{}", nil, 404, "DeviceNotFound"},
		{"update of an unknown device", "PUT", "/devices/dev2", "{}", []string{`If-Match: "*"`}, 404, "DeviceNotFound"},
		{"update of another etag", "PUT", "/devices/dev1", "{}", []string{`If-Match: "xx"`}, 412, "PreconditionFailed"},
		{"removal of another etag", "DELETE", "/devices/dev1", "", []string{`If-Match: "xx"`}, 412, "PreconditionFailed"},
		{"removal of nobody", "DELETE", "/devices/dev2", "", nil, 404, "DeviceNotFound"},
		{"an id with a space", "PUT", "/devices/a%20b", "{}", nil, 400, "ArgumentInvalid"},
		{"another id in the body", "PUT", "/devices/dev3", `{"deviceId":"dev4"}`, nil, 400, "ArgumentInvalid"},
		{"a status of its own", "PUT", "/devices/dev3", `{"status":"asleep"}`, nil, 400, "ArgumentInvalid"},
		{"a reason of 129 characters", "PUT", "/devices/dev3", `{"statusReason":"` + strings.Repeat("x", 129) + `"}`, nil, 400, "ArgumentInvalid"},
		{"a short key", "PUT", "/devices/dev3", `{"authentication":{"symmetricKey":{"primaryKey":"AAAA"}}}`, nil, 400, "ArgumentInvalid"},
		{"a certificate", "PUT", "/devices/dev3", `{"authentication":{"type":"selfSigned"}}`, nil, 400, "ArgumentInvalid"},
		{"an authentication that is text", "PUT", "/devices/dev3", `{"authentication":"sas"}`, nil, 400, "ArgumentInvalid"},
		{"an identity that is no JSON", "PUT", "/devices/dev3", "x", nil, 400, "IotHubFormatError"},
		{"a list of none", "GET", "/devices?api-version=2020-09-30&top=0", "", nil, 400, "DeviceInvalidResultCount"},

		{"a query without text", "POST", "/devices/query", "{}", nil, 400, "ArgumentNull"},
		{"a query that is no JSON", "POST", "/devices/query", "SELECT", nil, 400, "IotHubFormatError"},
		{"a query of 8193 characters", "POST", "/devices/query", long, nil, 400, "ArgumentInvalid"},
		{"a page of 1001", "POST", "/devices/query", `{"query":"SELECT * FROM devices"}`, []string{"x-ms-max-item-count: 1001"}, 400, "DeviceInvalidResultCount"},
		{"a token of nobody", "POST", "/devices/query", `{"query":"SELECT * FROM devices"}`, []string{"x-ms-continuation: eA=="}, 400, "ArgumentInvalid"},

		{"a method of nobody", "POST", "/twins/dev2/methods", call(`"payload":1`), nil, 404, "404001"},
		{"a method of an unknown module", "POST", "/twins/dev1/modules/x/methods", call(`"payload":1`), nil, 404, "404010"},
		{"a method while offline", "POST", "/twins/dev1/methods", call(`"payload":1`), nil, 404, "404103"},
		{"a method without a name", "POST", "/twins/dev1/methods", "{}", nil, 400, "400005"},
		{"a method with an empty name", "POST", "/twins/dev1/methods", `{"methodName":""}`, nil, 400, "400005"},
		{"a method with a slash", "POST", "/twins/dev1/methods", `{"methodName":"a/b"}`, nil, 400, "400004"},
		{"a method that is no JSON", "POST", "/twins/dev1/methods", "x", nil, 400, "400006"},
		{"a time-out that is no number", "POST", "/twins/dev1/methods", call(`"responseTimeoutInSeconds":"5s"`), nil, 400, "400004"},
		{"a time-out with a fraction", "POST", "/twins/dev1/methods", call(`"responseTimeoutInSeconds":5.0`), nil, 400, "400004"},
		{"a patience of two hours", "POST", "/twins/dev1/methods", call(`"connectTimeoutInSeconds":7200`), nil, 400, "400004"},
		{"a payload over 128 KB", "POST", "/twins/dev1/methods", call(`"payload":"` + strings.Repeat("x", maxPayload) + `"`), nil, 413, "413001"},
	}
	before := twinOf(t, h, "dev1")
	for _, test := range tests {
		r := owner(t, h).do(test.method, test.path, test.body, test.headers...)
		if r.status != test.status {
			t.Errorf("%s: got %d %s, want %d", test.name, r.status, r.body, test.status)
			continue
		}
		if got := r.code(t); got != test.code {
			t.Errorf("%s: got code %s, want %s", test.name, got, test.code)
		}
	}
	if after := twinOf(t, h, "dev1"); after.Version != before.Version || after.etag != before.etag {
		t.Errorf("refused requests changed the twin: version %d to %d", before.Version, after.Version)
	}
	if got := h.Stats().Requests; got != len(tests) {
		t.Errorf("Requests: got %d, want %d", got, len(tests))
	}
}
