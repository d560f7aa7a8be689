package twin

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

func TestPatchBuilding(t *testing.T) {
	tests := []struct {
		name string
		p    Patch
		want string
	}{
		{"zero", Patch{}, `{}`},
		{"set", Set("a", 1), `{"a":1}`},
		{"set deep", Set("a.b.c", true), `{"a":{"b":{"c":true}}}`},
		{"delete", Delete("a.b"), `{"a":{"b":null}}`},
		{"nil deletes", Set("a", nil), `{"a":null}`},
		{"nil pointer deletes", Set("a", (*int)(nil)), `{"a":null}`},
		{"nil map deletes", Set("a", map[string]any(nil)), `{"a":null}`},
		{"nil slice deletes", Set("a", []any(nil)), `{"a":null}`},
		{"nil raw deletes", Set("a", json.RawMessage(nil)), `{"a":null}`},
		{"several", Set("b", 2).Set("a", 1).Delete("c"), `{"a":1,"b":2,"c":null}`},
		{"side by side", Set("a.x", 1).Set("a.y", 2), `{"a":{"x":1,"y":2}}`},
		{"the last wins", Set("a", 1).Set("a", 2), `{"a":2}`},
		{"set after delete", Delete("a").Set("a", 1), `{"a":1}`},
		{"delete after set", Set("a.b", 1).Delete("a"), `{"a":null}`},
		{"above forgets below", Set("a.b", 1).Set("a", map[string]any{"c": 2}), `{"a":{"c":2}}`},
		{"below an object", Set("a", map[string]any{"c": 2}).Set("a.b", 1), `{"a":{"b":1,"c":2}}`},
		{"empty object", Set("a", map[string]any{}), `{"a":{}}`},
		{"odd keys", Set("@this", 1).Set("x*.e|f", 2).Set(`a\.b`, 3),
			`{"@this":1,"a\\":{"b":3},"x*":{"e|f":2}}`},
		{"empty keys within a value", Set("c", map[string]any{"": 4, "d": map[string]any{"": nil}}), `{"c":{"":4,"d":{"":null}}}`},
		{"from a map", From(map[string]any{"b": []any{1, nil, "x"}, "a": nil}), `{"a":null,"b":[1,null,"x"]}`},
		{"from a struct", From(struct {
			A int      `json:"a"`
			B *float64 `json:"b"`
			C string   `json:"c,omitempty"`
		}{A: 1}), `{"a":1,"b":null}`},
		{"from raw JSON", From(json.RawMessage(`{ "a" : 1.10 }`)), `{"a":1.10}`},
		{"from a patch", From(Set("a", 1)), `{"a":1}`},
		{"from nothing built", From(Patch{}), `{}`},
		{"from properties", From(half(t, `{"a":1,"$version":3}`)), `{"a":1}`},
		{"from a value", From(half(t, `{"a":{"b":1}}`).At("a")), `{"b":1}`},
		{"root", Set("a", 1).Set("", map[string]any{"b": 2}), `{"b":2}`},
		{"a patch within", Set("a", Delete("b").Set("c", 1)), `{"a":{"b":null,"c":1}}`},
		{"a value within", Set("a", half(t, `{"x":1.50}`).At("x")), `{"a":1.50}`},
		{"properties within", Set("a", half(t, `{"x":1.50}`)), `{"a":{"x":1.50}}`},
		{"integers", Set("a", []any{int(-1), int8(-2), uint8(3), int64(math.MinInt64), uint64(math.MaxUint64)}),
			`{"a":[-1,-2,3,-9223372036854775808,18446744073709551615]}`},
		{"floats", Set("a", []any{21.5, float32(0.1), 1e21, 1e-7, 100.0}), `{"a":[21.5,0.1,1e+21,1e-7,100]}`},
		{"number text", Set("a", json.Number("1.10")), `{"a":1.10}`},
		{"durations and times", Set("a", []any{time.Second, time.Unix(0, 0).UTC()}), `{"a":[1000000000,"1970-01-01T00:00:00Z"]}`},
		{"text", Set("a", "<é\u2028\x00\ufffd>"), `{"a":"<é` + "\u2028" + `\u0000` + "\ufffd" + `>"}`},
		{"text by encoding/json", Set("a", []string{"<é\u2028\x00\ufffd>", `\ufffd`}),
			`{"a":["<é` + "\u2028" + `\u0000` + "\ufffd" + `>","\\ufffd"]}`},
		{"bytes are base64", Set("a", []byte("abc")), `{"a":"YWJj"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.p.Err(); err != nil {
				t.Fatal(err)
			}
			if got := tt.p.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if b, err := json.Marshal(tt.p); err != nil || change(t, string(b)).String() != tt.want {
				t.Errorf("marshalled: got %s, %v; want %s", b, err, tt.want)
			}
			if got, want := tt.p.IsEmpty(), tt.want == "{}"; got != want {
				t.Errorf("empty: got %v, want %v", got, want)
			}
			treetest.Sound(t, tt.p.root)
		})
	}
}

// many is a map that holds itself 2^n times, in little room.
func many(n int) any {
	var v any = "leaf"
	for range n {
		v = map[string]any{"a": v, "b": v}
	}
	return v
}

func repeated(v any, n int) []any { return slices.Repeat([]any{v}, n) }

func manyPatch(n int) Patch {
	p := Set("x", 1)
	for range n {
		p = Set("a", p).Set("b", p)
	}
	return p
}

func TestPatchErrors(t *testing.T) {
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	type ring struct{ Next *ring }
	loop := &ring{}
	loop.Next = loop
	slice := []any{nil}
	slice[0] = slice
	tests := []struct {
		name string
		p    Patch
		want string
	}{
		{"not an object", From(5), "want an object, got number"},
		{"nil", From(nil), "got null"},
		{"a missing value", Set("a", Value{}), "no such value"},
		{"delete everything", Delete(""), "got null"},
		{"root set to a list", Set("", []int{1}), "got array"},
		{"NaN", Set("a.b", math.NaN()), `patch at "a.b": json: unsupported value: NaN`},
		{"infinite", Set("a", map[string]any{"b": []any{math.Inf(-1)}}), "unsupported value: -Inf"},
		{"func", Set("a", func() {}), "unsupported type: func()"},
		{"channel", Set("a", []any{make(chan int)}), "unsupported type: chan int"},
		{"cyclic map", Set("a", cyclic), "more than 64 levels"},
		{"cyclic slice", Set("a", slice), "more than 64 levels"},
		{"cyclic pointers", Set("a", loop), "cycle"},
		{"very many", Set("a", many(60)), "more than 524288 bytes"},
		{"very many patches", manyPatch(60), "more than 524288 bytes"},
		{"many elements", Set("a", make([]any, 600_000)), "more than 524288 bytes"},
		{"many empty maps", Set("a", repeated(map[string]any{}, 300_000)), "more than 524288 bytes"},
		{"many empty slices", Set("a", repeated([]any{}, 300_000)), "more than 524288 bytes"},
		{"many keys", Set("a", map[string]any{strings.Repeat("k", 300_000): 1, strings.Repeat("l", 300_000): 1}), "more than 524288 bytes"},
		{"a large string", Set("a", strings.Repeat("x", 600_000)), "more than 524288 bytes"},
		{"large in sum", Set("a", strings.Repeat("x", 300_000)).Set("b", strings.Repeat("x", 300_000)), "more than 524288 bytes"},
		{"a large raw text", Set("a", json.RawMessage(`"`+strings.Repeat("x", 600_000)+`"`)), "at most 524288"},
		{"deep in sum", Set(strings.Repeat("a.", 40)+"a", json.RawMessage(strings.Repeat("[", 40)+strings.Repeat("]", 40))), "more than 64 levels"},
		{"a deep path", Set(strings.Repeat("a.", 64)+"a", 1), "at most 64"},
		{"path not UTF-8", Set("a.\xff", 1), "not UTF-8"},
		{"string not UTF-8", Set("a", "x\xff"), "not UTF-8"},
		{"key not UTF-8", Set("a", map[string]any{"\xff": 1}), "not UTF-8"},
		{"string in a struct not UTF-8", Set("a", []string{"\xff"}), "not UTF-8"},
		{"key in a map not UTF-8", Set("a", map[string]int{"\xff": 1}), "not UTF-8"},
		{"bad raw JSON", Set("a", json.RawMessage(`{`)), "too early"},
		{"half a surrogate", Set("a", json.RawMessage(`"\ud800"`)), "surrogate"},
		{"empty raw JSON", Set("a", json.RawMessage{}), "too early"},
		{"the hub's key", Set("$version", 3), `key "$version" belongs to the hub`},
		{"the hub's key from a map", From(map[string]any{"a": 1, "$x": 2}), `key "$x" belongs to the hub`},
		{"a failed patch within", Set("a", Set("b", math.NaN())), "NaN"},
		{"a failed patch as root", From(Set("b", math.NaN())), "NaN"},
		{"the first error stays", Set("a", math.NaN()).Set("b", 1).Delete("c"), `at "a"`},
		{"below a scalar", Set("a", 5).Set("a.b", 1), "number stands above it"},
		{"below a deletion", Delete("a").Set("a.b", 1), "null stands above it"},
		{"deletion below an array", Set("a", []int{1}).Delete("a.b.c"), `"a" is an array, and arrays are whole values; set all of it, or read it by Value.Index`},
		{"an element of an array", Set("a.list", []int{1}).Set("a.list.0", 2), `"a.list" is an array`},
		{"replacing an element", Set("list", []int{1}).Replace("list.0", struct{}{}), `"list" is an array`},
		{"a component in an array", Set("list", []int{1}).Component("list"), `"list" is an array`},
		{"a value out of an array", Set("x", Set("list", []int{1}).At("list.0")), `"list" is an array`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.p.Err()
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want ErrInvalid with %q", err, tt.want)
			}
			if n := strings.Count(err.Error(), ErrInvalid.Error()); n != 1 || len(err.Error()) > 400 {
				t.Errorf("got %q: it says %d times that it is invalid", err, n)
			}
			if got := tt.p.String(); got != "{}" || tt.p.IsEmpty() {
				t.Errorf("got %s, empty: %v; want {}, but not empty", got, tt.p.IsEmpty())
			}
			if _, err := json.Marshal(tt.p); !errors.Is(err, ErrInvalid) {
				t.Errorf("marshalled: got %v, want ErrInvalid", err)
			}
			if err := Validate(Properties{}, tt.p); !errors.Is(err, ErrInvalid) {
				t.Errorf("validated: got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestPatchNeverChanges(t *testing.T) {
	m := map[string]any{"x": []any{1}}
	p := Set("a", m)
	m["x"].([]any)[0] = 2
	m["y"] = 3
	q := p.Set("b", 1).Delete("a.x")
	if got, want := p.String(), `{"a":{"x":[1]}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := q.String(), `{"a":{"x":null},"b":1}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	raw := json.RawMessage(`{"a":"text"}`)
	r := From(raw)
	clear(raw)
	clear(r.JSON())
	if got, want := r.String(), `{"a":"text"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPatchReading(t *testing.T) {
	p := Set("a.b", 1).Delete("a.c").Set("l", []int{1}).Set("o", struct{}{})
	if got := p.At("a.c").Kind(); got != Null {
		t.Errorf("a.c: got %v, want null", got)
	}
	if p.At("a.d").Exists() || !p.At("").Exists() {
		t.Errorf("got a.d and no root, want a root and no a.d")
	}
	var keys, paths []string
	for key := range p.At("").All() {
		keys = append(keys, key)
	}
	for path, v := range p.Paths() {
		paths = append(paths, path+"="+v.String())
	}
	if got, want := strings.Join(keys, " "), "a l o"; got != want {
		t.Errorf("all: got %s, want %s", got, want)
	}
	if got, want := strings.Join(paths, " "), "a.b=1 a.c=null l=[1] o={}"; got != want {
		t.Errorf("paths: got %s, want %s", got, want)
	}
	for range p.Paths() {
		break
	}
	for path := range (Patch{}).Paths() {
		t.Errorf("paths of nothing: got %q", path)
	}
}

func TestParsePatch(t *testing.T) {
	p, err := ParsePatch([]byte(` {"b":[null],"a":null,"a":{"$x":null}} `))
	if want := `{"a":{"$x":null},"b":[null]}`; err != nil || p.String() != want {
		t.Errorf("got %v, %v; want %s", p, err, want)
	}
	for text, want := range map[string]string{
		``:                 "too early",
		`[]`:               "want an object, got array",
		`null`:             "got null",
		`{"$version":1}`:   "belongs to the hub",
		`{"a":"\udc00"}`:   "surrogate",
		"{\"a\":\"\xff\"}": "UTF-8",
	} {
		p, err := ParsePatch([]byte(text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", text, err, want)
		}
		if !p.IsEmpty() {
			t.Errorf("%s: got %v, want nothing", text, p)
		}
	}
	if _, err := ParsePatch([]byte(`{`)); !errors.Is(err, ErrSyntax) {
		t.Errorf("cut short: got %v, want ErrSyntax as well", err)
	}
}

func TestParseNotification(t *testing.T) {
	for text, want := range map[string]struct {
		patch   string
		version int64
	}{
		`{"a":1,"$version":8}`:               {`{"a":1}`, 8},
		`{"a":null,"o":{"b":null}}`:          {`{"a":null,"o":{"b":null}}`, 0},
		`{"$version":3,"$metadata":{}}`:      {`{}`, 3},
		`{"x":{"$y":1},"#":2,"$version":1}`:  {`{"#":2,"x":{"$y":1}}`, 1},
		`{"a":"\ud800","$version":2}`:        {`{"a":"` + "\ufffd" + `"}`, 2},
		`{"$version":1,"a":1,"$version":02}`: {},
		`{"$version":null}`:                  {},
		`{"$version":0}`:                     {},
		`{"$version":"8"}`:                   {},
		`[]`:                                 {},
		`null`:                               {},
		``:                                   {},
	} {
		p, version, err := ParseNotification(tree.Key{}, []byte(text))
		if want.patch == "" {
			if !errors.Is(err, ErrIncomplete) && !errors.Is(err, ErrSyntax) {
				t.Errorf("%s: got %v %d, %v; want an error", text, p, version, err)
			}
			continue
		}
		if err != nil || p.String() != want.patch || version != want.version {
			t.Errorf("%s: got %v %d, %v; want %s %d", text, p, version, err, want.patch, want.version)
		}
	}
}

func TestAck(t *testing.T) {
	p := Set("thermostat1.targetTemperature", Ack{Value: 21.5, Code: AckOK, Version: 3, Description: "done"}).
		Set("on", Ack{Value: half(t, `{"on":1.50}`).At("on"), Code: AckPending, Version: 4}).
		Set("gone", Ack{Code: AckDefault})
	want := `{"gone":{"ac":203,"av":0,"value":null},"on":{"ac":202,"av":4,"value":1.50},` +
		`"thermostat1":{"targetTemperature":{"ac":200,"ad":"done","av":3,"value":21.5}}}`
	if got := p.String(); got != want || p.Err() != nil {
		t.Errorf("got %s, %v; want %s", got, p.Err(), want)
	}
	b, err := json.Marshal(Ack{Value: "<x>", Code: AckBad, Version: 9, Description: "no"})
	if want := `{"value":"\u003cx\u003e","ac":400,"av":9,"ad":"no"}`; string(b) != want || err != nil {
		t.Errorf("got %s, %v; want %s", b, err, want)
	}
	if err := Set("a", Ack{Value: make(chan int), Code: AckFailed}).Err(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a channel acknowledged: got %v, want ErrInvalid", err)
	}
}
