package twin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParseDocument(t *testing.T) {
	d, err := ParseDocument([]byte(goodDocument))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"desired":{"climate":{"mode":"é😀€\n","on":true,"temperature":-21.5e0},"list":[1,null,{"x":false}],"$version":4},` +
		`"reported":{"":0,"@this":{},"x*":[],"$version":7}}`
	if got := d.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if b, err := json.Marshal(d); string(b) != want || err != nil {
		t.Errorf("marshalled: got %s, %v; want %s", b, err, want)
	}
	again, err := ParseDocument(d.JSON())
	if err != nil || again.String() != want {
		t.Errorf("read back: got %v, %v; want %s", again, err, want)
	}
	if got, want := (Document{}).String(), `{"desired":{},"reported":{}}`; got != want {
		t.Errorf("zero: got %s, want %s", got, want)
	}
}

func TestParseDocumentErrors(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                          "of kind array",
		`{}`:                          "section desired is missing",
		`{"desired":{"$version":1}}`:  "section reported is missing",
		`{"reported":{"$version":1}}`: "section desired is missing",
		`{"desired":null,"reported":{"$version":1}}`:                          "section desired is missing",
		`{"desired":{"$version":1},"reported":[]}`:                            "section reported is of kind array",
		`{"desired":{"$version":"1"},"reported":{}}`:                          "section desired has a $version of kind string",
		`{"desired":{"$version":0},"reported":{"$version":1}}`:                "section desired has a $version of 0",
		`{"Desired":{"$version":1},"reported":{"$version":1}}`:                "section desired is missing",
		`{"properties":{"desired":{"$version":1},"reported":{"$version":1}}}`: "section desired is missing",
		`{"desired":{"$version":1},"reported":{"$version":1},"desired":5}`:    "section desired is of kind number",
	} {
		_, err := ParseDocument([]byte(text))
		if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want ErrIncomplete with %q", text, err, want)
		}
	}
}

func TestParseDocumentWithoutVersions(t *testing.T) {
	for text, versions := range map[string][2]int64{
		`{"desired":{},"reported":{}}`:                           {0, 0},
		`{"desired":{"a":1,"$version":3},"reported":{}}`:         {3, 0},
		`{"desired":{"a":1},"reported":{"b":2,"$version":4}}`:    {0, 4},
		`{"desired":{"a":1,"$metadata":{}},"reported":{"b":{}}}`: {0, 0},
	} {
		d, err := ParseDocument([]byte(text))
		if got := [2]int64{d.Desired.Version(), d.Reported.Version()}; err != nil || got != versions {
			t.Errorf("%s: got versions %v, %v; want %v", text, got, err, versions)
		}
		again, err := ParseDocument(d.JSON())
		if err != nil || again.String() != d.String() {
			t.Errorf("%s: read back: got %v, %v", text, again, err)
		}
	}
}
