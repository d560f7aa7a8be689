package hubtest

import (
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/section"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
)

// newTwinJSON is what a hub shows of a device that was just created, in the order
// of recorded answers. "…" means what differs each time.
const newTwinJSON = `{"deviceId":"dev1","etag":"AAAAAAAAAAE=","deviceEtag":"…","status":"enabled","statusReason":null,` +
	`"statusUpdateTime":"0001-01-01T00:00:00Z","connectionState":"Disconnected","lastActivityTime":"0001-01-01T00:00:00Z",` +
	`"cloudToDeviceMessageCount":0,"authenticationType":"sas","x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},` +
	`"modelId":"","version":2,"properties":{"desired":{"$metadata":{"$lastUpdated":"2000-01-01T00:00:00Z"},"$version":1},` +
	`"reported":{"$metadata":{"$lastUpdated":"2000-01-01T00:00:00Z"},"$version":1}},"capabilities":{"iotEdge":false}}`

func TestRESTTwin(t *testing.T) { bubble(t, testRESTTwin) }
func testRESTTwin(t *testing.T) {
	h := New(t, nil)
	d := addDevice(t, h, "dev1")
	s := service{t: t, h: h, policy: "service"}
	r := s.do("GET", "/twins/dev1", "")
	if r.status != 200 || !matches(r.body, newTwinJSON) {
		t.Errorf("a new twin:\ngot  %d %s\nwant 200 %s", r.status, r.body, newTwinJSON)
	}
	if got := r.header.Get("ETag"); got != "" {
		t.Errorf("ETag: got %s, want none: the twin holds it", got)
	}
	if got, want := r.header.Get("Content-Type"), "application/json; charset=utf-8"; got != want {
		t.Errorf("Content-Type: got %s, want %s", got, want)
	}

	c := login(t, h, d)
	c.play(subscribed)
	// Tags and desired properties in one change: one step, one word to the device.
	r = s.do("PATCH", "/twins/dev1", `{"tags":{"location":{"plant":"Redmond43"}},"properties":{"desired":{"fan":{"rpm":900}}},"status":"disabled"}`)
	r.want(t, "patch of both", 200)
	c.play(`< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=2 {"fan":{"rpm":900},"$version":2}`)
	for path, want := range map[string]string{
		"tags": `{"location":{"plant":"Redmond43"}}`, "version": "3", "etag": `"AAAAAAAAAAI="`, "status": `"enabled"`,
		"properties.desired.fan.rpm": "900", "properties.desired.$version": "2", "connectionState": `"Connected"`,
		"properties.desired.$metadata.fan.rpm.$lastUpdatedVersion": "2",
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("after the patch, %s: got %s, want %s", path, got, want)
		}
	}
	// Tags alone are no news for the device.
	r = s.do("PATCH", "/twins/dev1", `{"tags":{"location":{"plant":null},"floor":3}}`)
	c.play("< silence")
	for path, want := range map[string]string{"tags": `{"location":{},"floor":3}`, "version": "4", "properties.desired.$version": "2"} {
		if got := r.field(t, path); got != want {
			t.Errorf("after the patch of tags, %s: got %s, want %s", path, got, want)
		}
	}
	// What the device reports is seen, with metadata but without its versions.
	c.play(`
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1 {"fan":{"rpm":870}}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2
	`)
	r = s.do("GET", "/twins/dev1", "")
	for path, want := range map[string]string{
		"properties.reported.fan": `{"rpm":870}`, "version": "5", "etag": `"AAAAAAAAAAQ="`,
		"properties.reported.$metadata.fan.rpm.$lastUpdatedVersion": "absent",
	} {
		if got := r.field(t, path); got != want {
			t.Errorf("after the report, %s: got %s, want %s", path, got, want)
		}
	}
	// A whole twin is put back as it was got; what is missing goes.
	r = s.do("PUT", "/twins/dev1", r.body)
	r.want(t, "a twin put back as it was", 200)
	c.play(`< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=3 {"fan":{"rpm":900},"$version":3}`)
	r = s.do("PUT", "/twins/dev1", `{"properties":{"desired":{"led":true}}}`)
	c.play(`< PUBLISH Q0 $iothub/twin/PATCH/properties/desired/?$version=4 {"fan":null,"led":true,"$version":4}`)
	for path, want := range map[string]string{"tags": "absent", "properties.desired.led": "true", "properties.desired.fan": "absent", "properties.reported.fan": `{"rpm":870}`} {
		if got := r.field(t, path); got != want {
			t.Errorf("after the replacement, %s: got %s, want %s", path, got, want)
		}
	}
	if got, want := string(twinOf(t, h, "dev1").Tags), "{}"; got != want {
		t.Errorf("Tags: got %s, want %s", got, want)
	}
	if v, err := h.Device("dev1").SetTags(`{"a":1}`); err != nil || v != 8 {
		t.Errorf("SetTags: got version %d, %v; want 8", v, err)
	}
	if got, want := s.do("GET", "/twins/dev1", "").field(t, "tags"), `{"a":1}`; got != want {
		t.Errorf("tags by SetTags: got %s, want %s", got, want)
	}
}

