package twin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

func TestParseProperties(t *testing.T) {
	p, err := ParseProperties([]byte(`{"b":{"c":null,"d":[null,{"e":null}]},"a":1.50,"gone":null,
		"$version":12,"$metadata":{"$lastUpdated":"x"},"$":0,"x":{"$y":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Version(), int64(12); got != want {
		t.Errorf("version: got %d, want %d", got, want)
	}
	if got, want := p.String(), `{"a":1.50,"b":{"d":[null,{"e":null}]},"x":{"$y":1},"$version":12}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	treetest.Sound(t, p.root)
}

func TestParsePropertiesErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"$version":"1"}`:                  "of kind string",
		`{"$version":{}}`:                   "of kind object",
		`{"$version":0}`:                    "of 0, not an integer from 1 on",
		`{"$version":-1}`:                   "of -1",
		`{"$version":1.0}`:                  "of 1.0",
		`{"$version":1e3}`:                  "of 1e3",
		`{"$version":9223372036854775808}`:  "of 9223372036854775808",
		`{"$version":2,"$version":0}`:       "of 0",
		`[]`:                                "of kind array, not an object",
		`null`:                              "of kind null",
		`3`:                                 "of kind number",
		`{"$version":` + digits(5000) + `}`: "…",
	} {
		_, err := ParseProperties([]byte(text))
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%s: got %v, want ErrIncomplete with %q", clip(text), err, want)
		}
	}
	if _, err := ParseProperties([]byte(`{"$version":1`)); !errors.Is(err, ErrSyntax) {
		t.Errorf("cut short: got %v, want ErrSyntax", err)
	}
	if p, err := ParseProperties([]byte(`{"$version":9223372036854775807}`)); err != nil || p.Version() != 1<<63-1 {
		t.Errorf("the last version: got %d, %v", p.Version(), err)
	}
}

func TestParsePropertiesWithoutVersion(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `{}`, `{"$version":null}`: `{}`, `{"a":{"$version":1}}`: `{"a":{"$version":1}}`, `{"b":2,"$metadata":{},"a":1}`: `{"a":1,"b":2}`,
	} {
		p, err := ParseProperties([]byte(text))
		if err != nil || p.Version() != 0 || p.String() != want {
			t.Errorf("%s: got %v at version %d, %v; want %s", text, p, p.Version(), err, want)
		}
	}
}

func digits(n int) string { return strings.Repeat("9", n) }

func TestPropertiesText(t *testing.T) {
	for _, text := range []string{
		`{"$version":1}`, `{"a":1,"$version":2}`, `{"":1,"!":2,"a":{},"$version":3}`,
	} {
		p, err := ParseProperties([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.String(); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
		if b, err := json.Marshal(p); string(b) != text || err != nil {
			t.Errorf("marshalled: got %s, %v; want %s", b, err, text)
		}
		if got, want := p.WithVersion(0).String(), p.At("").String(); got != want {
			t.Errorf("without version: got %s, want %s", got, want)
		}
	}
	if got, want := (Properties{}).WithVersion(4).String(), `{"$version":4}`; got != want {
		t.Errorf("nothing at 4: got %s, want %s", got, want)
	}
}

func TestPropertiesZero(t *testing.T) {
	var p Properties
	if p.Version() != 0 || p.String() != "{}" || p.At("").Kind() != Object || p.At("a").Exists() {
		t.Errorf("zero: got %v at %d, want an empty object at 0", p, p.Version())
	}
	if !p.Equal(half(t, `{}`)) || !half(t, `{}`).Equal(p) || p.Equal(half(t, `{"a":1}`)) {
		t.Errorf("zero equals empty and nothing else")
	}
	for key := range p.All() {
		t.Errorf("all of nothing: got %q", key)
	}
	if got := p.WithVersion(-5).Version(); got != 0 {
		t.Errorf("at -5: got version %d, want 0", got)
	}
}

func TestPropertiesEqualIgnoresVersion(t *testing.T) {
	p := half(t, `{"a":1}`)
	if !p.Equal(p.WithVersion(9)) {
		t.Errorf("got unequal, want equal")
	}
	if got := p.WithVersion(9).Version(); got != 9 {
		t.Errorf("got version %d, want 9", got)
	}
}

func TestPropertiesAll(t *testing.T) {
	var got []string
	for key, v := range half(t, `{"b":2,"":0,"a":1}`).All() {
		got = append(got, key+"="+v.String())
	}
	if got, want := strings.Join(got, " "), "=0 a=1 b=2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
