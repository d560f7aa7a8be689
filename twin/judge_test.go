package twin

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// The judge knows nothing of nodes: plain maps, encoding/json, big.Rat. It is
// slow, obvious, and shares no line with what it judges.

// A dice rolls JSON of few keys and few values, so that two rolls collide.
type dice struct{ *rand.Rand }

func newDice(t testing.TB) dice {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return dice{rand.New(rand.NewPCG(seed, 0))}
}

func (d dice) pick(from []string) string { return from[d.IntN(len(from))] }

func (d dice) value(depth int, nulls bool) string {
	switch n := d.IntN(10); {
	case n < 4 && depth > 0:
		return d.object(depth-1, nulls)
	case n == 4 && depth > 0:
		return d.array(depth - 1)
	case n == 5 && nulls, n == 6 && nulls:
		return "null"
	}
	return d.pick([]string{"0", "-0", "1", "1.0", "1.10", "1.1", "11e-1", "1e400", "10E399", "true", "false",
		`""`, `"x"`, `"é€😀"`, `"\u0001\n\u0085"`, `"<&>"`})
}

func (d dice) object(depth int, nulls bool) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range d.IntN(5) {
		if i > 0 {
			b.WriteByte(',')
		}
		key := d.pick([]string{"a", "b", "c", "d", "", "@this", "x*", "e|f", `a\\.b`, "温度"})
		fmt.Fprintf(&b, `"%s":%s`, key, d.value(depth, nulls))
	}
	b.WriteByte('}')
	return b.String()
}

func (d dice) array(depth int) string {
	items := make([]string, d.IntN(3))
	for i := range items {
		items[i] = d.value(depth, true)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// half reads an object as a half of a twin.
func half(t testing.TB, text string) Properties {
	t.Helper()
	n, err := parseDocument([]byte(text))
	if err != nil {
		t.Fatalf("half %s: %v", text, err)
	}
	return propertiesOf(dropSystem(n), 1)
}

// change reads an object as a patch of the hub's.
func change(t testing.TB, text string) Patch {
	t.Helper()
	p, _, err := ParseNotification(tree.Key{}, []byte(text))
	if err != nil {
		t.Fatalf("patch %s: %v", text, err)
	}
	return p
}