func TestRESTModuleTwin(t *testing.T) { bubble(t, testRESTModuleTwin) }
func testRESTModuleTwin(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "d%1#")
	if _, err := h.AddDevice("d%1#/m*?"); err != nil {
		t.Fatalf("AddModule: %v", err)
	}
	s := owner(t, h)
	r := s.do("PATCH", "/twins/d%251%23/modules/m*%3F", `{"tags":{"a":1}}`)
	for path, want := range map[string]string{"deviceId": `"d%1#"`, "moduleId": `"m*?"`, "tags.a": "1", "capabilities": "absent"} {
		if got := r.field(t, path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if got := s.do("GET", "/twins/d%251%23", "").field(t, "tags"); got != "absent" {
		t.Errorf("the device's own tags: got %s, want none", got)
	}
}

// If-Match comes in many spellings.
func TestRESTPreconditions(t *testing.T) { bubble(t, testRESTPreconditions) }
func testRESTPreconditions(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	s := owner(t, h)
	for _, method := range []string{"PATCH", "PUT"} {
		for _, test := range []struct {
			name, match string
			status      int
		}{
			{"none", "", 200}, {"a bare star", "*", 200}, {"a star in quotes", `"*"`, 200},
			{"the etag in quotes", `"ETAG"`, 200}, {"the bare etag", "ETAG", 200}, {"a weak etag", `W/"ETAG"`, 200},
			{"the etag before", `"OLD"`, 412}, {"nonsense", `"x"`, 412}, {"an empty etag", `""`, 200},
		} {
			tw := twinOf(t, h, "dev1")
			old := section.Twin{ETag: uint64(tw.Version) - 2}
			match := replaceAll(test.match, "ETAG", tw.etag, "OLD", old.ETagText())
			var headers []string
			if match != "" {
				headers = []string{"If-Match: " + match}
			}
			r := s.do(method, "/twins/dev1", `{"tags":{"a":1}}`, headers...)
			r.want(t, method+" with "+test.name, test.status)
			now := twinOf(t, h, "dev1")
			if moved := now.etag != tw.etag; moved != (test.status == 200) {
				t.Errorf("%s with %s: the etag moved: %v", method, test.name, moved)
			}
		}
	}
}

// A hub that rewrites numbers does so for services, too.
func TestRESTNumbers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := New(t, &Options{quirks: quirk.Set{RewriteNumbers: true}, Now: func() time.Time { return time.Unix(dayOne, 0) }})
		addDevice(t, h, "dev1")
		r := owner(t, h).do("PATCH", "/twins/dev1", `{"tags":{"a":1.10},"properties":{"desired":{"b":1e21}}}`)
		if got, want := r.field(t, "tags")+r.field(t, "properties.desired.b"), `{"a":1.1}1E+21`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func replaceAll(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
