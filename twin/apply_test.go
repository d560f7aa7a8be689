package twin

import (
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree/treetest"
)

// TestApplyCases holds the cases M1 to M18 of the protocol reference, 6.4, as
// far as they are merges; the refusals among them (M12 to M14) are in
// validate_test.go, and replacing (M15 to M17) is the back end's.
func TestApplyCases(t *testing.T) {
	tests := []struct{ name, doc, patch, want string }{
		{"M1 null deletes", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{"M2 null of nothing", `{"a":1}`, `{"z":null}`, `{"a":1}`},
		{"M3 objects merge", `{"o":{"x":1,"y":2}}`, `{"o":{"x":9}}`, `{"o":{"x":9,"y":2}}`},
		{"M4 scalar over object", `{"o":{"x":1}}`, `{"o":5}`, `{"o":5}`},
		{"M5 object over scalar", `{"o":5}`, `{"o":{"x":1}}`, `{"o":{"x":1}}`},
		{"M6 arrays are replaced", `{"l":[1,2,3]}`, `{"l":[9]}`, `{"l":[9]}`},
		{"M7 nested null of nothing", `{"k1":{"k2":"v"}}`, `{"k1":{"k3":null}}`, `{"k1":{"k2":"v"}}`},
		{"M8 nested null below nothing", `{}`, `{"a":{"b":null}}`, `{"a":{}}`},
		{"M8 deeper", `{}`, `{"a":{"b":{"c":null,"d":1}}}`, `{"a":{"b":{"d":1}}}`},
		{"M8 over a scalar", `{"a":1}`, `{"a":{"b":null}}`, `{"a":{}}`},
		{"M9 merge with nothing", `{"o":{"x":1}}`, `{"o":{}}`, `{"o":{"x":1}}`},
		{"M10 empty object stays", `{}`, `{"o":{}}`, `{"o":{}}`},
		{"M11 parent stays", `{"o":{"x":1}}`, `{"o":{"x":null}}`, `{"o":{}}`},
		{"M15 what a replace is told as", `{"a":1,"b":2}`, `{"a":1,"b":null,"c":3,"$version":7}`, `{"a":1,"c":3}`},
		{"M18 no change", `{"a":1}`, `{"a":1}`, `{"a":1}`},
		{"nulls in arrays are none of ours", `{}`, `{"l":[1,null,{"x":null}]}`, `{"l":[1,null,{"x":null}]}`},
		{"another text of the number", `{"a":1.1}`, `{"a":1.10}`, `{"a":1.10}`},
		{"paths are keys", `{"a":{"b":1}}`, `{"a.b":2}`, `{"a":{"b":1},"a.b":2}`},
		{"all goes", `{"a":1,"b":{"c":1}}`, `{"a":null,"b":null}`, `{}`},
		{"around", `{"b":1,"d":1}`, `{"a":1,"c":1,"e":1}`, `{"a":1,"b":1,"c":1,"d":1,"e":1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Apply(half(t, tt.doc), change(t, tt.patch))
			if got.At("").String() != tt.want {
				t.Errorf("got %v, want %s", got.At(""), tt.want)
			}
			if got.Version() != 1 {
				t.Errorf("got version %d, want 1 as before", got.Version())
			}
			treetest.Sound(t, got.root)
		})
	}
}

func TestApplyShares(t *testing.T) {
	doc := half(t, `{"a":{"x":1},"b":{"y":[1,2]}}`)
	if got := Apply(doc, change(t, `{"a":{"x":1,"z":null},"b":{"y":[1,2],"q":null}}`)); got.root != doc.root {
		t.Errorf("no change: got another tree")
	}
	got := Apply(doc, change(t, `{"a":{"x":2}}`))
	if got.root.Get("b") != doc.root.Get("b") {
		t.Errorf("a change of a: got another b")
	}
}

func TestApplyOfNothing(t *testing.T) {
	if got := Apply(Properties{}, Patch{}); got.String() != "{}" {
		t.Errorf("nothing on nothing: got %v, want {}", got)
	}
	doc := half(t, `{"a":1}`)
	if got := Apply(doc, Patch{}); got.root != doc.root {
		t.Errorf("nothing on a half: got %v, want it unchanged", got)
	}
	if got := Apply(doc, Set("b", func() {})); got.root != doc.root {
		t.Errorf("a failed patch: got %v, want %v", got, doc)
	}
	if got := Apply(Properties{}, Delete("a")); got.String() != "{}" {
		t.Errorf("a deletion on nothing: got %v, want {}", got)
	}
}

// TestPatchesDoNotCompose keeps the reason for applying them one by one.
func TestPatchesDoNotCompose(t *testing.T) {
	doc := half(t, `{"a":{"c":2}}`)
	got := Apply(Apply(doc, Set("a", 5)), Set("a.b", 1))
	if want := `{"a":{"b":1}}`; got.At("").String() != want {
		t.Errorf("got %v, want %s", got.At(""), want)
	}
}

func TestApplyDropsSpareRoom(t *testing.T) {
	doc := half(t, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}`)
	got := Apply(doc, change(t, `{"a":2,"b":null,"c":null,"d":null,"e":null,"f":null,"g":null}`))
	if spare := cap(got.root.Members()) - len(got.root.Members()); spare > 1 {
		t.Errorf("after deletions: got room for %d more members, want 1 at most", spare)
	}
}
