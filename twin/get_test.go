package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	p := half(t, `{"fan":{"rpm":1200,"on":false,"name":"left"},"list":[{"hour":6},{"hour":22},null]}`)
	if rpm, err := Get[int](p, "fan.rpm"); rpm != 1200 || err != nil {
		t.Errorf("got %d, %v, want 1200", rpm, err)
	}
	if on, err := Get[bool](p.At("fan"), "on"); on || err != nil {
		t.Errorf("got %v, %v, want false", on, err)
	}
	if name, err := Get[string](Set("a", "x"), "a"); name != "x" || err != nil {
		t.Errorf("got %q, %v, want x", name, err)
	}
	if n, err := Get[json.Number](Document{Desired: p}.Desired.At("fan.rpm"), ""); n != "1200" || err != nil {
		t.Errorf("got %q, %v, want 1200", n, err)
	}
	if v, err := Get[Value](p, "fan"); v.Len() != 3 || err != nil {
		t.Errorf("got %v, %v, want the fan", v, err)
	}
	if hour, err := Get[int](p.At("list").Index(1), "hour"); hour != 22 || err != nil {
		t.Errorf("got %d, %v, want 22", hour, err)
	}
	type half struct{ Properties }
	if rpm, err := Get[int](half{p}, "fan.rpm"); rpm != 1200 || err != nil {
		t.Errorf("of what embeds: got %d, %v, want 1200", rpm, err)
	}
	for _, tt := range []struct {
		v    interface{ At(string) Value }
		path string
		want string
		is   error
	}{
		{p, "fan.speed", "fan.speed", ErrMissing},
		{p.At("fan"), "speed", "fan.speed", ErrMissing},
		{Properties{}, "a.b", "a.b", ErrMissing},
		{Value{}, "", "", ErrMissing},
		{Delete("a"), "a", "a", ErrMissing},
		{p.At("list").Index(2), "", "list[2]", ErrMissing},
		{p.At("list").Index(3), "hour", "list[3].hour", ErrMissing},
		{p.At("list").Index(-1), "", "list[-1]", ErrMissing},
		{p.At("fan").Index(0), "", "fan[0]", ErrMissing},
		{p, "list.0", "list.0", ErrInvalid},
		{p.At("list").Index(0), "hour.0", "list[0].hour.0", ErrMissing},
		{p, "fan.name", "fan.name", nil},
	} {
		n, err := Get[int](tt.v, tt.path)
		var bad *DecodeError
		if n != 0 || !errors.As(err, &bad) || bad.Path != tt.want {
			t.Errorf("%q: got %d, %v, want a DecodeError at %q", tt.path, n, err, tt.want)
		}
		if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && errors.Is(err, ErrMissing) {
			t.Errorf("%q: got %v, want one that matches %v", tt.path, err, tt.is)
		}
		if got := GetOr(tt.v, tt.path, 7); got != 7 {
			t.Errorf("%q: GetOr: got %d, want the default, 7", tt.path, got)
		}
	}
	if got := GetOr(p, "fan.rpm", 7); got != 1200 {
		t.Errorf("GetOr: got %d, want 1200", got)
	}
	if got := GetOr(p, "fan.on", true); got {
		t.Error("GetOr: got the default, want false, which is desired")
	}
}

func TestElements(t *testing.T) {
	p := half(t, `{"list":[1,"b",[true],{"c":2}],"none":[],"o":{"x":1,"y":2}}`)
	list := p.At("list")
	var got []string
	for i, v := range list.Elements() {
		got = append(got, fmt.Sprintf("%d=%s", i, v.JSON()))
		if w := list.Index(i); !w.Equal(v) {
			t.Errorf("Index(%d) is %v, want %v", i, w, v)
		}
		if i == 3 {
			break
		}
	}
	if got, want := strings.Join(got, " "), `0=1 1="b" 2=[true] 3={"c":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for path, want := range map[string]int{"list": 4, "none": 0, "o": 2, "o.x": 0, "nothing": 0} {
		if got := p.At(path).Len(); got != want {
			t.Errorf("%s: got length %d, want %d", path, got, want)
		}
	}
	for _, path := range []string{"none", "o", "o.x", "nothing"} {
		for i, v := range p.At(path).Elements() {
			t.Errorf("%s has element %d, %v; want none", path, i, v)
		}
	}
}

func TestTextOfValues(t *testing.T) {
	p := half(t, `{"s":"gr\"een\n","n":1.50,"o":{"s":"x"},"l":["x"],"b":true}`)
	for path, want := range map[string]string{
		"s": "gr\"een\n", "n": "1.50", "o": `{"s":"x"}`, "l": `["x"]`, "b": "true", "gone": "",
	} {
		if got := p.At(path).String(); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if got, want := string(p.At("s").JSON()), `"gr\"een\n"`; got != want {
		t.Errorf("JSON: got %s, want %s", got, want)
	}
}

// Whatever of this package somebody prints shows its contents, as text.
func TestTextOfEverything(t *testing.T) {
	p := half(t, `{"a":"x","$version":1}`)
	patch := Set("a", "y")
	old := p.At("a")
	c := Change{Path: "a", Value: patch.At("a"), Old: old, Version: 4, Cause: CausePatch, Desired: p, named: patch.root, path: []string{"a"}}
	first, gone, whole := c, c, c
	first.Old, gone.Value = Value{}, Value{}
	whole.Path, whole.Value, whole.Old = "", p.At(""), Value{}
	long := c
	long.Value = Set("a", strings.Repeat("z", 1000)).At("a")
	for _, tt := range []struct {
		v    any
		want string
	}{
		{p, `{"a":"x","$version":1}`},
		{&p, `{"a":"x","$version":1}`},
		{patch, `{"a":"y"}`},
		{Document{Desired: p}, `{"desired":{"a":"x","$version":1},"reported":{}}`},
		{old, "x"},
		{[]Value{old}, "[x]"},
		{struct{ V Value }{old}, "{V:x}"},
		{c, `"a" is "y", was "x" (version 4, patch)`},
		{first, `"a" is "y", was missing (version 4, patch)`},
		{gone, `"a" is missing, was "x" (version 4, patch)`},
		{whole, `"" is {"a":"x"}, was missing (version 4, patch)`},
		{long, `"a" is "` + strings.Repeat("z", maxQuote-1) + `…, was "x" (version 4, patch)`},
	} {
		if got := fmt.Sprintf("%+v", tt.v); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
	if got, want := fmt.Sprint(patch.Delete("a").At("a"), Patch{}.Set("a..b", 1)), "null {}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
