package hubtest

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
	"github.com/devicetwin/devicetwin-go/transport"
)

func object(t *testing.T, text string) *jsondoc.Object {
	t.Helper()
	m, err := jsondoc.ParseObject([]byte(text))
	if err != nil {
		t.Fatalf("parseObject(%s): %v", text, err)
	}
	return m
}

func TestMerge(t *testing.T) { // M1–M11, M18
	tests := []struct{ id, stored, patch, want, keepsNulls string }{
		{"M1", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`, ""},
		{"M2", `{"a":1}`, `{"z":null}`, `{"a":1}`, ""},
		{"M3", `{"o":{"x":1,"y":2}}`, `{"o":{"x":9}}`, `{"o":{"x":9,"y":2}}`, ""},
		{"M4", `{"o":{"x":1}}`, `{"o":5}`, `{"o":5}`, ""},
		{"M5", `{"o":5}`, `{"o":{"x":1}}`, `{"o":{"x":1}}`, ""},
		{"M6", `{"l":[1,2,3]}`, `{"l":[9]}`, `{"l":[9]}`, ""},
		{"M7", `{"k1":{"k2":"v"}}`, `{"k1":{"k3":null}}`, `{"k1":{"k2":"v"}}`, ""},
		{"M8", `{}`, `{"a":{"b":null}}`, `{"a":{}}`, `{"a":{"b":null}}`},
		{"M8 over a scalar", `{"a":1}`, `{"a":{"b":null,"c":{"d":null,"e":1}}}`, `{"a":{"c":{"e":1}}}`, `{"a":{"b":null,"c":{"d":null,"e":1}}}`},
		{"M9", `{"o":{"x":1}}`, `{"o":{}}`, `{"o":{"x":1}}`, ""},
		{"M10", `{}`, `{"o":{}}`, `{"o":{}}`, ""},
		{"M11", `{"o":{"x":1}}`, `{"o":{"x":null}}`, `{"o":{}}`, ""},
		{"M18", `{"a":1}`, `{"a":1}`, `{"a":1}`, ""},
		{"empty patch", `{"a":1}`, `{}`, `{"a":1}`, ""},
		{"duplicate keys, the last wins", `{}`, `{"a":1,"a":{"b":1},"a":2}`, `{"a":2}`, ""},
	}
	for _, tt := range tests {
		stored, patch := object(t, tt.stored), object(t, tt.patch)
		if got := string(jsondoc.Append(nil, merge(stored, patch, MergeRFC7396))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.id, got, tt.want)
		}
		want := tt.keepsNulls
		if want == "" {
			want = tt.want
		}
		if got := string(jsondoc.Append(nil, merge(stored, patch, MergeKeepNulls))); got != want {
			t.Errorf("%s, keeping nulls: got %s, want %s", tt.id, got, want)
		}
		if got := string(jsondoc.Append(nil, stored)); got != tt.stored {
			t.Errorf("%s: the target became %s", tt.id, got)
		}
	}
}

func TestMergeEmpties(t *testing.T) {
	for _, tt := range []struct{ stored, patch, want string }{
		{`{"k1":{"k2":"v"}}`, `{"k1":{"k3":null}}`, `{"k1":{}}`},
		{`{"k1":{"k2":"v"}}`, `{"k1":{"k3":null,"k4":1}}`, `{"k1":{"k4":1}}`},
		{`{"k1":{"k2":"v","k3":1}}`, `{"k1":{"k3":null}}`, `{"k1":{"k2":"v"}}`},
		{`{"a":1}`, `{"z":null}`, `{"a":1}`},
		{`{}`, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
	} {
		if got := string(jsondoc.Append(nil, merge(object(t, tt.stored), object(t, tt.patch), MergeEmpties))); got != tt.want {
			t.Errorf("%s and %s: got %s, want %s", tt.stored, tt.patch, got, tt.want)
		}
	}
}

func TestReplacement(t *testing.T) { // M15 and 5.5: by existence, not by value
	tests := []struct{ old, doc, want string }{
		{`{"a":1,"b":2}`, `{"a":1,"c":3}`, `{"a":1,"b":null,"c":3}`},
		{`{"o":{"x":1,"y":{"z":1}}}`, `{"o":{"y":{}}}`, `{"o":{"x":null,"y":{"z":null}}}`},
		{`{"o":{"x":1}}`, `{"o":5}`, `{"o":5}`},
		{`{"o":5}`, `{"o":{"x":1}}`, `{"o":{"x":1}}`},
		{`{"l":[1,2]}`, `{"l":[2]}`, `{"l":[2]}`},
		{`{"a":1}`, `{}`, `{"a":null}`},
		{`{}`, `{}`, `{}`},
	}
	for _, tt := range tests {
		old, doc := object(t, tt.old), object(t, tt.doc)
		told := replacement(old, doc)
		if got := string(jsondoc.Append(nil, told)); got != tt.want {
			t.Errorf("%s to %s: got %s, want %s", tt.old, tt.doc, got, tt.want)
		}
		if got := string(jsondoc.Append(nil, merge(old, told, MergeRFC7396))); got != tt.doc {
			t.Errorf("%s to %s: a client that merges gets %s", tt.old, tt.doc, got)
		}
	}
}

func TestSize(t *testing.T) { // 14.4, in UTF-8 bytes
	tests := []struct {
		id, text string
		want     int
	}{
		{"SZ-1", `{}`, 0},
		{"SZ-2", `{"a":1}`, 9},
		{"SZ-3", `{"telemetryConfig":{"sendFrequency":"5m"}}`, 30},
		{"SZ-4", `{"telemetryConfig":{"sendFrequency":"5m"},"batteryLevel":55,"on":true}`, 56},
		{"SZ-5", `{"on":true,"name":"é€😀","n":null,"arr":[1,"xy",false]}`, 37},
		{"SZ-6", `{"s":"a\u0001b\u0085c"}`, 4},
		{"SZ-7", `{"a":1,"$version":12,"$metadata":{"$lastUpdated":"x"}}`, 9},
		{"SZ-8", `{"温度":21.5}`, 14},
	}
	for _, tt := range tests {
		if got := size(object(t, tt.text)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.id, got, tt.want)
		}
	}
}

func TestRules(t *testing.T) {
	deep := func(n int, open, inner, end string) string {
		return `{"r":` + strings.Repeat(open, n) + inner + strings.Repeat(end, n) + `}`
	}
	tests := []struct {
		desc, patch string
		want        int // error code, 0 for none
	}{
		{"M12 null in an array", `{"l":[1,null]}`, 400004},
		{"null in an object in an array", `{"l":[{"a":null}]}`, 400004},
		{"null in an array in an array", `{"l":[[null]]}`, 400004},
		{"M13 dot", `{"a.b":1}`, 400004}, {"M13 dollar", `{"$x":1}`, 400004}, {"M13 space", `{"a b":1}`, 400004}, {"M13 number sign", `{"a#":1}`, 400004},
		{"M14", `{"$version":3,"a":1}`, 400004},
		{"dollar below", `{"a":{"b$":1}}`, 400004}, {"dollar in an array", `{"a":[{"$b":1}]}`, 400004},
		{"C0", `{"a\u0000":1}`, 400004}, {"C1", `{"a\u0085":1}`, 400004},
		{"empty key", `{"":1}`, 0}, {"other white space", `{"a\u00a0b":1}`, 0}, {"signs", `{"@this":1,"x*":2,"e|f":3,"":4}`, 0},
		{"key of 1024", `{"` + letters(1024) + `":1}`, 0}, {"key of 1025", `{"` + letters(1025) + `":1}`, 400004},
		{"text of 4096", `{"a":"` + letters(4096) + `"}`, 0}, {"text of 4097", `{"a":"` + letters(4097) + `"}`, 400004},
		{"text of 4096 bytes, not letters", `{"a":"` + strings.Repeat("é", 2048) + `"}`, 0}, {"and 4098", `{"a":"` + strings.Repeat("é", 2049) + `"}`, 400004},
		{"control characters in a text", `{"a":"\u0001\n\u0085"}`, 0},
		{"least int", `{"a":-4503599627370496}`, 0}, {"one less", `{"a":-4503599627370497}`, 400004},
		{"greatest int", `{"a":4503599627370495}`, 0}, {"one more", `{"a":4503599627370496}`, 400004},
		{"an int of 30 digits", `{"a":100000000000000000000000000000}`, 400004},
		{"an int too large in an array", `{"a":[9007199254740993]}`, 400004},
		{"a large double", `{"a":1e21}`, 0}, {"no double", `{"a":1e400}`, 400004},
		{"depth 10", deep(10, `{"o":`, `1`, `}`), 0}, {"depth 11", deep(11, `{"o":`, `1`, `}`), 400004},
		{"arrays, depth 10", deep(10, `[`, `1`, `]`), 0}, {"arrays, depth 11", deep(11, `[`, `1`, `]`), 400004},
		{"mixed, depth 10", deep(5, `[{"o":`, `1`, `}]`), 0}, {"mixed, depth 11", deep(5, `[{"o":`, `[]`, `}]`), 400004},
		{"very deep", deep(9000, `[`, ``, `]`), 400004}, {"deeper than JSON", deep(20000, `[`, ``, `]`), 400006},
		{"array", `[1]`, 400004}, {"text", `"a"`, 400004}, {"number", `5`, 400004}, {"null", `null`, 400004},
		{"nothing", ``, 400006}, {"cut off", `{"a":1`, 400006}, {"two", `{"a":1}{}`, 400006}, {"NaN", `{"a":NaN}`, 400006},
		{"not UTF-8", "{\"a\":\"\xff\"}", 400006},
		{"leading zero", `{"a":01}`, 400006},
	}
	for _, tt := range tests {
		_, f := (&Options{}).parsePatch([]byte(tt.patch), true)
		got := 0
		if f != nil {
			got = f.Code
		}
		if got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.desc, got, tt.want)
		}
	}
}

func TestSectionLimit(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	full := `{`
	for i := range 8 { // 8·(3+4093) = 32768
		full += `"k0` + string(rune('0'+i)) + `":"` + letters(4093) + `",`
	}
	full = strings.TrimSuffix(full, ",") + `}`
	setDesired(t, h, "dev1", full)
	_, err := h.SetDesired("dev1", `{"k8":true}`)
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Status != 403 || status.Code != 403100 || !errors.Is(err, transport.ErrRejected) {
		t.Errorf("a ninth key: got %v, want 403 and 403100", err)
	}
	if got := twinOf(t, h, "dev1").Desired; got.Version != 2 || string(got.JSON) != full {
		t.Errorf("after a refusal: got version %d and %d bytes, want 2 and %d", got.Version, len(got.JSON), len(full))
	}
	// A twin over the limit (of an older rule) may shrink, and stay over it.
	h.mu.Lock()
	s := &h.identities["dev1"].twin.desired
	s.doc = merge(s.doc, jsondoc.New("k8", letters(4096), "k9", letters(4096)), MergeRFC7396)
	h.mu.Unlock()
	setDesired(t, h, "dev1", `{"k9":null}`)
	setDesired(t, h, "dev1", `{"k8":"`+letters(4000)+`"}`)
	if _, err := h.SetDesired("dev1", `{"k8":"`+letters(4001)+`"}`); err == nil {
		t.Errorf("growing above the limit: got it accepted")
	}
}

func TestRewriteNumbers(t *testing.T) {
	tests := map[string]string{
		"1.10": "1.1", "1e21": "1E+21", "1": "1", "-0": "-0", "1.0": "1.0", "5e2": "500.0", "0.1e-9": "1E-10",
		"100000000000000.5": "100000000000000.5", "1e15": "1E+15", "0.00001": "0.00001", "123.456e5": "12345600.0",
	}
	for in, want := range tests {
		if got := string(rewriteNumber(json.Number(in))); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	h := New(t, &Options{RewriteNumbers: true})
	addDevice(t, h, "dev1")
	setDesired(t, h, "dev1", `{"a":1.10,"l":[1e21,{"x":2.50}]}`)
	if got, want := string(twinOf(t, h, "dev1").Desired.JSON), `{"a":1.1,"l":[1E+21,{"x":2.5}]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNumbersKeepTheirText(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	const doc = `{"a":1.10,"b":1e21,"c":-0,"d":1E+2}`
	setDesired(t, h, "dev1", doc)
	if got := string(twinOf(t, h, "dev1").Desired.JSON); got != doc {
		t.Errorf("got %s, want %s", got, doc)
	}
}

func TestTextsSurvive(t *testing.T) {
	h := New(t, nil)
	addDevice(t, h, "dev1")
	const doc = `{"<&>":"\"\\\n\u0000é€😀</script> ` + "\u2028" + `","k\"":"\\"}`
	setDesired(t, h, "dev1", doc)
	var got, want map[string]string
	if err := json.Unmarshal(twinOf(t, h, "dev1").Desired.JSON, &got); err != nil {
		t.Fatalf("the hub's JSON: %v", err)
	}
	if err := json.Unmarshal([]byte(doc), &want); err != nil {
		t.Fatalf("the test's JSON: %v", err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVersionsAndMetadata(t *testing.T) {
	now := time.Date(2025, 12, 31, 1, 2, 3, 4500, time.UTC)
	h := New(t, &Options{Now: func() time.Time { return now }})
	addDevice(t, h, "dev1")
	tw := twinOf(t, h, "dev1")
	if tw.Version != 2 || tw.ETag != "AAAAAAAAAAE=" || tw.Desired.Version != 1 || tw.Reported.Version != 1 || string(tw.Desired.JSON) != "{}" {
		t.Errorf("a new twin: got %+v", tw)
	}
	if got, want := string(tw.Desired.Metadata), `{"$lastUpdated":"2025-12-31T01:02:03.0000045Z"}`; got != want {
		t.Errorf("metadata of a new twin: got %s, want %s", got, want)
	}
	setDesired(t, h, "dev1", `{"a":{"b":1,"c":[{"x":1}]},"d":2}`)
	now = now.Add(time.Hour)
	setDesired(t, h, "dev1", `{"a":{"b":null}}`)
	tw = twinOf(t, h, "dev1")
	if tw.Version != 4 || tw.ETag != "AAAAAAAAAAM=" || tw.Desired.Version != 3 || tw.Reported.Version != 1 {
		t.Errorf("after two writes: got %+v", tw)
	}
	const first, second = `"$lastUpdated":"2025-12-31T01:02:03.0000045Z","$lastUpdatedVersion":2`, `"$lastUpdated":"2025-12-31T02:02:03.0000045Z","$lastUpdatedVersion":3`
	if got, want := string(tw.Desired.Metadata), `{`+second+`,"a":{`+second+`,"c":{`+first+`}},"d":{`+first+`}}`; got != want {
		t.Errorf("metadata: got  %s\nwant %s", got, want)
	}
	setDesired(t, h, "dev1", `{"a":5}`)
	if _, err := h.ReplaceDesired("dev1", `{"a":5}`); err != nil {
		t.Fatalf("ReplaceDesired: %v", err)
	}
	const last = `"$lastUpdated":"2025-12-31T02:02:03.0000045Z","$lastUpdatedVersion":5`
	if got, want := string(twinOf(t, h, "dev1").Desired.Metadata), `{`+last+`,"a":{`+last+`}}`; got != want {
		t.Errorf("metadata after a replacement: got  %s\nwant %s", got, want)
	}
	if _, err := h.ReplaceDesired("dev1", `{"a":null}`); !errors.Is(err, transport.ErrRejected) { // M16
		t.Errorf("replacing with a null: got %v, want it rejected", err)
	}
}
