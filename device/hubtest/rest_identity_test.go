package hubtest

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
)

// etagOf is a number as identities show it in their etag.
func etagOf(n uint64) string {
	return base64.StdEncoding.EncodeToString(strconv.AppendUint(nil, n, 10))
}

// etagNumber is the number in an identity's etag.
func etagNumber(t testing.TB, r reply) uint64 {
	t.Helper()
	digits, err := base64.StdEncoding.DecodeString(strings.Trim(r.field(t, "etag"), `"`))
	if err != nil {
		t.Fatalf("etag of %s: %v", r.body, err)
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil || n == 0 {
		t.Fatalf("etag of %s: %d, %v", r.body, n, err)
	}
	return n
}

func TestRESTIdentities(t *testing.T) { bubble(t, testRESTIdentities) }
func testRESTIdentities(t *testing.T) {
	h := New(t, nil)
	s := owner(t, h)
	// As the Node.js SDK creates a device: with empty keys, to be made up.
	r := s.do("PUT", "/devices/dev1", `{"deviceId":"dev1","authentication":{"type":"sas","symmetricKey":{"primaryKey":"","secondaryKey":""}}}`)
	r.want(t, "create", 200)
	for path, want := range map[string]string{
		"deviceId": `"dev1"`, "status": `"enabled"`, "statusReason": "null", "authentication.type": `"sas"`,
		"connectionState": `"Disconnected"`, "capabilities.iotEdge": "false", "moduleId": "absent", "statusUpdatedTime": `"0001-01-01T00:00:00"`,
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("created, %s: got %s, want %s", path, got, want)
		}
	}
	key, err := base64.StdEncoding.DecodeString(strings.Trim(r.field(t, "authentication.symmetricKey.primaryKey"), `"`))
	if err != nil || len(key) != 32 {
		t.Errorf("a key that was made up: got %d bytes, %v; want 32", len(key), err)
	}
	generation := r.field(t, "generationId")
	if len(generation) != 18+2 { // ticks, in quotes
		t.Errorf("generationId: got %s, want 18 digits", generation)
	}
	first := etagNumber(t, r) // an identity counts from anywhere, by one

	// Its key logs it in; disabling cuts it, and is seen in twin and identity.
	secret := strings.Trim(r.field(t, "authentication.symmetricKey.primaryKey"), `"`)
	again, err := h.Device("dev1").SetKeys(secret, "")
	if err != nil {
		t.Fatalf("SetKeys: %v", err)
	}
	c := login(t, h, again)
	if got := s.do("GET", "/devices/dev1", "").field(t, "connectionState"); got != `"Connected"` {
		t.Errorf("logged in: got %s, want Connected", got)
	}
	if got := s.do("GET", "/statistics/service", "").body; got != `{"connectedDeviceCount":1}` {
		t.Errorf("statistics: got %s", got)
	}
	time.Sleep(time.Minute)
	r = s.do("PUT", "/devices/dev1", `{"status":"disabled","statusReason":"stolen","capabilities":{"iotEdge":true}}`, `If-Match: "`+etagOf(first+1)+`"`)
	r.want(t, "disable", 200)
	c.play("< close")
	for path, want := range map[string]string{
		"status": `"disabled"`, "statusReason": `"stolen"`, "etag": `"` + etagOf(first+2) + `"`, "statusUpdatedTime": `"` + section.Time(h.opts.Now()) + `"`,
		"capabilities.iotEdge": "true", "authentication.symmetricKey.primaryKey": `"` + secret + `"`, "connectionState": `"Disconnected"`,
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("disabled, %s: got %s, want %s", path, got, want)
		}
	}
	tw := s.do("GET", "/twins/dev1", "")
	if got, want := tw.field(t, "status")+tw.field(t, "deviceEtag")+tw.field(t, "statusReason"), `"disabled""`+etagOf(first+2)+`""stolen"`; got != want {
		t.Errorf("the twin of a disabled device: got %s, want %s", got, want)
	}
	if got, want := s.do("GET", "/statistics/devices", "").body, `{"totalDeviceCount":1,"enabledDeviceCount":0,"disabledDeviceCount":1}`; got != want {
		t.Errorf("statistics: got %s, want %s", got, want)
	}
	// Keys of its own, and one that stays to be made up.
	r = s.do("PUT", "/devices/dev1", `{"status":"enabled","statusReason":null,"authentication":{"symmetricKey":{"primaryKey":"`+keyTwo+`"}}}`, "If-Match: *")
	if got := r.field(t, "authentication.symmetricKey.primaryKey"); got != `"`+keyTwo+`"` || r.field(t, "statusReason") != "null" {
		t.Errorf("new keys: got %s", r.body)
	}

	if r := s.do("DELETE", "/devices/dev1", "", `If-Match: "`+etagOf(first+3)+`"`); r.status != 204 || r.body != "" {
		t.Errorf("delete: got %d %q, want an empty 204", r.status, r.body)
	}
	s.do("GET", "/twins/dev1", "").want(t, "the twin of a deleted device", 404)
	r = s.do("PUT", "/devices/dev1", `{"etag":"xx","generationId":"1"}`)
	if got := r.field(t, "generationId"); r.status != 200 || got == generation {
		t.Errorf("created anew: got %d, generation %s as before", r.status, got)
	}
}

func TestRESTModules(t *testing.T) { bubble(t, testRESTModules) }
func testRESTModules(t *testing.T) {
	h := New(t, nil)
	s := owner(t, h)
	for _, id := range []string{"b", "a", "c"} {
		s.do("PUT", "/devices/"+id, "{}").want(t, "create "+id, 200)
	}
	r := s.do("PUT", "/devices/a/modules/cam", `{"deviceId":"a","moduleId":"cam","managedBy":"iotEdge"}`)
	r.want(t, "create a module", 200)
	for path, want := range map[string]string{"deviceId": `"a"`, "moduleId": `"cam"`, "managedBy": `"iotEdge"`, "status": "absent"} {
		if got := r.field(t, path); got != want {
			t.Errorf("module, %s: got %s, want %s", path, got, want)
		}
	}
	s.do("PUT", "/devices/a/modules/cam", `{}`, `If-Match: "*"`).want(t, "update a module", 200)
	ids := func(r reply) string {
		t.Helper()
		doc, err := jsondoc.Parse([]byte(r.body))
		if err != nil {
			t.Fatalf("list %q: %v", r.body, err)
		}
		got := ""
		for _, row := range doc.([]any) {
			got += jsondoc.At(row, "deviceId").(string)
			if m, ok := jsondoc.At(row, "moduleId").(string); ok {
				got += "/" + m
			}
			got += " "
		}
		return got
	}
	for path, want := range map[string]string{
		"/devices" + version: "a b c ", "/devices" + version + "&top=2": "a b ", "/devices/a/modules": "a/cam ", "/devices/b/modules": "",
	} {
		if got := ids(s.do("GET", path, "")); got != want {
			t.Errorf("GET %s: got %q, want %q", path, got, want)
		}
	}
	s.do("DELETE", "/devices/a", "").want(t, "delete the device", 204)
	s.do("GET", "/devices/a/modules/cam", "").want(t, "the module of a deleted device", 404)
}
