package twin

import "testing"

func TestDiff(t *testing.T) {
	tests := []struct{ name, a, b, want string }{
		{"equal", `{"a":1}`, `{"a":1}`, `{}`},
		{"both empty", `{}`, `{}`, `{}`},
		{"new", `{}`, `{"a":1}`, `{"a":1}`},
		{"gone", `{"a":1}`, `{}`, `{"a":null}`},
		{"changed", `{"a":1}`, `{"a":2}`, `{"a":2}`},
		{"deep", `{"a":{"b":{"c":1,"d":2}},"e":3}`, `{"a":{"b":{"c":1,"d":4}},"e":3}`, `{"a":{"b":{"d":4}}}`},
		{"gone below", `{"a":{"b":1,"c":2}}`, `{"a":{"c":2}}`, `{"a":{"b":null}}`},
		{"emptied", `{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":null}}`},
		{"new empty object", `{}`, `{"a":{}}`, `{"a":{}}`},
		{"object for scalar", `{"a":1}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{"scalar for object", `{"a":{"b":1}}`, `{"a":1}`, `{"a":1}`},
		{"empty object for array", `{"a":[]}`, `{"a":{}}`, `{"a":{}}`},
		{"array for empty object", `{"a":{}}`, `{"a":[]}`, `{"a":[]}`},
		{"arrays whole", `{"a":[1,2,3]}`, `{"a":[1,2]}`, `{"a":[1,2]}`},
		{"arrays in order", `{"a":[1,2]}`, `{"a":[2,1]}`, `{"a":[2,1]}`},
		{"equal arrays", `{"a":[1.0,{"x":1,"y":null}]}`, `{"a":[1,{"y":null,"x":1}]}`, `{}`},
		{"number texts", `{"a":1.10,"b":100,"c":-0}`, `{"a":11e-1,"b":1E2,"c":0}`, `{}`},
		{"string is no number", `{"a":1}`, `{"a":"1"}`, `{"a":"1"}`},
		{"bools", `{"a":true}`, `{"a":false}`, `{"a":false}`},
		{"before, between, after", `{"b":1,"d":1}`, `{"a":1,"b":1,"c":1,"d":1,"e":1}`, `{"a":1,"c":1,"e":1}`},
		{"other keys", `{"a":1,"c":1}`, `{"b":1,"d":1}`, `{"a":null,"b":1,"c":null,"d":1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := half(t, tt.a), half(t, tt.b)
			got := Diff(a, b)
			if got.String() != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
			if !Apply(a, got).Equal(b) {
				t.Errorf("%v on %v: got %v, want %v", got, a, Apply(a, got), b)
			}
			if got, want := a.Equal(b), tt.want == "{}"; got != want {
				t.Errorf("equal: got %v, want %v", got, want)
			}
		})
	}
}

func TestDiffIgnoresVersions(t *testing.T) {
	a := half(t, `{"a":1}`)
	if got := Diff(a, a.WithVersion(9)); !got.IsEmpty() {
		t.Errorf("got %v, want an empty patch", got)
	}
	if got := Diff(Properties{}, half(t, `{}`)); !got.IsEmpty() {
		t.Errorf("zero and empty: got %v, want an empty patch", got)
	}
	if got, want := Diff(Properties{}, a).String(), `{"a":1}`; got != want {
		t.Errorf("from zero: got %v, want %s", got, want)
	}
	if got, want := Diff(a, Properties{}).String(), `{"a":null}`; got != want {
		t.Errorf("to zero: got %v, want %s", got, want)
	}
}
