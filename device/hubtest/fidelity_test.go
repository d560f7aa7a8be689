package hubtest

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// The requests here are those of clients that nobody here wrote, as they send
// them, and the answers those of recorded sessions with real hubs.

// TestServiceClients plays what service clients say over REST.
func TestServiceClients(t *testing.T) { bubble(t, testServiceClients) }
func testServiceClients(t *testing.T) {
	h := New(t, nil)
	s := owner(t, h)
	// Azure.Iot.Hub.Service creates under an empty ETag.
	r := s.do("PUT", "/devices/dev1?api-version=2020-03-13", `{"deviceId":"dev1"}`, `If-Match: ""`)
	r.want(t, "a device under an empty ETag", 200)
	if want := `{"deviceId":"dev1","generationId":"…","etag":"…","connectionState":"Disconnected","status":"enabled","statusReason":null,` +
		`"connectionStateUpdatedTime":"0001-01-01T00:00:00","statusUpdatedTime":"0001-01-01T00:00:00","lastActivityTime":"0001-01-01T00:00:00",` +
		`"cloudToDeviceMessageCount":0,"authentication":{"symmetricKey":{"primaryKey":"…","secondaryKey":"…"},` +
		`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"},"capabilities":{"iotEdge":false}}`; !matches(r.body, want) {
		t.Errorf("created:\ngot  %s\nwant %s", r.body, want)
	}
	if got, want := r.header.Get("ETag"), r.field(t, "etag"); got != want {
		t.Errorf("a device's ETag: got %s, want %s", got, want)
	}
	if got := s.do("GET", "/devices/dev1", "").field(t, "lastActivityTime"); got != `"0001-01-01T00:00:00Z"` {
		t.Errorf("read again, a time that never was: got %s, want it with Z", got)
	}
	r = s.do("PUT", "/devices/dev1/modules/mod?api-version=2020-03-13", `{"moduleId":"mod","deviceId":"dev1"}`, `If-Match: ""`)
	r.want(t, "a module is created with 200", 200)
	if want := `{"moduleId":"mod","managedBy":null,"deviceId":"dev1","generationId":"…","etag":"…","connectionState":"Disconnected",` +
		`"connectionStateUpdatedTime":"0001-01-01T00:00:00","lastActivityTime":"0001-01-01T00:00:00","cloudToDeviceMessageCount":0,` +
		`"authentication":{…,"type":"sas"}}`; !matches(r.body, want) {
		t.Errorf("module:\ngot  %s\nwant %s", r.body, want)
	}
	if got := r.header.Get("ETag"); got != "" {
		t.Errorf("a module's ETag: got %s, want none", got)
	}
	// Its twin goes back as it was got, reported properties and all.
	tw := s.do("GET", "/twins/dev1?api-version=2020-03-13", "")
	for _, absent := range []string{"tags", "statusReason", "modelId", "deviceScope", "parentScopes"} {
		if got := tw.field(t, absent); got != "absent" {
			t.Errorf("a fresh twin of 2020, %s: got %s, want it absent", absent, got)
		}
	}
	body := `{"deviceId":"dev1","etag":"AAAAAAAAAAE=","deviceEtag":"MQ==","status":"enabled","statusUpdateTime":"0001-01-01T00:00:00Z",` +
		`"lastActivityTime":"0001-01-01T00:00:00Z","x509Thumbprint":{},"version":2,"tags":{"b":1,"a":2},` +
		`"properties":{"desired":{"$metadata":{"$lastUpdated":"2000-01-01T00:00:00Z"},"$version":1},"reported":{"a":5,"$metadata":{},"$version":1}},"capabilities":{"iotEdge":false}}`
	r = s.do("PATCH", "/twins/dev1?api-version=2020-03-13", body, `If-Match: "AAAAAAAAAAE="`)
	r.want(t, "a patch that names reported properties", 200)
	for path, want := range map[string]string{
		"etag": `"AAAAAAAAAAI="`, "version": "3", "tags": `{"b":1,"a":2}`, "properties.reported": `{"$metadata":{"$lastUpdated":"2000-01-01T00:00:00Z"},"$version":1}`,
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("after the patch, %s: got %s, want %s", path, got, want)
		}
	}
	// amenzhinsky's queries. Names of Json.NET have no case.
	for _, body := range []string{`{"Query":"SELECT * FROM devices"}`, `{"QUERY":"select * from devices"}`} {
		r = s.do("POST", "/devices/query", body)
		r.want(t, body, 200)
	}
	r = s.do("POST", "/devices/query?api-version=2020-03-13", `{"query":"SELECT * FROM devices.modules"}`)
	if got := r.body; !strings.HasSuffix(got, `"capabilities":{"iotEdge":false}}]`) || s.do("GET", "/twins/dev1/modules/mod", "").field(t, "capabilities") != "absent" {
		t.Errorf("capabilities are in a module's row, and not in its twin: got %s", got)
	}
	// The Azure CLI's numbers are texts.
	r = s.do("POST", "/twins/dev1/methods", `{"methodName":"reboot","payload":{},"responseTimeoutInSeconds":"30","connectTimeoutInSeconds":" 5 "}`)
	if got := r.code(t); got != "404103" || !strings.Contains(r.body, `00:00:05`) {
		t.Errorf("numbers as texts: got %s, want to have waited 5 s for the device", r.body)
	}
	r = s.do("POST", "/twins/dev1/methods", `{"MethodName":"reboot","ConnectTimeoutInSeconds":2,"ResponseTimeoutInSeconds":""}`)
	if got := r.code(t); got != "404103" || !strings.Contains(r.body, `00:00:02`) {
		t.Errorf("names in capitals: got %s, want to have waited 2 s for the device", r.body)
	}
}

