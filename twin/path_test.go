package twin

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

func TestSplitPath(t *testing.T) {
	tests := []struct {
		path string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{"a.b.c", []string{"a", "b", "c"}},
		{".", []string{"", ""}},
		{"a.", []string{"a", ""}},
		{".a", []string{"", "a"}},
		{"a..b", []string{"a", "", "b"}},
		{"@this.x*.e|f", []string{"@this", "x*", "e|f"}},
		{`a\.b`, []string{`a\`, "b"}},
		{"#.0.-1", []string{"#", "0", "-1"}},
		{"温度.é", []string{"温度", "é"}},
		{strings.Repeat(".", 63), make([]string, 64)},
	}
	for _, tt := range tests {
		got, err := splitPath(tt.path)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, %v; want %q", tt.path, got, err, tt.want)
		}
		if got := joinPath(tt.want); got != tt.path {
			t.Errorf("join of %q: got %q, want %q", tt.want, got, tt.path)
		}
	}
	for _, path := range []string{"\xff", "a.\xc3", strings.Repeat(".", 64), strings.Repeat("x.", 1e6)} {
		if _, err := splitPath(path); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", clip(path), err)
		} else if len(err.Error()) > 300 {
			t.Errorf("%q: got an error of %d bytes", clip(path), len(err.Error()))
		}
	}
}

func TestFindAlike(t *testing.T) {
	n := half(t, `{"":{"":{"":1},"a":2},"a":{"":3,"b":{"c":[{"d":1}]},"@this":4},"x*":5,"a\\":{"b":6}}`).root
	for path, want := range map[string]string{
		"a.":       "3",
		".a":       "2",
		"..":       "1",
		"a.@this":  "4",
		"x*":       "5",
		`a\.b`:     "6",
		"a.b":      `{"c":[{"d":1}]}`,
		"a.b.c":    `[{"d":1}]`,
		"a.b.c.0":  "",
		"a.b.c.d":  "",
		"x":        "",
		"x*.y":     "",
		"a.b.c.":   "",
		"...":      "",
		"nothing.": "",
	} {
		keys, err := splitPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Find(n, keys) != tree.FindPath(n, path) {
			t.Errorf("%q: find and findPath differ", path)
		}
		if got := (Value{n: tree.FindPath(n, path)}).String(); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
	if tree.FindPath(n, "") != n || tree.Find(n, nil) != n || tree.Find(nil, []string{"a"}) != nil || tree.FindPath(nil, "a") != nil {
		t.Errorf("roots: got another node")
	}
}
