package hubtest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/twin"
)

// TestWrites writes twins in every form in which a test may have its JSON.
func TestWrites(t *testing.T) {
	type fan struct {
		RPM int `json:"rpm"`
	}
	d := addDevice(t, New(t, nil), "dev1")
	for _, tt := range []struct {
		desc  string
		write func(any) (int64, error)
		v     any
		want  string
	}{
		{"text", d.SetDesired, `{"fan":{"rpm":1},"b":"<&>"}`, `{"b":"<&>","fan":{"rpm":1}}`},
		{"bytes", d.SetDesired, []byte(`{"fan":{"rpm":2}}`), `{"b":"<&>","fan":{"rpm":2}}`},
		{"raw JSON", d.SetDesired, json.RawMessage(`{"fan":{"rpm":3}}`), `{"b":"<&>","fan":{"rpm":3}}`},
		{"a patch", d.SetDesired, twin.Set("fan.rpm", 4).Delete("b"), `{"fan":{"rpm":4}}`},
		{"a map", d.SetDesired, map[string]any{"fan": nil, "ab": "<&>"}, `{"ab":"<&>"}`},
		{"a struct", d.SetDesired, struct{ Fan fan }{fan{5}}, `{"Fan":{"rpm":5},"ab":"<&>"}`},
		{"a whole struct", d.ReplaceDesired, fan{6}, `{"rpm":6}`},
		{"a whole patch", d.ReplaceDesired, twin.Set("fan.rpm", 7), `{"fan":{"rpm":7}}`},
	} {
		if _, err := tt.write(tt.v); err != nil {
			t.Errorf("%s: %v", tt.desc, err)
		}
		if got := string(twinOf(t, d.hub, "dev1").Desired.JSON); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.desc, got, tt.want)
		}
	}
	if _, err := d.SetTags(twin.Set("plant", "x")); err != nil {
		t.Errorf("SetTags: %v", err)
	}
	tw := twinOf(t, d.hub, "dev1")
	if string(tw.Tags) != `{"plant":"x"}` {
		t.Errorf("tags: got %s", tw.Tags)
	}
	for desc, bad := range map[string]any{
		"what has no JSON": func() {}, "a replacement": twin.Replace("fan", fan{1}), "a failed patch": twin.Set("", 1),
	} {
		if _, err := d.SetDesired(bad); err == nil || !strings.Contains(err.Error(), "hubtest: encode a ") {
			t.Errorf("%s: got %v, want an error of encoding", desc, err)
		}
	}
	for desc, bad := range map[string]any{"nothing": nil, "a number": 1, "raw JSON of none": json.RawMessage(`{`)} {
		if _, err := d.ReplaceDesired(bad); !errors.As(err, new(*transport.StatusError)) {
			t.Errorf("%s: got %v, want the hub's refusal", desc, err)
		}
	}
	if _, err := d.ReplaceDesired(map[string]any{"a": nil}); !errors.As(err, new(*transport.StatusError)) {
		t.Errorf("a null in a document: got %v, want the hub's refusal", err)
	}
	if after := twinOf(t, d.hub, "dev1"); after.Version != tw.Version {
		t.Errorf("what was refused: got version %d, want %d", after.Version, tw.Version)
	}
}

// TestSectionAt reads values of a section by their paths.
func TestSectionAt(t *testing.T) {
	s := Section{JSON: []byte(`{"fan":{"on":true,"rpm":900.5},"list":[1]}`)}
	if rpm, err := twin.Get[float64](s, "fan.rpm"); rpm != 900.5 || err != nil {
		t.Errorf("Get: got %v, %v; want 900.5", rpm, err)
	}
	if off := twin.GetOr(s, "fan.off", true); !off {
		t.Errorf("GetOr: got %v, want its default", off)
	}
	if got := string(s.At("").JSON()); got != string(s.JSON) {
		t.Errorf("the whole: got %s", got)
	}
	for _, missing := range []struct {
		s    Section
		path string
	}{{s, "fan.x"}, {s, "list.0"}, {Section{}, ""}, {Section{}, "a"}, {Section{JSON: []byte(`{`)}, ""}} {
		if v := missing.s.At(missing.path); v.Exists() {
			t.Errorf("%q of %s: got %v, want none", missing.path, missing.s.JSON, v)
		}
	}
}
