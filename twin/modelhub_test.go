package twin

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// A modelHub is a hub's section kept in plain maps, merged by code that shares
// nothing with Apply: a bug in ours must not hide in what judges it.
type modelHub struct {
	doc     map[string]any
	version int64
}

func newModelHub() *modelHub { return &modelHub{doc: map[string]any{}, version: 1} }

func (j *modelHub) merge(patch map[string]any) {
	mergeMaps(j.doc, patch)
	j.version++
}

func mergeMaps(doc, patch map[string]any) {
	for k, v := range patch {
		sub, isMap := v.(map[string]any)
		switch {
		case v == nil:
			delete(doc, k)
		case isMap:
			old, ok := doc[k].(map[string]any)
			if !ok {
				old = map[string]any{}
				doc[k] = old
			}
			mergeMaps(old, sub)
		default:
			doc[k] = v
		}
	}
}

func (j *modelHub) text() string {
	b, err := json.Marshal(j.doc)
	if err != nil {
		panic(err) // plain maps of plain values
	}
	return string(b)
}

func (j *modelHub) properties() Properties {
	text := j.text()
	text = fmt.Sprintf(`%s,"$version":%d}`, text[:len(text)-1], j.version)
	if len(j.doc) == 0 {
		text = fmt.Sprintf(`{"$version":%d}`, j.version)
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
