package twin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

func TestReplaceBuilding(t *testing.T) {
	obj := map[string]any{"x": 1}
	within := Replace("b", obj) // {"b":{"x":1}}, b whole
	tests := []struct {
		name     string
		p        Patch
		json     string
		replaced string // "" for a merge patch
	}{
		{"an object", Replace("a.b", obj), `{"a":{"b":{"x":1}}}`, `{"a":{"b":null}}`},
		{"an empty object", Replace("a", struct{}{}), `{"a":{}}`, `{"a":null}`},
		{"the whole half", Replace("", obj), `{"x":1}`, `null`},
		{"the whole half, by nothing", Replace("", struct{}{}), `{}`, `null`},
		{"a scalar is whole as it is", Replace("a", 1), `{"a":1}`, ``},
		{"an array is whole as it is", Replace("a", []any{obj}), `{"a":[{"x":1}]}`, ``},
		{"nil deletes", Replace("a", nil), `{"a":null}`, ``},
		{"a nil map deletes", Replace("a", map[string]any(nil)), `{"a":null}`, ``},
		{"null within", Replace("a", map[string]any{"x": nil, "y": 1}), `{"a":{"x":null,"y":1}}`, `{"a":null}`},
		{"twice", Replace("a", obj).Replace("a", struct{}{}), `{"a":{}}`, `{"a":null}`},
		{"Set forgets it", Replace("a", obj).Set("a", obj), `{"a":{"x":1}}`, ``},
		{"Delete forgets it", Replace("a", obj).Delete("a"), `{"a":null}`, ``},
		{"Set above forgets it", Replace("a.b", obj).Set("a", obj), `{"a":{"x":1}}`, ``},
		{"Set of everything forgets it", Replace("", obj).Set("", obj), `{"x":1}`, ``},
		{"it forgets what is below", Set("a.b", 1).Replace("a", obj), `{"a":{"x":1}}`, `{"a":null}`},
		{"it forgets everything", Set("a", 1).Replace("", obj), `{"x":1}`, `null`},
		{"Set below", Replace("a", obj).Set("a.y.z", 2), `{"a":{"x":1,"y":{"z":2}}}`, `{"a":null}`},
		{"Set below everything", Replace("", obj).Set("a.b", 2), `{"a":{"b":2},"x":1}`, `null`},
		{"Delete below", Replace("a", obj).Delete("a.x"), `{"a":{"x":null}}`, `{"a":null}`},
		{"beside", Set("a.k", 1).Replace("a.b", obj).Set("c", 2), `{"a":{"b":{"x":1},"k":1},"c":2}`, `{"a":{"b":null}}`},
		{"below itself", Replace("a", obj).Replace("a.b", obj), `{"a":{"b":{"x":1},"x":1}}`, `{"a":null}`},
		{"two", Replace("a", obj).Replace("b", obj), `{"a":{"x":1},"b":{"x":1}}`, `{"a":null,"b":null}`},
		{"a component's marker", Replace("a", obj).Component("a"), `{"a":{"__t":"c","x":1}}`, `{"a":null}`},
		{"a patch within keeps it", Set("a", within), `{"a":{"b":{"x":1}}}`, `{"a":{"b":null}}`},
		{"a patch of everything within", Set("a", Replace("", obj)), `{"a":{"x":1}}`, `{"a":null}`},
		{"a patch in a map keeps it", From(map[string]any{"a": within}), `{"a":{"b":{"x":1}}}`, `{"a":{"b":null}}`},
		{"a key without a path", From(map[string]any{"": Replace("", obj)}), `{"":{"x":1}}`, `{"":null}`},
		{"a patch in an array is a value", Set("a", []any{within}), `{"a":[{"b":{"x":1}}]}`, ``},
		{"a value of it is a value", Set("c", within.At("b")), `{"c":{"x":1}}`, ``},
		{"a value around it is a value", Set("c", Replace("a", within).At("")), `{"c":{"a":{"b":{"x":1}}}}`, ``},
		{"a value with nulls stays one", Set("c", Replace("b", map[string]any{"x": nil, "y": 2}).Delete("d").At("")), `{"c":{"b":{"x":null,"y":2},"d":null}}`, ``},
		{"JSON never replaces", change(t, `{"a":{"b":{"x":1}}}`), `{"a":{"b":{"x":1}}}`, ``},
		{"nothing", Patch{}, `{}`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.p.Err(); err != nil {
				t.Fatal(err)
			}
			if got := tt.p.String(); got != tt.json {
				t.Errorf("got %s, want %s", got, tt.json)
			}
			if got := tt.p.replaced().String(); got != tt.replaced {
				t.Errorf("replaced: got %s, want %s", got, tt.replaced)
			}
			if got, want := tt.p.IsEmpty(), tt.json == "{}" && tt.replaced == ""; got != want {
				t.Errorf("empty: got %v, want %v", got, want)
			}
			_, err := json.Marshal(tt.p)
			if got, want := errors.Is(err, ErrInvalid), tt.replaced != ""; got != want {
				t.Errorf("marshalled: got %v, want an error: %v", err, want)
			}
			treetest.Sound(t, tt.p.root)
		})
	}
}

