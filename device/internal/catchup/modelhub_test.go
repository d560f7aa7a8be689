package catchup

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The number of random stories of each kind: go test ./twin -stories 60000
var stories = flag.Int("stories", 3000, "random stories of each of the machines")

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

func (j *modelHub) properties() twin.Properties {
	text := j.text()
	if text == "{}" {
		text = fmt.Sprintf(`{"$version":%d}`, j.version)
	} else {
		text = fmt.Sprintf(`%s,"$version":%d}`, text[:len(text)-1], j.version)
	}
	p, err := twin.ParseProperties([]byte(text))
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

func patchFromMap(m map[string]any) twin.Patch {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	p, err := twin.ParsePatch(b)
	if err != nil {
		panic(err)
	}
	return p
}

// decoded is a patch as plain maps.
func decoded(p twin.Patch) map[string]any {
	m := map[string]any{}
	if err := json.Unmarshal(p.JSON(), &m); err != nil {
		panic(err)
	}
	return m
}

// replace puts v at the end of the keys, whatever was there.
func (j *modelHub) replace(keys []string, v any) {
	j.version++
	v = withoutNulls(v)
	if len(keys) == 0 {
		j.doc = v.(map[string]any)
		return
	}
	at := j.doc
	for _, key := range keys[:len(keys)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	if last := keys[len(keys)-1]; v == nil {
		delete(at, last)
	} else {
		at[last] = v
	}
}

// withoutNulls is a copy of a value without its null members.
func withoutNulls(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	kept := map[string]any{}
	for key, v := range m {
		if v != nil {
			kept[key] = withoutNulls(v)
		}
	}
	return kept
}

// A saying is one report of the firmware's: a patch, and what it does to plain
// maps, without a word of ours.
type saying struct {
	patch  twin.Patch
	merges map[string]any
	puts   []put // in this order
}

// A put replaces what is at the end of the keys.
type put struct {
	keys  []string
	value any
}

// newSaying merges, or replaces, or both, over few keys.
func newSaying(rnd *rand.Rand) saying {
	s := saying{merges: map[string]any{}}
	kind := rnd.IntN(8)
	if kind < 6 {
		s.merges = collidingPatch(rnd, 3)
		s.patch = patchFromMap(s.merges)
	}
	if kind < 4 {
		return s
	}
	p := put{value: any(collidingPatch(rnd, 3))}
	for range min(rnd.IntN(5), 3) {
		p.keys = append(p.keys, string(rune('a'+rnd.IntN(3))))
	}
	if values := []any{nil, map[string]any{}, 1.0, []any{0.0}}; len(p.keys) > 0 && rnd.IntN(3) == 0 {
		p.value = values[rnd.IntN(len(values))]
	}
	s.puts = []put{p}
	path := strings.Join(p.keys, ".")
	if both := s.patch.Replace(path, p.value); both.Err() == nil {
		s.patch = both
	} else { // something else than an object stands above
		s.merges, s.patch = map[string]any{}, twin.Replace(path, p.value)
	}
	if _, whole := p.value.(map[string]any); whole && rnd.IntN(3) == 0 { // say more of what takes the place
		key := string(rune('a' + rnd.IntN(3)))
		more := put{append(slices.Clip(p.keys), key), collidingPatch(rnd, 2)[key]}
		s.puts = append(s.puts, more)
		s.patch = s.patch.Set(strings.Join(more.keys, "."), more.value)
	}
	if len(p.keys) == 0 {
		s.merges = map[string]any{}
	}
	return s
}

// tell lets a model hear it.
func (s saying) tell(j *modelHub) {
	j.merge(s.merges)
	for _, p := range s.puts {
		j.replace(p.keys, p.value)
	}
}

// wholeHalf reports whether it replaces everything.
func (s saying) wholeHalf() bool { return len(s.puts) > 0 && len(s.puts[0].keys) == 0 }

// written is what a store keeps of patches, as package device writes them:
// JSON knows no replacing, so what is deleted stands before what is merged.
func written(patches []twin.Patch) (read []twin.Patch) {
	for _, p := range patches {
		switch gone := twin.ReplacedOf(tree.Key{}, p); {
		case gone.Kind() == twin.Null:
			read = append(read, twin.Replace("", struct{}{}))
		case gone.Exists():
			read = append(read, twin.From(json.RawMessage(gone.JSON())))
		}
		read = append(read, twin.From(json.RawMessage(p.JSON())))
	}
	return read
}