// TestRESTHeaders holds the headers that every recorded answer has, and no more.
// But for one: net/http writes no Content-Length to a 204.
func TestRESTHeaders(t *testing.T) { bubble(t, testRESTHeaders) }
func testRESTHeaders(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	s := owner(t, h)
	guid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/twins/dev1", "Content-Length Content-Type Date Server Vary X-Ms-Request-Id"},
		{"GET", "/devices/dev1", "Content-Length Content-Type Date Etag Server Vary X-Ms-Request-Id"},
		{"GET", "/twins/dev2", "Content-Length Content-Type Date Iothub-Errorcode Server Vary X-Ms-Request-Id"},
		{"GET", "/nowhere", "Content-Length Content-Type Date Iothub-Errorcode Server Vary X-Ms-Request-Id"},
		{"DELETE", "/devices/dev1", "Date Server Vary X-Ms-Request-Id"},
	} {
		r := s.do(test.method, test.path, "", "x-ms-client-request-id: mine")
		if got := strings.Join(sortedKeys(r.header), " "); got != test.want {
			t.Errorf("%s %s: got the headers %s\nwant %s", test.method, test.path, got, test.want)
		}
		id := r.header.Get("X-Ms-Request-Id")
		if !guid.MatchString(id) || seen[id] {
			t.Errorf("%s %s: x-ms-request-id is %q, want a GUID of its own", test.method, test.path, id)
		}
		seen[id] = true
		if got := r.header.Get("Server") + r.header.Get("Vary"); got != "Microsoft-HTTPAPI/2.0Origin" {
			t.Errorf("%s %s: Server and Vary are %q", test.method, test.path, got)
		}
	}
}

