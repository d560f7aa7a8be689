package twin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/devicetwin/devicetwin-go/twin"
)

// A path that leads into an array is an error that says so, as with Typed:
// TypedOr must not put the default into effect as if nothing were desired.
func TestTypedOrInAnArray(t *testing.T) {
	doc, err := twin.ParseProperties([]byte(`{"fans":[{"rpm":900}],"$version":1}`))
	if err != nil {
		t.Fatal(err)
	}
	c := twin.Change{Path: "fans.rpm", Desired: doc, Version: 1}
	if err := twin.Typed(func(context.Context, int, twin.Change) error { return nil })(t.Context(), c); !errors.Is(err, twin.ErrInvalid) {
		t.Errorf("Typed: %v", err)
	}
	called := false
	err = twin.TypedOr(100, func(context.Context, int, twin.Change) error { called = true; return nil })(t.Context(), c)
	if called || !errors.Is(err, twin.ErrInvalid) {
		t.Errorf("TypedOr called %v, and returned %v", called, err)
	}
}
