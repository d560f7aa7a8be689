package twin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

func errDeep() error {
	return fmt.Errorf("more than %d levels of objects and arrays; does the value hold itself?", tree.MaxDepth)
}

func errLarge() error {
	return fmt.Errorf("more than %d bytes of JSON; a hub takes 32 KB", tree.MaxText)
}

func errNotUTF8(what, text string) error { return fmt.Errorf("%s %q is not UTF-8", what, clip(text)) }

// nodeOf makes a tree of a Go value by the rules of encoding/json, which does
// the work for everything but the plain types; no digit is lost. Unlike there,
// a string that isn't UTF-8 is refused and not silently changed.
func nodeOf(v any) (*tree.Node, error) {
	c := converter{left: tree.MaxText}
	return c.node(v, 1)
}

// A converter bounds what becomes of a Go value that is much larger than it
// looks: maps may hold themselves, or the same one many times.
type converter struct{ left int }

// node converts v, which is at the given level if it has one.
func (c *converter) node(v any, level int) (*tree.Node, error) {
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
	return n, c.spend(n.Wire())
}

func (c *converter) spend(bytes int) error {
	if c.left -= bytes; c.left < 0 {
		return errLarge()
	}
	return nil
}

// open accounts for an object or an array at the given level.
func (c *converter) open(level int) error {
	if level > tree.MaxDepth {
		return errDeep()
	}
	return c.spend(2)
}

func (c *converter) object(v map[string]any, level int) (*tree.Node, error) {
	if err := c.open(level); err != nil {
		return nil, err
	}
	members := make([]tree.Member, 0, len(v))
	for _, key := range slices.SortedFunc(maps.Keys(v), strings.Compare) {
		if !utf8.ValidString(key) {
			return nil, errNotUTF8("key", key)
		}
		if err := c.spend(len(key) + 4); err != nil {
			return nil, err
		}
		n, err := c.node(v[key], level+1)
		if err != nil {
			return nil, err
		}
		members = append(members, tree.Member{Key: key, Value: n})
	}
	return tree.NewObject(members...), nil
}

func (c *converter) array(v []any, level int) (*tree.Node, error) {
	if err := c.open(level); err != nil {
		return nil, err
	}
	items := make([]*tree.Node, len(v))
	for i := range v {
		n, err := c.node(v[i], level+1)
		if err != nil {
			return nil, err
		}
		items[i] = tree.Merging(n) // what is in an array replaces nothing
	}
	return tree.NewArray(items), nil
}

// leafOf converts what isn't a plain map or slice.
func leafOf(v any) (*tree.Node, error) {
	switch v := v.(type) {
	case nil:
		return tree.NewNull(), nil
	case bool:
		return tree.NewBool(v), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, errNotUTF8("string", v)
		}
		return tree.NewString(v), nil
	case int:
		return tree.NewNumber(strconv.Itoa(v)), nil
	case int64:
		return tree.NewNumber(strconv.FormatInt(v, 10)), nil
	case json.RawMessage:
		if v != nil {
			return parseFromCaller(v)
		}
	case Value:
		if v.n == nil {
			return nil, fmt.Errorf("%w at %q; to delete, say so", v.absence(), clip(v.path))
		}
		return tree.Merging(v.n), nil
	case Properties:
		return v.tree(), nil
	case Patch:
		return v.tree(), v.err
	}
	return marshalled(v)
}

// marshalled converts by way of encoding/json.
func marshalled(v any) (*tree.Node, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	n, err := parseFromCaller(b)
	if err != nil || !bytes.Contains(b, []byte(`\u`)) && !bytes.Contains(b, []byte(replacement)) {
		return n, err
	}
	// encoding/json may have put U+FFFD in place of bytes that are not UTF-8. How
	// it writes that depends on its version, so the Go value has to answer.
	if bytes.Contains(tree.AppendJSON(nil, n), []byte(replacement)) {
		if err := (&reader{left: tree.MaxText}).value(reflect.ValueOf(v), 0); err != nil {
			return nil, err
		}
	}
	return n, nil
}
