package jsondoc

import (
	"errors"
	"testing"
)

func TestEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[1,{"c":null}]}`, `{"b":[1.0,{"c":null}],"a":1e0}`, true},
		{`{"a":1}`, `{"a":1,"b":2}`, false}, {`{"a":1}`, `{"b":1}`, false}, {`[1]`, `[1,2]`, false}, {`[1,2]`, `[2,1]`, false},
		{`"1"`, `1`, false}, {`true`, `true`, true}, {`null`, `false`, false}, {`{}`, `[]`, false},
		{`4503599627370495`, `4503599627370494`, false},
	}
	for _, tt := range tests {
		a, errA := Parse([]byte(tt.a))
		b, errB := Parse([]byte(tt.b))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatalf("parse: %v", err)
		}
		if got := Equal(a, b); got != tt.want {
			t.Errorf("%s and %s: got %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}
