package hubtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
)

// ask asks for one page.
func (s service) query(text, page, token string) (ids, next string, r reply) {
	s.t.Helper()
	var headers []string
	if page != "" {
		headers = append(headers, "x-ms-max-item-count: "+page)
	}
	if token != "" {
		headers = append(headers, "x-ms-continuation: "+token)
	}
	r = s.do("POST", "/devices/query", `{"query":`+string(jsondoc.AppendText(nil, text))+`}`, headers...)
	r.want(s.t, text, 200)
	doc, err := jsondoc.Parse([]byte(r.body))
	if err != nil {
		s.t.Fatalf("%s: body %q: %v", text, r.body, err)
	}
	var all []string
	for _, row := range doc.([]any) {
		id := jsondoc.At(row, "deviceId").(string)
		if m, ok := jsondoc.At(row, "moduleId").(string); ok {
			id += "/" + m
		}
		all = append(all, id)
	}
	return strings.Join(all, " "), r.header.Get("X-Ms-Continuation"), r
}

func TestRESTQuery(t *testing.T) { bubble(t, testRESTQuery) }
func testRESTQuery(t *testing.T) {
	h := New(t, nil)
	s := service{t: t, h: h, policy: "service"}
	if ids, next, r := s.query("SELECT * FROM devices", "", ""); r.body != "[]" || next != "" {
		t.Errorf("an empty hub: got %s (%s), next %q; want []", r.body, ids, next)
	}
	for i := range 7 {
		id := fmt.Sprintf("dev%d", i)
		addDevice(t, h, id)
		if _, err := h.AddDevice(id + "/m"); err != nil {
			t.Fatalf("AddModule: %v", err)
		}
		if _, err := h.Device(id).SetTags(fmt.Sprintf(`{"location":{"plant":"Redmond%d"},"even":%v}`, i, i%2 == 0)); err != nil {
			t.Fatalf("SetTags: %v", err)
		}
	}
	c := login(t, h, addDevice(t, h, "seed"))
	c.play(subscribed + `
		> PUBLISH Q0 $iothub/twin/PATCH/properties/reported/?$rid=1 {"connectivity":{"type":"cellular"}}
		< PUBLISH Q0 $iothub/twin/res/204/?$rid=1&$version=2
	`)
	if _, err := h.Device("seed").SetTags(`{"location":{"plant":"Redmond43"}}`); err != nil {
		t.Fatalf("SetTags: %v", err)
	}
	for _, test := range []struct{ query, want string }{
		{"SELECT * FROM devices WHERE tags.location.plant = 'Redmond43' AND properties.reported.connectivity.type = 'cellular'", "seed"},
		{"SELECT * FROM devices WHERE tags.even = true", "dev0 dev2 dev4 dev6"},
		{"SELECT * FROM devices WHERE NOT tags.even", "dev1 dev3 dev5"},
		{"SELECT * FROM devices WHERE connectionState = 'Connected'", "seed"},
		{"SELECT * FROM devices WHERE version > 3", "seed"},
		{"SELECT * FROM devices.modules WHERE deviceId = 'dev3' OR deviceId='dev1'", "dev1/m dev3/m"},
		{"SELECT * FROM devices.modules WHERE moduleId != 'm'", ""},
	} {
		ids, next, r := s.query(test.query, "", "")
		if ids != test.want || next != "" {
			t.Errorf("%s: got %q, next %q; want %q", test.query, ids, next, test.want)
		}
		if got := r.header.Get("X-Ms-Item-Type"); got != "Twin" {
			t.Errorf("%s: x-ms-item-type is %q, want Twin", test.query, got)
		}
	}
	// A row is the whole twin, as GET shows it.
	_, _, r := s.query("SELECT * FROM devices WHERE deviceId='seed'", "", "")
	if got, want := r.body, "["+s.do("GET", "/twins/seed", "").body+"]"; got != want {
		t.Errorf("a row:\ngot  %s\nwant %s", got, want)
	}

	// Pages: the last has no token, also when it is full; a token stays good
	// when rows come and go.
	pages := func(page string, between func(int)) (got []string) {
		token := ""
		for n := 0; ; n++ {
			ids, next, _ := s.query("SELECT * FROM devices WHERE is_defined(tags.even)", page, token)
			got = append(got, ids)
			if next == "" {
				return got
			}
			token = next
			between(n)
		}
	}
	nothing := func(int) {}
	for page, want := range map[string]string{"3": "dev0 dev1 dev2|dev3 dev4 dev5|dev6", "7": "dev0 dev1 dev2 dev3 dev4 dev5 dev6", "1000": "dev0 dev1 dev2 dev3 dev4 dev5 dev6"} {
		if got := strings.Join(pages(page, nothing), "|"); got != want {
			t.Errorf("pages of %s: got %s, want %s", page, got, want)
		}
	}
	got := pages("3", func(n int) {
		if n == 0 {
			_ = h.Device("dev2").Remove()
			_ = h.Device("dev4").Remove()
		}
	})
	if got, want := strings.Join(got, "|"), "dev0 dev1 dev2|dev3 dev5 dev6"; got != want {
		t.Errorf("pages while devices go: got %s, want %s", got, want)
	}
}

// TestRESTColumns holds that rows which are no twins are marked so, and come in
// pages, too.
func TestRESTColumns(t *testing.T) { bubble(t, testRESTColumns) }
func testRESTColumns(t *testing.T) {
	h := New(t, nil)
	s := service{t: t, h: h, policy: "service"}
	for i := range 5 {
		if _, err := addDevice(t, h, fmt.Sprint("dev", i)).SetTags(map[string]int{"plant": i % 3}); err != nil {
			t.Fatalf("SetTags: %v", err)
		}
	}
	pages := func(query string) string {
		token, all := "", ""
		for {
			headers := []string{"x-ms-max-item-count: 2"}
			if token != "" {
				headers = append(headers, "x-ms-continuation: "+token)
			}
			r := s.do("POST", "/devices/query", `{"query":`+string(jsondoc.AppendText(nil, query))+`}`, headers...)
			r.want(t, query, 200)
			if got := r.header.Get("X-Ms-Item-Type"); got != "Raw" {
				t.Errorf("%s: x-ms-item-type is %q, want Raw", query, got)
			}
			all += r.body
			if token = r.header.Get("X-Ms-Continuation"); token == "" {
				return all
			}
		}
	}
	const groups = "SELECT tags.plant, COUNT() AS n FROM devices GROUP BY tags.plant"
	for query, want := range map[string]string{
		"SELECT deviceId FROM devices WHERE tags.plant != 2": `[{"deviceId":"dev0"},{"deviceId":"dev1"}][{"deviceId":"dev3"},{"deviceId":"dev4"}]`,
		"SELECT COUNT() AS n FROM devices":                   `[{"n":5}]`,
		"SELECT COUNT() AS n FROM devices.modules":           `[{"n":0}]`,
		groups: `[{"plant":0,"n":2},{"plant":1,"n":2}][{"plant":2,"n":1}]`,
	} {
		if got := pages(query); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", query, got, want)
		}
	}
	body := `{"query":` + string(jsondoc.AppendText(nil, groups)) + `}`
	s.do("POST", "/devices/query", body, "x-ms-continuation: "+continuation("dev1")).want(t, "another query's token", 400)
	if r := s.do("POST", "/devices/query", body, "x-ms-continuation: "+continuation("99")); r.body != "[]" {
		t.Errorf("behind the last group: got %s", r.body)
	}
}
