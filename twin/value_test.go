package twin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestKindNames(t *testing.T) {
	p := half(t, `{"b":true,"n":1,"s":"x","o":{},"a":[]}`)
	for path, want := range map[string]string{
		"": "object", "b": "bool", "n": "number", "s": "string", "o": "object", "a": "array", "x": "missing",
	} {
		if got := p.At(path).Kind().String(); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
	if got := Delete("x").At("x").Kind(); got != Null || got.String() != "null" {
		t.Errorf("a deletion: got %v, want null", got)
	}
	if got, want := Kind(99).String(), "kind 99"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestValueMissing(t *testing.T) {
	var v Value
	if v.Exists() || v.Kind() != Missing || v.JSON() != nil || v.String() != "" {
		t.Errorf("zero: got %v %v, want nothing", v.Kind(), v)
	}
	if v.At("a.b").Exists() || v.At("").Exists() {
		t.Errorf("below nothing: got something")
	}
	for key := range v.All() {
		t.Errorf("all of nothing: got %q", key)
	}
	if b, err := json.Marshal(v); string(b) != "null" || err != nil {
		t.Errorf("marshalled: got %s, %v; want null", b, err)
	}
	if !v.Equal(half(t, `{}`).At("x")) || v.Equal(half(t, `{}`).At("")) {
		t.Errorf("missing equals missing and nothing else")
	}
}

func TestValueDecode(t *testing.T) {
	p := half(t, `{"fan":{"rpm":1200,"Name":"left","tags":["a","b"],"big":9007199254740993,"price":1.10},"on":true}`)
	var fan struct {
		RPM   int      `json:"rpm"`
		Name  string   `json:"name"`
		Tags  []string `json:"tags"`
		Big   int64    `json:"big"`
		Price json.Number
	}
	if err := p.At("fan").Decode(&fan); err != nil {
		t.Fatal(err)
	}
	if fan.RPM != 1200 || fan.Name != "left" || len(fan.Tags) != 2 || fan.Big != 9007199254740993 || fan.Price != "1.10" {
		t.Errorf("got %+v", fan)
	}
	var raw json.RawMessage
	if err := p.At("fan.price").Decode(&raw); err != nil || string(raw) != "1.10" {
		t.Errorf("raw: got %s, %v; want 1.10", raw, err)
	}
}

func TestValueDecodeErrors(t *testing.T) {
	p := half(t, `{"fan":{"rpm":"fast"}}`)
	var n int
	var kind *json.UnmarshalTypeError
	err := p.At("fan").At("rpm").Decode(&n)
	var bad *DecodeError
	if !errors.As(err, &bad) || bad.Path != "fan.rpm" || !errors.As(err, &kind) {
		t.Errorf("a string as int: got %v, want a *DecodeError at fan.rpm", err)
	}
	if want := `twin: decode "fan.rpm": json: cannot unmarshal string`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
	n = 7
	err = p.At("fan.speed").Decode(&n)
	if !errors.Is(err, ErrMissing) || !errors.As(err, &bad) || bad.Path != "fan.speed" || n != 7 {
		t.Errorf("missing: got %v and %d, want ErrMissing at fan.speed and 7", err, n)
	}
	for _, into := range []any{nil, n, (*int)(nil)} {
		if err := p.At("fan.rpm").Decode(into); !errors.As(err, &bad) {
			t.Errorf("into %T: got %v, want a *DecodeError", into, err)
		}
	}
	for _, v := range p.At("fan").All() {
		if err := v.Decode(&n); !errors.As(err, &bad) || bad.Path != "fan.rpm" {
			t.Errorf("found by All: got %v, want a *DecodeError at fan.rpm", err)
		}
	}
}

func TestValueJSON(t *testing.T) {
	p := half(t, `{ "z": [1.0, "<"], "a": {"b":1e5} }`)
	const want = `{"a":{"b":1e5},"z":[1.0,"<"]}`
	if got := p.At("").String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b := p.At("").JSON()
	if len(b) != cap(b) {
		t.Errorf("got room for %d bytes, want %d, as many as there are", cap(b), len(b))
	}
	clear(b)
	if got := p.At("").String(); got != want {
		t.Errorf("after its bytes were changed: got %s, want %s", got, want)
	}
	if b, err := json.Marshal(map[string]any{"v": p.At("a")}); string(b) != `{"v":{"b":1e5}}` || err != nil {
		t.Errorf("marshalled: got %s, %v", b, err)
	}
}

func TestValueEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{`{"v":{"a":1,"b":2}}`, `{"v":{"b":2.0,"a":1}}`, true},
		{`{"v":{"a":1}}`, `{"v":{"b":1}}`, false},
		{`{"v":{"a":1}}`, `{"v":{"a":1,"b":2}}`, false},
		{`{"v":[1,2]}`, `{"v":[1,2]}`, true},
		{`{"v":[1,2]}`, `{"v":[2,1]}`, false},
		{`{"v":[]}`, `{"v":{}}`, false},
		{`{"v":"1"}`, `{"v":"\u0031"}`, true},
		{`{"v":"ab"}`, `{"v":"ba"}`, false},
		{`{"v":true}`, `{"v":false}`, false},
		{`{"v":[null]}`, `{"v":[null]}`, true},
		{`{"v":"\u0001"}`, `{"v":"\u0002"}`, false}, // of equal size
		{`{"v":12345678}`, `{"v":"12345678"}`, false},
	}
	for _, tt := range tests {
		a, b := half(t, tt.a).At("v"), half(t, tt.b).At("v")
		if got := a.Equal(b); got != tt.want {
			t.Errorf("%v = %v: got %v, want %v", a, b, got, tt.want)
		}
		if got := b.Equal(a); got != tt.want {
			t.Errorf("%v = %v: got %v, want %v", b, a, got, tt.want)
		}
	}
}

func TestValueAll(t *testing.T) {
	var got []string
	for key, v := range half(t, `{"o":{"c":3,"a":1,"b":{"x":2}}}`).At("o").All() {
		got = append(got, key+"="+v.String())
		if key == "b" {
			break
		}
	}
	if got, want := strings.Join(got, " "), `a=1 b={"x":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for key := range half(t, `{"l":[1,2]}`).At("l").All() {
		t.Errorf("an array has no members, got %q", key)
	}
}

func TestAtAllocatesNothing(t *testing.T) {
	p := half(t, `{"a":{"b":{"c":1}}}`)
	if got := testing.AllocsPerRun(100, func() { _ = p.At("a.b.c").Exists() }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