// TestRESTErrorTexts holds the words of recorded errors, byte for byte but for
// numbers and times.
func TestRESTErrorTexts(t *testing.T) { bubble(t, testRESTErrorTexts) }
func testRESTErrorTexts(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	if _, err := h.AddDevice("dev1/mod"); err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	s := owner(t, h)
	is := etagNumber(t, s.do("GET", "/devices/dev1", ""))
	number := string(jsondoc.Append(nil, jsondoc.Int(int64(is))))
	for _, test := range []struct{ name, method, path, match, message, tracking string }{
		{"an identity", "PUT", "/devices/dev1", etagOf(7), "ErrorCode:PreconditionFailed;Precondition failed: Device version did not match, existingVersion:" + number + " newVersion:7", "REQUEST-G:0"},
		{"an identity to delete", "DELETE", "/devices/dev1", etagOf(7), "ErrorCode:PreconditionFailed;Precondition failed: Device version did not match, existingVersion:" + number + " newVersion:7", "REQUEST-G:0"},
		{"an etag of no identity", "PUT", "/devices/dev1", "AAAAAAAAAAE=", "ErrorCode:PreconditionFailed;PreconditionFailed, ETag may be invalid.", "REQUEST-G:0"},
		{"a twin", "PATCH", "/twins/dev1", "x", "ErrorCode:PreconditionFailed;ETag mismatch for device ID 'dev1'", "REQUEST"},
		{"a module's twin names its device", "PATCH", "/twins/dev1/modules/mod", "x", "ErrorCode:PreconditionFailed;ETag mismatch for device ID 'dev1'", "REQUEST"},
		{"nobody", "GET", "/devices/dev2", "", "ErrorCode:DeviceNotFound;dev2", "ANY"},
		{"nobody's twin", "GET", "/twins/dev2", "", "ErrorCode:DeviceNotFound;dev2", "ANY"},
	} {
		var headers []string
		if test.match != "" {
			headers = []string{`If-Match: "` + test.match + `"`}
		}
		r := s.do(test.method, test.path, "{}", headers...)
		id := strings.ReplaceAll(r.header.Get("X-Ms-Request-Id"), "-", "")
		tracking := strings.NewReplacer("REQUEST", id, "ANY", "…").Replace(test.tracking)
		want := `{"Message":"` + test.message + `","ExceptionMessage":"Tracking ID:` + tracking + `-TimeStamp:01/01/2000 00:00:00"}`
		if !matches(r.body, want) || strings.Contains(r.body, id) != strings.Contains(test.tracking, "REQUEST") {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, r.body, want)
		}
	}
}

// TestEdgeScopes: devices of IoT Edge have a scope, and no other has.
func TestEdgeScopes(t *testing.T) { bubble(t, testEdgeScopes) }
func testEdgeScopes(t *testing.T) {
	h := New(t, nil)
	s := owner(t, h)
	r := s.do("PUT", "/devices/edge", `{"capabilities":{"iotEdge":true}}`)
	want := `"ms-azure-iot-edge://edge-` + strings.Trim(r.field(t, "generationId"), `"`) + `"`
	for what, got := range map[string]string{
		"created": r.field(t, "deviceScope"), "the twin": s.do("GET", "/twins/edge", "").field(t, "deviceScope"),
		"updated": s.do("PUT", "/devices/edge", `{"capabilities":{"iotEdge":true}}`, "If-Match: *").field(t, "deviceScope"),
	} {
		if got != want {
			t.Errorf("%s: got the scope %s, want %s", what, got, want)
		}
	}
	if got := s.do("PUT", "/devices/plain", `{}`).field(t, "deviceScope"); got != "absent" {
		t.Errorf("a plain device has the scope %s", got)
	}
	if got := s.do("PUT", "/devices/plain", `{"capabilities":{"iotEdge":true}}`, "If-Match: *").field(t, "deviceScope"); got != `"ms-azure-iot-edge://plain-"` {
		t.Errorf("turned edge later: got the scope %s", got)
	}
	if got := s.do("PUT", "/devices/plain", `{"capabilities":{"iotEdge":false}}`, "If-Match: *").field(t, "deviceScope"); got != "absent" {
		t.Errorf("turned plain again: got the scope %s", got)
	}
}

