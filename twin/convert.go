package twin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

func errDeep() error {
	return fmt.Errorf("more than %d levels of objects and arrays; does the value hold itself?", maxDepth)
}

func errLarge() error {
	return fmt.Errorf("more than %d bytes of JSON; a hub takes 32 KB", maxText)
}

// nodeOf makes a tree of a Go value by the rules of encoding/json, which does
// the work for everything but the plain types; no digit is lost. Unlike there,
// a string that isn't UTF-8 is refused and not silently changed.
func nodeOf(v any) (*node, error) {
	c := converter{left: maxText}
	return c.node(v, 1)
}

// A converter bounds what becomes of a Go value that is much larger than it
// looks: maps may hold themselves, or the same one many times.
type converter struct{ left int }

// node converts v, which is at the given level if it has one.
func (c *converter) node(v any, level int) (*node, error) {
	switch v := v.(type) {
	case map[string]any:
		if v != nil {
			return c.object(v, level)
		}
	case []any:
		if v != nil {
			return c.array(v, level)
		}
	}
	n, err := leafOf(v)
	if err != nil {
		return nil, err
	}
	return n, c.spend(n.wire)
}

func (c *converter) spend(bytes int) error {
	if c.left -= bytes; c.left < 0 {
		return errLarge()
	}
	return nil
}

// open accounts for an object or an array at the given level.
func (c *converter) open(level int) error {
	if level > maxDepth {
		return errDeep()
	}
	return c.spend(2)
}

func (c *converter) object(v map[string]any, level int) (*node, error) {
	if err := c.open(level); err != nil {
		return nil, err
	}
	members := make([]member, 0, len(v))
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if !utf8.ValidString(key) {
			return nil, fmt.Errorf("key %q is not UTF-8", clip(key))
		}
		if err := c.spend(len(key) + 4); err != nil {
			return nil, err
		}
		n, err := c.node(v[key], level+1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, n})
	}
	return objectOf(members...), nil
}

func (c *converter) array(v []any, level int) (*node, error) {
	if err := c.open(level); err != nil {
		return nil, err
	}
	items := make([]*node, len(v))
	for i := range v {
		n, err := c.node(v[i], level+1)
		if err != nil {
			return nil, err
		}
		items[i] = merging(n) // what is in an array replaces nothing
	}
	return newArray(items), nil
}

// leafOf converts what isn't a plain map or slice.
func leafOf(v any) (*node, error) {
	switch v := v.(type) {
	case nil:
		return nullNode(), nil
	case bool:
		return newBool(v), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, fmt.Errorf("string %q is not UTF-8", clip(v))
		}
		return newString(v), nil
	case int:
		return newNumber(strconv.Itoa(v)), nil
	case int64:
		return newNumber(strconv.FormatInt(v, 10)), nil
	case json.RawMessage:
		if v != nil {
			return parseFromCaller(v)
		}
	case Value:
		if v.n == nil {
			return nil, fmt.Errorf("%w at %q; to delete, say so", ErrMissing, clip(v.path))
		}
		return merging(v.n), nil
	case Properties:
		return v.tree(), nil
	case Patch:
		return v.tree(), v.err
	}
	return marshalled(v)
}

// marshalled converts by way of encoding/json.
func marshalled(v any) (*node, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return parseMarshalled(b)
}
