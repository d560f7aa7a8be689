package twin

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
)

// The number of random stories of each kind: go test ./twin -stories 60000
var stories = flag.Int("stories", 10000, "random stories of each of the machines")

// mergeRule is one of the ways in which hubs have been seen to merge.
type mergeRule int

const (
	mergeRFC7396   mergeRule = iota
	mergeKeepNulls           // an object that is new is stored as it came, nulls included
	mergeEmpties             // deleting what isn't there, below the root, empties its parent
	mergeRules
)

// A modelHub is a hub's section kept in plain maps, merged by code that shares
// nothing with Apply: a bug in ours must not hide in what judges it.
type modelHub struct {
	doc     map[string]any
	version int64
	rule    mergeRule
}

func newModelHub(rule mergeRule) *modelHub {
	return &modelHub{doc: map[string]any{}, version: 1, rule: rule}
}

func (j *modelHub) merge(patch map[string]any) {
	j.mergeMaps(j.doc, patch, true)
	j.version++
}

func (j *modelHub) mergeMaps(doc, patch map[string]any, root bool) {
	for k, v := range patch {
		sub, isMap := v.(map[string]any)
		_, there := doc[k]
		switch {
		case v == nil && !there && !root && j.rule == mergeEmpties:
			clear(doc)
		case v == nil:
			delete(doc, k)
		case isMap:
			old, ok := doc[k].(map[string]any)
			if !ok {
				old = map[string]any{}
				doc[k] = old
			}
			switch {
			case ok || j.rule == mergeRFC7396:
				j.mergeMaps(old, sub, false)
			case j.rule == mergeKeepNulls:
				maps.Copy(old, sub)
			default:
				(&modelHub{}).mergeMaps(old, sub, false)
			}
		default:
			doc[k] = v
		}
	}
}

// text is the document without nulls, as every reader of it sees it.
func (j *modelHub) text() string {
	seen := newModelHub(mergeRFC7396)
	seen.merge(j.doc)
	b, err := json.Marshal(seen.doc)
	if err != nil {
		panic(err) // plain maps of plain values
	}
	return string(b)
}

func (j *modelHub) properties() Properties {
	text := j.text()
	if text == "{}" {
		text = fmt.Sprintf(`{"$version":%d}`, j.version)
	} else {
		text = fmt.Sprintf(`%s,"$version":%d}`, text[:len(text)-1], j.version)
	}
	p, err := ParseProperties([]byte(text))
	if err != nil {
		panic(err)
	}
	return p
}

// collidingPatch is a merge patch over few keys, so that much collides.
func collidingPatch(rnd *rand.Rand, depth int) map[string]any {
	p := map[string]any{}
	for range 1 + rnd.IntN(2) {
		key := string(rune('a' + rnd.IntN(3)))
		switch n := rnd.IntN(10); {
		case n < 4 && depth > 1:
			p[key] = collidingPatch(rnd, depth-1)
		case n < 6:
			p[key] = nil
		case n == 6:
			p[key] = map[string]any{}
		case n == 7:
			p[key] = []any{float64(rnd.IntN(2))}
		default:
			p[key] = float64(rnd.IntN(3))
		}
	}
	return p
}

func patchFromMap(m map[string]any) Patch {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	p, err := ParsePatch(b)
	if err != nil {
		panic(err)
	}
	return p
}

// decoded is a patch as plain maps.
func decoded(p Patch) map[string]any {
	m := map[string]any{}
	if err := json.Unmarshal(p.JSON(), &m); err != nil {
		panic(err)
	}
	return m
}
