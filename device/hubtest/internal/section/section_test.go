package section

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/device/hubtest/internal/jsondoc"
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
		if got := string(jsondoc.Append(nil, Rules{}.Apply(stored, patch))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.id, got, tt.want)
		}
		want := tt.keepsNulls
		if want == "" {
			want = tt.want
		}
		if got := string(jsondoc.Append(nil, Rules{Merge: KeepNulls}.Apply(stored, patch))); got != want {
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
		if got := string(jsondoc.Append(nil, Rules{Merge: Empties}.Apply(object(t, tt.stored), object(t, tt.patch)))); got != tt.want {
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
		told := Replacement(old, doc)
		if got := string(jsondoc.Append(nil, told)); got != tt.want {
			t.Errorf("%s to %s: got %s, want %s", tt.old, tt.doc, got, tt.want)
		}
		if got := string(jsondoc.Append(nil, Rules{}.Apply(old, told))); got != tt.doc {
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
		_, f := Rules{}.Parse([]byte(tt.patch), true)
		got := 0
		if f != nil {
			got = f.Code
		}
		if got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.desc, got, tt.want)
		}
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
}

// FuzzPatch: what passes the rules merges into a document that passes them
// too, whole, within the limit, and with what the merge laws ask.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":{"c":[1,{"d":"e"}],"f":null},"":true}`, `{"a":{"b":null}}`, `{"a.b":1}`, `{"n":-4503599627370496,"f":1.10,"g":1e-400}`,
		`{"a":1,"a":{"b":2}}`, `[`, `{"\ud800":"\u0000"}`, `{"温度":21.5}`,
	} {
		f.Add([]byte(s), []byte(`{"a":{"x":1},"z":[]}`))
	}
	f.Fuzz(func(t *testing.T, patchText, docText []byte) {
		var r Rules
		doc, f1 := r.Parse(docText, false)
		patch, f2 := r.Parse(patchText, true)
		if f1 != nil || f2 != nil {
			return
		}
		merged := r.Apply(doc, patch)
		text := jsondoc.Append(nil, merged)
		if !utf8.Valid(text) {
			t.Errorf("merged: got %q, which is not UTF-8", text)
		}
		again, f3 := r.Parse(text, false)
		if f3 != nil || !jsondoc.Equal(again, merged) || size(again) != size(merged) {
			t.Errorf("%s and %s: got %s, which reads back as %v (%v)", docText, patchText, text, again, f3)
		}
		if twice := r.Apply(merged, patch); !jsondoc.Equal(twice, merged) {
			t.Errorf("merging %s twice: got %v, want %v", patchText, twice, merged)
		}
		if told := r.Apply(doc, Replacement(doc, merged)); !jsondoc.Equal(told, merged) {
			t.Errorf("a client told of the replacement: got %v, want %v", told, merged)
		}
	})
}

func letters(n int) string { return strings.Repeat("x", n) }
