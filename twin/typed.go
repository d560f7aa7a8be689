package twin

import (
	"context"
	"reflect"
)

// Typed makes a Listener of a function that wants the value as a T, decoded by
// the rules of encoding/json.
//
// Where nothing is desired at the path, at the start or after a deletion, fn is
// not called, and the change counts as delivered. A zero would read as one that
// the back end set. [TypedOr] calls with a default then, and [Removed] hears of
// deletions. If T is a pointer type or [Value], fn is called with nil or a
// missing Value, since those say it themselves.
//
// A value that does not decode is returned as a *DecodeError, like any other
// listener's error. fn isn't called, and hears the next change. So is a path
// that leads into an array, where no value can be.
func Typed[T any](fn func(ctx context.Context, v T, c Change) error) Listener {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, c Change) error {
		var v T
		if call, err := decodeDesired(&c, &v); !call {
			return err
		}
		return fn(ctx, v, c)
	}
}

// TypedOr is Typed for a property that has a default: where nothing is desired,
// at the start and after a deletion, fn is called with def. Only
// c.Value.Exists() is false then, and Change.Ack fails, since there is nothing
// to acknowledge. By Plug and Play, a device reports its default with
// [AckDefault].
//
// fn gets def itself. If T holds pointers, maps or slices, fn must not change
// what they refer to. A path that leads into an array is an error, as for Typed.
func TypedOr[T any](def T, fn func(ctx context.Context, v T, c Change) error) Listener {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, c Change) error {
		if !isDesired(c.Value) {
			if err := inArray(&c); err != nil {
				return err
			}
			return fn(ctx, def, c)
		}
		var v T
		if err := c.Value.Decode(&v); err != nil {
			return err
		}
		return fn(ctx, v, c)
	}
}

// Removed makes a Listener of a function that hears of deletions only: the
// value that the listener knew at its path, c.Old, is there no more, by itself
// or with an object above it. fn does not hear of a property that was never
// set, nor of members that an object at the path lost: [Change.Removed] lists
// those. The whole half, at "", is never deleted.
//
// It goes beside a [Typed] listener on the same path. Register only that one
// to acknowledge, since a deletion has no answer.
func Removed(fn func(ctx context.Context, c Change) error) Listener {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, c Change) error {
		if isDesired(c.Value) || !c.Old.Exists() {
			return nil
		}
		return fn(ctx, c)
	}
}

// isDesired reports whether a value is there. A listener sees null as a deletion.
func isDesired(v Value) bool { return v.Kind() > Null }

// decodeDesired stores the value in what into points to, and reports whether a
// typed listener is to be called with it. It is also called with what says by
// itself that there is no value.
func decodeDesired(c *Change, into any) (call bool, err error) {
	if isDesired(c.Value) {
		err = c.Value.Decode(into)
		return err == nil, err
	}
	if v, ok := into.(*Value); ok {
		*v = c.Value
		return true, nil
	}
	if reflect.TypeOf(into).Elem().Kind() == reflect.Pointer {
		return true, nil
	}
	return false, inArray(c)
}

// inArray is the error of a path that leads into an array, or nil.
func inArray(c *Change) error {
	if v := c.Desired.At(c.Path); v.array > 0 {
		return v.Decode(new(any))
	}
	return nil
}
