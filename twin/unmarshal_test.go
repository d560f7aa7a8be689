package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

const unmarshaledTwin = `{"desired":{"a":1.10,"$version":2},"reported":{"$version":1}}`

// TestUnmarshal: what is not null is never lost in silence.
func TestUnmarshal(t *testing.T) {
	type inner struct{ Value }
	type all struct {
		V  Value
		P  Patch
		H  Properties
		D  Document
		PV *Value
		PP *Patch
		PD **Document
		S  []Value
		SP []*Patch
		M  map[string]Value
		MP map[string]*Properties
		A  [2]Value
		E  inner
		N  struct{ Deep []map[string]Value }
	}
	const text = `{"V":{"x":[1.10,null]},"P":{"a":null},"H":{"b":2,"$version":7,"$metadata":{}},"D":` + unmarshaledTwin + `,
		"PV":5,"PP":{"c":{"d":null}},"PD":` + unmarshaledTwin + `,"S":[1,"x",null,{}],"SP":[{"e":1},null],
		"M":{"k":false,"n":null},"MP":{"k":{"$version":1},"n":null},"A":[[],-0],"E":{"x":1},"N":{"Deep":[{"k":[0]}]}}`
	var v all
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[fmt.Stringer]string{
		&v.V: `{"x":[1.10,null]}`, &v.P: `{"a":null}`, &v.H: `{"b":2,"$version":7}`, &v.D: unmarshaledTwin,
		v.PV: `5`, v.PP: `{"c":{"d":null}}`, *v.PD: unmarshaledTwin,
		&v.S[0]: `1`, &v.S[1]: `x`, &v.S[2]: `null`, &v.S[3]: `{}`, v.SP[0]: `{"e":1}`,
		&v.A[0]: `[]`, &v.A[1]: `-0`, &v.E: `{"x":1}`,
	} {
		if got.String() != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	if got := v.M["k"]; got.Kind() != Bool {
		t.Errorf("in a map: got %v, want false", got)
	}
	if got := v.M["n"]; got.Kind() != Null {
		t.Errorf("null in a map: got %v, want null", got.Kind())
	}
	if got := v.MP["k"]; got == nil || got.Version() != 1 {
		t.Errorf("in a map of pointers: got %v", got)
	}
	if v.SP[1] != nil || v.MP["n"] != nil {
		t.Errorf("null for pointers: got %v and %v, want nil", v.SP[1], v.MP["n"])
	}
	if got := v.N.Deep[0]["k"].String(); got != `[0]` {
		t.Errorf("deep: got %s", got)
	}
	var list []Document
	if err := json.Unmarshal([]byte(`[`+unmarshaledTwin+`]`), &list); err != nil || len(list) != 1 || list[0].Desired.Version() != 2 {
		t.Errorf("a list of twins: got %v, %v", list, err)
	}
	dec := json.NewDecoder(strings.NewReader(` {"a":1} 5 `))
	var p Patch
	var n Value
	if err := errors.Join(dec.Decode(&p), dec.Decode(&n)); err != nil || p.String() != `{"a":1}` || n.String() != "5" {
		t.Errorf("from a stream: got %v and %v, %v", p, n, err)
	}
}

// TestUnmarshalNull: null is a value to a Value, and has no effect on the rest.
func TestUnmarshalNull(t *testing.T) {
	doc, err := ParseDocument([]byte(unmarshaledTwin))
	if err != nil {
		t.Fatal(err)
	}
	was := struct {
		V Value
		P Patch
		H Properties
		D Document
	}{doc.Desired.At("a"), Set("a", 1), doc.Desired, doc}
	is := was
	if err := json.Unmarshal([]byte(`{"V":null,"P":null,"H":null,"D":null}`), &is); err != nil {
		t.Fatal(err)
	}
	if is.V.Kind() != Null {
		t.Errorf("value: got %v, want null", is.V.Kind())
	}
	if is.P.String() != `{"a":1}` || !is.H.Equal(was.H) || is.H.Version() != 2 || is.D.String() != unmarshaledTwin {
		t.Errorf("got %v, %v and %v, want what there was", is.P, is.H, is.D)
	}
	is = was
	if err := json.Unmarshal([]byte(`{}`), &is); err != nil || !is.V.Equal(was.V) || is.P.String() != `{"a":1}` {
		t.Errorf("not there: got %v and %v, %v", is.V, is.P, err)
	}
	var p Patch
	if err := p.UnmarshalJSON([]byte(" null\n")); err != nil || !p.IsEmpty() {
		t.Errorf("null as a patch: got %v, %v, want nothing", p, err)
	}
}

// TestUnmarshalErrors: what is refused changes nothing.
func TestUnmarshalErrors(t *testing.T) {
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	doc, err := ParseDocument([]byte(unmarshaledTwin))
	if err != nil {
		t.Fatal(err)
	}
	v, p, h, d := doc.Desired.At("a"), Set("a", 1), doc.Desired, doc
	for _, tt := range []struct {
		text string
		into any
		want error
	}{
		{deep, &v, ErrSyntax},
		{"\"\xff\"", &v, ErrSyntax},
		{`"` + strings.Repeat("x", 1_100_000) + `"`, &v, ErrSyntax},
		{`5`, &p, ErrInvalid},
		{`[]`, &p, ErrInvalid},
		{`{"$version":5}`, &p, ErrInvalid},
		{`{"a":"\ud800"}`, &p, ErrSyntax},
		{`{"a":` + deep + `}`, &p, ErrInvalid},
		{`{"$version":"5"}`, &h, ErrIncomplete},
		{`[]`, &h, ErrIncomplete},
		{`{"desired":{"$version":1}}`, &d, ErrIncomplete},
		{`{"desired":{"$version":1},"reported":null}`, &d, ErrIncomplete},
		{`{}`, &d, ErrIncomplete},
		{`true`, &d, ErrIncomplete},
	} {
		if err := json.Unmarshal([]byte(tt.text), tt.into); !errors.Is(err, tt.want) {
			t.Errorf("%.40s into %T: got %v, want %v", tt.text, tt.into, err, tt.want)
		}
		within := map[string]json.RawMessage{"k": json.RawMessage(tt.text)}
		if text, err := json.Marshal(within); err == nil {
			if err := json.Unmarshal(text, &struct{ K any }{tt.into}); !errors.Is(err, tt.want) {
				t.Errorf("%.40s into a field %T: got %v, want %v", tt.text, tt.into, err, tt.want)
			}
		}
	}
	if v.String() != "1.10" || p.String() != `{"a":1}` || h.Version() != 2 || d.String() != unmarshaledTwin {
		t.Errorf("a refused text changed something: %v, %v, %v, %v", v, p, h, d)
	}
	if err := json.Unmarshal([]byte(`{"a":1}`), &struct{ *Patch }{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("into an embedded nil pointer: got %v, want ErrInvalid", err)
	}
	if err := json.Unmarshal([]byte(`{"a":1}`), &struct{ *Value }{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("into an embedded nil pointer: got %v, want ErrInvalid", err)
	}
	into := Set("x", func() {}) // failed
	if err := json.Unmarshal([]byte(`{"a":1}`), &into); err != nil || into.Err() != nil || into.String() != `{"a":1}` {
		t.Errorf("over a failed patch: got %v, %v", into, err)
	}
}

func TestLawMarshalThenUnmarshal(t *testing.T) {
	d := newDice(t)
	for range cases / 4 {
		v := change(t, `{"v":`+d.value(3, true)+`}`).At("v")
		comesBack(t, v)
		comesBack(t, []Value{v, v.At("a")}[:1])
		comesBack(t, map[string]Value{"<&>": v})
		comesBack(t, struct{ V *Value }{&v})
		comesBack(t, change(t, d.object(3, true)))
		comesBack(t, half(t, d.object(3, false)))
		comesBack(t, Document{half(t, d.object(2, false)), half(t, d.object(2, false)).WithVersion(9)})
		var direct Value
		if err := direct.UnmarshalJSON(v.JSON()); err != nil || direct.String() != v.String() {
			t.Fatalf("%v came back as %v, %v", v, direct, err)
		}
	}
}

// comesBack checks that json.Unmarshal makes of v's JSON what v is, numbers as
// they were written.
func comesBack[T any](t *testing.T, v T) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v: %v", v, err)
	}
	var back T
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatalf("%s into %T: %v", text, back, err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Fatalf("%T %s came back as %s, %v", v, text, again, err)
	}
}

// TestTextNeverGrows: what was read within the bounds can be written and read
// again.
func TestTextNeverGrows(t *testing.T) {
	for _, escape := range []string{`\b`, `\f`, `\n`, `\"`, `\/`, `\u0000`, `\u0008`, `\ud800`, "\x7f", "é", `\u00e9`} {
		text := `{"a":"` + strings.Repeat(escape, 500_000/len(escape)) + `"}`
		var v Value
		if err := v.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := len(v.JSON()); got > len(text) {
			t.Errorf("%s: %d bytes became %d", escape, len(text), got)
		}
		if err := v.UnmarshalJSON(v.JSON()); err != nil {
			t.Errorf("%s: its own text: %v", escape, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range append(seeds(), `null`, ` null `, `{"$version":1,"a":null}`, "{\"\b\":1}", unmarshaledTwin) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v Value
		var p Patch
		var h Properties
		var d Document
		valid := json.Valid(b)
		null := strings.TrimSpace(string(b)) == "null"
		if err := json.Unmarshal(b, &v); err == nil {
			if !v.Exists() {
				t.Fatalf("%s yields nothing", b)
			}
			comesBack(t, v)
		} else if valid && utf8.Valid(b) && len(b) < 64 {
			t.Fatalf("%s: %v", b, err)
		}
		if _, err := ParsePatch(b); (err == nil || null) != (json.Unmarshal(b, &p) == nil) {
			t.Fatalf("%s: ParsePatch says %v, json.Unmarshal says otherwise", b, err)
		}
		if _, err := ParseProperties(b); (err == nil || null) != (json.Unmarshal(b, &h) == nil) {
			t.Fatalf("%s: ParseProperties says %v, json.Unmarshal says otherwise", b, err)
		} else if err == nil {
			comesBack(t, h)
		}
		if _, err := ParseDocument(b); (err == nil || null) != (json.Unmarshal(b, &d) == nil) {
			t.Fatalf("%s: ParseDocument says %v, json.Unmarshal says otherwise", b, err)
		} else if err == nil {
			comesBack(t, d)
		}
		comesBack(t, p)
	})
}

func ExampleValue_UnmarshalJSON() {
	var settings struct {
		Fan  map[string]Value `json:"fan"`
		Mode Value            `json:"mode"`
	}
	err := json.Unmarshal([]byte(`{"fan":{"rpm":1200,"dir":null}}`), &settings)
	fmt.Println(settings.Fan["rpm"], settings.Fan["dir"].Kind(), settings.Mode.Kind(), err)
	// Output: 1200 null missing <nil>
}

// A patch in a larger document: its nulls delete.
func ExamplePatch_UnmarshalJSON() {
	var job struct {
		ID     int   `json:"id"`
		Report Patch `json:"report"`
	}
	err := json.Unmarshal([]byte(`{"id":7,"report":{"uptime":5,"lastError":null}}`), &job)
	fmt.Println(job.ID, job.Report, err)
	// Output: 7 {"lastError":null,"uptime":5} <nil>
}

func ExampleProperties_UnmarshalJSON() {
	var halves []Properties
	err := json.Unmarshal([]byte(`[{"fan":{"rpm":1200},"$version":4}]`), &halves)
	fmt.Println(halves[0].At("fan.rpm"), halves[0].Version(), err)
	// Output: 1200 4 <nil>
}

func ExampleDocument_UnmarshalJSON() {
	var twins map[string]Document
	err := json.Unmarshal([]byte(`{"fan1":{"desired":{"on":true,"$version":4},"reported":{"$version":31}}}`), &twins)
	fmt.Println(twins["fan1"].Desired.At("on"), twins["fan1"].Reported.Version(), err)
	// Output: true 31 <nil>
}