func TestReplaceErrors(t *testing.T) {
	failed := Set("a", math.NaN())
	tests := []struct {
		name string
		p    Patch
		want string
	}{
		{"everything by nothing at all", Replace("", nil), "got null"},
		{"everything by a list", Replace("", []int{1}), "got array"},
		{"NaN", Replace("a", math.NaN()), `at "a"`},
		{"the hub's key", Replace("", map[string]any{"$version": 1}), "belongs to the hub"},
		{"below a scalar", Set("a", 1).Replace("a.b", struct{}{}), "number stands above it"},
		{"after an error", failed.Replace("b", 1), `at "a"`},
		{"a deep path", Replace(strings.Repeat("a.", 64)+"a", 1), "at most 64"},
	}
	for _, tt := range tests {
		if err := tt.p.Err(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want ErrInvalid with %q", tt.name, err, tt.want)
		}
		if tt.p.replaced().Exists() {
			t.Errorf("%s: it replaces %v", tt.name, tt.p.replaced())
		}
	}
	_, err := json.Marshal(Replace("a.b", struct{}{}).Replace("c", struct{}{}))
	if err == nil || !strings.Contains(err.Error(), `replaces what is at "a.b, c"`) {
		t.Errorf("marshalled: got %v, want the paths in it", err)
	}
	long := Replace("k", map[string]any{"s": strings.Repeat("x", 5000)})
	if err := Validate(Properties{}, long); !errors.Is(err, ErrInvalid) {
		t.Errorf("a string that is too long, within: got %v, want ErrInvalid", err)
	}
}

func TestApplyReplaces(t *testing.T) {
	doc := half(t, `{"a":{"x":1,"o":{"p":1,"q":2}},"b":5}`)
	tests := []struct {
		name string
		p    Patch
		want string
	}{
		{"an object", Replace("a", map[string]any{"x": 2}), `{"a":{"x":2},"b":5}`},
		{"deep within", Replace("a.o", map[string]any{"p": 3}), `{"a":{"o":{"p":3},"x":1},"b":5}`},
		{"an object below what takes the place", Replace("a", map[string]any{"o": map[string]any{"q": 3}}), `{"a":{"o":{"q":3}},"b":5}`},
		{"by nothing", Replace("a", struct{}{}), `{"a":{},"b":5}`},
		{"null within", Replace("a", map[string]any{"x": nil, "o": map[string]any{"p": nil}}), `{"a":{"o":{}},"b":5}`},
		{"a scalar by an object", Replace("b", map[string]any{"x": nil, "y": 1}), `{"a":{"o":{"p":1,"q":2},"x":1},"b":{"y":1}}`},
		{"what is not there", Replace("c.d", map[string]any{"y": 1}), `{"a":{"o":{"p":1,"q":2},"x":1},"b":5,"c":{"d":{"y":1}}}`},
		{"everything", Replace("", map[string]any{"c": 1}), `{"c":1}`},
		{"all the rest stays", Replace("a", doc.At("a")), `{"a":{"o":{"p":1,"q":2},"x":1},"b":5}`},
		{"Set below", Replace("a", struct{}{}).Set("a.o", map[string]any{"z": 1}), `{"a":{"o":{"z":1}},"b":5}`},
	}
	for _, tt := range tests {
		got := Apply(doc, tt.p)
		if got.At("").String() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, got, tt.want)
		}
		treetest.Sound(t, got.root)
		if got.root.Acts {
			t.Errorf("%s: the half holds what only a patch may", tt.name)
		}
		if again := Apply(got, tt.p); again.root != got.root {
			t.Errorf("%s, twice: got %v, want the same tree", tt.name, again)
		}
	}
	if got := Apply(doc, Replace("a", doc.At("a"))); got.root != doc.root {
		t.Errorf("replaced by itself: got %v, want the same tree", got)
	}
	full := half(t, `{"old":"`+strings.Repeat("x", 4000)+`"}`)
	for range 7 {
		full = Apply(full, Set(fmt.Sprint("k", full.Size()), strings.Repeat("x", 4000)))
	}
	more := map[string]any{"new": strings.Repeat("x", 4000), "n2": strings.Repeat("x", 4000)}
	if err := Validate(full, From(more)); !errors.Is(err, ErrInvalid) {
		t.Errorf("merged into a full half: got %v, want the limit on its size", err)
	}
	if err := Validate(full, Replace("", more)); err != nil {
		t.Errorf("a full half replaced by a small one: %v", err)
	}
}