// TestDeviceKeysOpenModules: a device's own token opens its module identities.
func TestDeviceKeysOpenModules(t *testing.T) { bubble(t, testDeviceKeysOpenModules) }
func testDeviceKeysOpenModules(t *testing.T) {
	h := New(t, nil)
	d, other := addDevice(t, h, "dev1"), addDevice(t, h, "dev2")
	end := h.opts.Now().Add(time.Hour)
	own := service{t: t, h: h, auth: sign(t, h.Host()+"/devices/dev1", d.PrimaryKey, end, "")}
	own.do("PUT", "/devices/dev1/modules/mod", `{"moduleId":"mod"}`).want(t, "create", 200)
	own.do("GET", "/devices/dev1/modules", "").want(t, "list", 200)
	own.do("GET", "/devices/dev1/modules/mod", "").want(t, "get", 200)
	for _, r := range [][2]string{{"GET", "/devices/dev1"}, {"GET", "/twins/dev1"}, {"GET", "/devices/dev2/modules"}, {"GET", "/devices"}, {"GET", "/twins/dev1/modules/mod"}} {
		own.do(r[0], r[1], "").want(t, strings.Join(r[:], " "), 401)
	}
	for what, token := range map[string]string{
		"another's key":   sign(t, h.Host()+"/devices/dev1", other.PrimaryKey, end, ""),
		"another's scope": sign(t, h.Host()+"/devices/dev2", d.PrimaryKey, end, ""),
		"an ended token":  sign(t, h.Host()+"/devices/dev1", d.PrimaryKey, h.opts.Now(), ""),
	} {
		service{t: t, h: h, auth: token}.do("GET", "/devices/dev1/modules", "").want(t, what, 401)
	}
	own.do("DELETE", "/devices/dev1/modules/mod", "").want(t, "delete", 204)
	if err := h.Device("dev1").SetEnabled(false); err != nil {
		t.Fatal(err)
	}
	own.do("GET", "/devices/dev1/modules", "").want(t, "disabled", 401)
}

// TestPythonServiceTokens: urllib leaves the slashes of a signature.
func TestPythonServiceTokens(t *testing.T) { bubble(t, testPythonServiceTokens) }
func testPythonServiceTokens(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	slashes := 0
	for n := range 40 {
		token := serviceToken(t, h, "service", h.Host(), time.Hour+time.Duration(n)*time.Second)
		python := strings.ReplaceAll(token, "%2F", "/")
		if python != token {
			slashes++
		}
		service{t: t, h: h, auth: python}.do("GET", "/twins/dev1", "").want(t, python, 200)
	}
	if slashes == 0 {
		t.Error("no signature had a slash")
	}
}

// TestAmenzhinskyLogins are the tokens of a Go library: for the whole hub with a
// device's key, and encoded twice with a module's.
func TestAmenzhinskyLogins(t *testing.T) { bubble(t, testAmenzhinskyLogins) }
func testAmenzhinskyLogins(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	m, err := h.AddDevice("dev1/mod")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	end := h.opts.Now().Add(time.Hour)
	for _, test := range []struct {
		who   Device
		token string
	}{
		{d, sign(t, h.Host(), d.PrimaryKey, end, "")},
		{m, sign(t, url.QueryEscape(h.Host()+"/devices/dev1/modules/mod"), m.PrimaryKey, end, "")},
	} {
		p := hello(t, h, test.who)
		p.password = test.token
		c := open(t, h)
		c.send(p.bytes())
		c.play("< CONNACK sp=0 rc=0")
	}
}

// TestModuleSubscriptions are those of Java's, C's and .NET's module clients.
func TestModuleSubscriptions(t *testing.T) { bubble(t, testModuleSubscriptions) }
func testModuleSubscriptions(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	m, err := h.AddDevice("dev1/mod")
	if err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	c := login(t, h, m)
	c.play(`
		> SUBSCRIBE 1 [devices/dev1/modules/mod/messages/devicebound/# Q1]
		< SUBACK 1 [1]
		> SUBSCRIBE 2 [devices/dev1/modules/mod/# Q1, devices/dev1/modules/mod/inputs/# Q0]
		< SUBACK 2 [1 0]
		> SUBSCRIBE 3 [devices/dev1/modules/other/# Q1]
		< close
	`)
	for _, filter := range []string{"devices/dev1/modules/mod/messages/#", "devices/dev1/#", "devices/+/modules/mod/#", "devices/dev1/messages/devicebound/#"} {
		login(t, h, m).play("> SUBSCRIBE 1 [" + filter + " Q1]\n< close")
	}
	login(t, h, d).play("> SUBSCRIBE 1 [devices/dev1/modules/mod/# Q1]\n< close") // its device's client
}
