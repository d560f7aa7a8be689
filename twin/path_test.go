package twin

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
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
		{"@this.x*.e|f", []string{"@this", "x*", "e|f"}},
		{`a\.b`, []string{`a\`, "b"}},
		{"#.0.-1", []string{"#", "0", "-1"}},
		{"温度.é", []string{"温度", "é"}},
		{"a" + strings.Repeat(".a", 63), slices.Repeat([]string{"a"}, 64)},
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
	for _, path := range []string{"\xff", "a.\xc3", ".", "..", "a.", ".a", "a..b", "fan..rpm", "x.y.",
		strings.Repeat(".", 63), "a" + strings.Repeat(".a", 64), strings.Repeat("x.", 1e6)} {
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
		found, array := tree.FindPath(n, path)
		if tree.Find(n, strings.Split(path, ".")) != found {
			t.Errorf("%q: find and findPath differ", path)
		}
		if got := (Value{n: found}).String(); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
		if into := strings.HasPrefix(path, "a.b.c."); into != (array == len("a.b.c")) || !into && array >= 0 {
			t.Errorf("%q: an array at %d", path, array)
		}
	}
	root, _ := tree.FindPath(n, "")
	none, array := tree.FindPath(nil, "a")
	if root != n || tree.Find(n, nil) != n || tree.Find(nil, []string{"a"}) != nil || none != nil || array >= 0 {
		t.Errorf("roots: got another node")
	}
}

// TestPathsThatNeverMatch: no key of a path is empty, wherever one is taken.
func TestPathsThatNeverMatch(t *testing.T) {
	for _, path := range []string{".", "..", "...", "x.", ".x", "fan..rpm", "fan.rpm.", "fan...rpm", ".fan.rpm", "a.b..c", "é.", "..é"} {
		for name, p := range map[string]Patch{
			"Set": Set(path, 1), "Delete": Delete(path), "Replace": Replace(path, struct{}{}),
			"Patch.Set": Set("a", 1).Set(path, 1), "Patch.Delete": Set("a", 1).Delete(path),
			"Component": Set("a", 1).Component(path), "Ack": Change{Path: path, Value: Set("v", 1).At("v")}.Ack(AckOK, ""),
		} {
			err := p.Err()
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "empty key") || !strings.Contains(err.Error(), strconv.Quote(path)) {
				t.Errorf("%s %q: %v, want ErrInvalid that names the path", name, path, err)
			}
			if got := p.String(); got != "{}" {
				t.Errorf("%s %q: a failed patch says %s", name, path, got)
			}
			if err := Validate(Properties{}, p); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %q: Validate says %v", name, path, err)
			}
		}
	}
	// A hub may hold an empty key: it is read by path, and set with its object.
	p := From(map[string]any{"a": map[string]any{"": 1}})
	if err := Validate(Properties{}, p); err != nil {
		t.Error(err)
	}
	if got := Apply(Properties{}, p).At("a.").String(); got != "1" {
		t.Errorf("at a.: %q, want 1", got)
	}
	if got := Apply(Apply(Properties{}, p), Set("a", map[string]any{"": nil})).At("a").String(); got != "{}" {
		t.Errorf("the empty key deleted: %s", got)
	}
}

// TestPathsIntoArrays: what is read beyond an array says that it is one.
func TestPathsIntoArrays(t *testing.T) {
	p := half(t, `{"list":[1,{"h":2}],"a":{"b":[[0]],"s":"x","":[1]},"n":null}`)
	var outer Value
	if err := json.Unmarshal([]byte(`[1,2]`), &outer); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		v    Value
		path string
		list string
	}{
		{p.At("list.0"), "list.0", "list"},
		{p.At("list.1.h"), "list.1.h", "list"},
		{p.At("list").At("0"), "list.0", "list"},
		{p.At("list.0").At("x"), "list.0.x", "list"},
		{p.At("list").At("0.x"), "list.0.x", "list"},
		{p.At("a.b.0.0"), "a.b.0.0", "a.b"},
		{p.At("a").At("b.0"), "a.b.0", "a.b"},
		{p.At("a").At("b").At("0").At("1.2"), "a.b.0.1.2", "a.b"},
		{p.At("a..0"), "a..0", "a."},
		{outer.At("0"), "0", ""},
		{outer.At("0.1"), "0.1", ""},
		{Set("l", []int{1}).At("l.length"), "l.length", "l"},
	} {
		n := 7
		err := tt.v.Decode(&n)
		var bad *DecodeError
		if tt.v.Exists() || !errors.As(err, &bad) || bad.Path != tt.path || errors.Is(err, ErrMissing) || !errors.Is(err, ErrInvalid) || n != 7 {
			t.Errorf("%q: %v and %d, want a *DecodeError there that isn't ErrMissing", tt.path, err, n)
		} else if want := strconv.Quote(tt.list) + " is an array, and arrays are whole values"; !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", tt.path, err, want)
		}
	}
	for _, path := range []string{"a.s.x", "a.x", "x", "x.0", "n", "n.0", "list2.0", "a.list.0"} {
		if err := p.At(path).Decode(new(int)); !errors.Is(err, ErrMissing) || errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrMissing", path, err)
		}
	}
}
