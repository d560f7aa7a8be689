package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// heard is what typed listeners of an int were called with.
type heard []string

func (h *heard) fn(_ context.Context, v int, c Change) error {
	*h = append(*h, fmt.Sprintf("%d %t", v, c.Value.Exists()))
	return nil
}

// take returns what was heard, and forgets it.
func (h *heard) take() string {
	s := strings.Join(*h, ", ")
	*h = nil
	return s
}

// TestTypedIsNotCalledForNothing: no value is no zero, whatever the type and
// however the value went.
func TestTypedIsNotCalledForNothing(t *testing.T) {
	var ints heard
	typed, or := Typed(ints.fn), TypedOr(900, ints.fn)
	for _, tt := range []struct{ path, from, to, typed, or string }{
		{"fan.rpm", `{}`, `{}`, "", "900 false"},
		{"fan.rpm", `{"fan":{"rpm":5}}`, `{"fan":{}}`, "", "900 false"},
		{"fan.rpm", `{"fan":{"rpm":5}}`, `{}`, "", "900 false"},
		{"fan.rpm", `{"fan":{"rpm":5}}`, `{"fan":7}`, "", "900 false"},
		{"fan.rpm", `{}`, `{"fan":{"rpm":0}}`, "0 true", "0 true"},
		{"fan.rpm", `{"fan":{"rpm":5}}`, `{"fan":{"rpm":7}}`, "7 true", "7 true"},
		{"a", `{}`, `{"a":null}`, "", "900 false"},
	} {
		c := oneChange(t, tt.path, tt.from, tt.to)
		if err := typed(t.Context(), c); err != nil {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		}
		if got := ints.take(); got != tt.typed {
			t.Errorf("%s to %s: called with %q, want %q", tt.from, tt.to, got, tt.typed)
		}
		if err := or(t.Context(), c); err != nil {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		}
		if got := ints.take(); got != tt.or {
			t.Errorf("%s to %s, with a default: called with %q, want %q", tt.from, tt.to, got, tt.or)
		}
	}
	byHand := Change{Path: "a", Value: Delete("a").At("a")}
	if err := typed(t.Context(), byHand); err != nil || ints.take() != "" {
		t.Errorf("null, by hand: called, or %v", err)
	}
	type fan struct{ RPM int }
	gone := oneChange(t, "a", `{"a":5}`, `{}`)
	for name, l := range map[string]Listener{
		"struct": never[fan](t), "string": never[string](t), "bool": never[bool](t), "slice": never[[]int](t),
		"map": never[map[string]any](t), "raw": never[json.RawMessage](t), "any": never[any](t), "float": never[float64](t),
	} {
		if err := l(t.Context(), gone); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func never[T any](t *testing.T) Listener {
	return Typed(func(_ context.Context, v T, _ Change) error {
		t.Errorf("called with %#v", v)
		return nil
	})
}

// TestTypedNothingThatSaysSo: a nil pointer and a missing Value are told from
// every value, so they are given.
func TestTypedNothingThatSaysSo(t *testing.T) {
	type ptr *int
	var got []string
	pointer := Typed(func(_ context.Context, v *int, _ Change) error {
		got = append(got, "nil "+fmt.Sprint(v == nil))
		return nil
	})
	named := Typed(func(_ context.Context, v ptr, _ Change) error {
		got = append(got, "nil "+fmt.Sprint(v == nil))
		return nil
	})
	value := Typed(func(_ context.Context, v Value, c Change) error {
		got = append(got, "nil "+fmt.Sprint(!v.Exists()))
		if !v.Equal(c.Value) || v.Exists() != c.Value.Exists() {
			t.Errorf("the value is %v, want %v", v, c.Value)
		}
		var bad *DecodeError
		if err := v.Decode(new(chan int)); !errors.As(err, &bad) || bad.Path != "a.b" {
			t.Errorf("the value has lost its path: %v", err)
		}
		return nil
	})
	for _, l := range []Listener{pointer, named, value} {
		for _, to := range []string{`{}`, `{"a":{"b":0}}`, `{"a":5}`, `{"a":[1]}`} {
			if err := l(t.Context(), oneChange(t, "a.b", `{"a":{"b":1}}`, to)); err != nil {
				t.Error(err)
			}
		}
	}
	const each = "nil true, nil false, nil true, nil true"
	if got, want := strings.Join(got, ", "), strings.Join([]string{each, each, each}, ", "); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

func TestTypedTellsValuesApart(t *testing.T) {
	type seen struct{ called, v, err bool }
	for _, tt := range []struct {
		to   string
		want seen
	}{
		{`{"a":true}`, seen{true, true, false}},
		{`{"a":false}`, seen{true, false, false}},
		{`{}`, seen{false, false, false}},
		{`{"a":0}`, seen{false, false, true}},
		{`{"a":""}`, seen{false, false, true}},
		{`{"a":[]}`, seen{false, false, true}},
	} {
		for name, typed := range map[string]func(func(context.Context, bool, Change) error) Listener{
			"Typed":   Typed[bool],
			"TypedOr": func(fn func(context.Context, bool, Change) error) Listener { return TypedOr(true, fn) },
		} {
			var got seen
			err := typed(func(_ context.Context, v bool, c Change) error {
				got = seen{called: c.Value.Exists(), v: v && c.Value.Exists()}
				return nil
			})(t.Context(), oneChange(t, "a", `{"a":"before"}`, tt.to))
			got.err = err != nil
			if got != tt.want {
				t.Errorf("%s, %s: %+v, want %+v", name, tt.to, got, tt.want)
			}
			var bad *DecodeError
			if err != nil && (!errors.As(err, &bad) || bad.Path != "a") {
				t.Errorf("%s, %s: the error is %v, want a *DecodeError at a", name, tt.to, err)
			}
		}
	}
}

func TestTypedIntoAnArray(t *testing.T) {
	var ints heard
	err := Typed(ints.fn)(t.Context(), oneChange(t, "list.0", `{}`, `{"list":[5]}`))
	var bad *DecodeError
	if !errors.As(err, &bad) || bad.Path != "list.0" || !strings.Contains(err.Error(), "arrays are whole values") || ints.take() != "" {
		t.Errorf("got %v, want a *DecodeError that says that arrays are whole", err)
	}
	if err := TypedOr(3, ints.fn)(t.Context(), oneChange(t, "list.0", `{}`, `{"list":[5]}`)); !errors.As(err, &bad) || ints.take() != "" {
		t.Errorf("with a default: %v", err)
	}
}

func TestRemovedHearsDeletionsOnly(t *testing.T) {
	var got []string
	l := Removed(func(_ context.Context, c Change) error {
		got = append(got, c.Old.String())
		return nil
	})
	for _, tt := range []struct{ path, from, to, want string }{
		{"o.x", `{"o":{"x":1}}`, `{"o":{}}`, "1"},
		{"o.x", `{"o":{"x":0}}`, `{}`, "0"},
		{"o.x", `{"o":{"x":false}}`, `{"o":7}`, "false"},
		{"o", `{"o":{"x":1}}`, `{}`, `{"x":1}`},
		{"o", `{"o":{"x":1,"y":2}}`, `{"o":{"x":1}}`, ""},
		{"o.x", `{}`, `{}`, ""},
		{"o.x", `{}`, `{"o":{"x":1}}`, ""},
		{"o.x", `{"o":{"x":1}}`, `{"o":{"x":2}}`, ""},
		{"o.x", `{"o":{"x":1}}`, `{"o":{"x":1}}`, ""},
		{"", `{"o":1}`, `{}`, ""},
	} {
		got = nil
		if err := l(t.Context(), oneChange(t, tt.path, tt.from, tt.to)); err != nil {
			t.Error(err)
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%q from %s to %s: heard %q, want %q", tt.path, tt.from, tt.to, got, tt.want)
		}
	}
	stuck := errors.New("stuck")
	err := Removed(func(context.Context, Change) error { return stuck })(t.Context(), oneChange(t, "a", `{"a":1}`, `{}`))
	if !errors.Is(err, stuck) {
		t.Errorf("its error is %v, want %v", err, stuck)
	}
}

// TestTypedOfNil: what registers listeners refuses a nil one.
func TestTypedOfNil(t *testing.T) {
	if Typed[int](nil) != nil || TypedOr(1, nil) != nil || Removed(nil) != nil {
		t.Error("a nil function made a listener that is not nil")
	}
}

func ExampleTyped() {
	type fan struct {
		RPM int    `json:"rpm"`
		Dir string `json:"dir"`
	}
	listener := Typed(func(_ context.Context, f fan, c Change) error {
		fmt.Printf("%+v, version %d, cause %v\n", f, c.Version, c.Cause)
		return nil
	})
	// Client.OnDesired registers it. A test calls it by hand.
	half := Apply(Properties{}, Set("fan", fan{900, "cw"}))
	if err := listener(context.Background(), Change{Path: "fan", Value: half.At("fan"), Version: 4, Cause: CauseStart}); err != nil {
		fmt.Println(err)
	}
	// Output: {RPM:900 Dir:cw}, version 4, cause start
}

// A pump runs at 900 unless the back end wants something else. With a
// default, the function hears of both.
func ExampleTypedOr() {
	listener := TypedOr(900, func(_ context.Context, rpm int, c Change) error {
		fmt.Println("set the pump to", rpm)
		if !c.Value.Exists() { // report the default, as Plug and Play has it
			fmt.Println(Replace(c.Path, Ack{Value: rpm, Code: AckDefault}))
			return nil
		}
		fmt.Println(c.Ack(AckOK, ""))
		return nil
	})
	nothing := Properties{}
	desired := Apply(nothing, Set("pump.rpm", 1200))
	for _, half := range []Properties{nothing, desired} {
		if err := listener(context.Background(), Change{Path: "pump.rpm", Value: half.At("pump.rpm"), Version: 4}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// set the pump to 900
	// {"pump":{"rpm":{"ac":203,"av":0,"value":900}}}
	// set the pump to 1200
	// {"pump":{"rpm":{"ac":200,"av":4,"value":1200}}}
}

// A listener of deletions goes beside a typed one on the same path.
func ExampleRemoved() {
	listener := Removed(func(_ context.Context, c Change) error {
		fmt.Println("no speed is desired any more, and it was", c.Old)
		return nil
	})
	was := Apply(Properties{}, Set("fan.rpm", 1200))
	is := Apply(was, Delete("fan"))
	if err := listener(context.Background(), Change{Path: "fan.rpm", Old: was.At("fan.rpm"), Value: is.At("fan.rpm")}); err != nil {
		fmt.Println(err)
	}
	// Output: no speed is desired any more, and it was 1200
}
