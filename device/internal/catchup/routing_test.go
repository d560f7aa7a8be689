package catchup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/devicetwin/devicetwin-go/internal/tree"
	"github.com/devicetwin/devicetwin-go/twin"
)

// fleet is a machine with a twin of nearly 32 KB, in 100 groups of 10
// properties, and a listener on each property.
func fleet(tb testing.TB) (d *Desired, body, branch []byte) {
	tb.Helper()
	d = &Desired{}
	root := twin.Patch{}
	for g := range 100 {
		for k := range 10 {
			path := fmt.Sprintf("group%02d.key%d", g, k)
			root = root.Set(path, strings.Repeat("v", 27))
			if _, err := d.Listen(path, nothing, ListenerOptions{}); err != nil {
				tb.Fatal(err)
			}
		}
	}
	p := twin.Apply(twin.Properties{}, root).WithVersion(1)
	if size := p.Size(); size < 30<<10 || size > 32<<10 {
		tb.Fatalf("the twin has %d bytes, want nearly 32 KB", size)
	}
	d.Fetched(p, twin.CauseReconnect)
	for _, ok := d.Next(); ok; _, ok = d.Next() {
	}
	return d, []byte(`{"group42":{"key7":"changed value of this property"},"$version":2}`), p.At("group42").JSON()
}

// routeOne takes one notification from its bytes to the listener's call.
func routeOne(tb testing.TB, d *Desired, body []byte) {
	p, _, err := twin.ParseNotification(tree.Key{}, body)
	if err != nil {
		tb.Fatal(err)
	}
	if got := d.Notify(p, d.doc.Version()+1); got != Applied {
		tb.Fatalf("Notify = %v", got)
	}
	if del, ok := d.Next(); !ok || del.Change.Path != "group42.key7" {
		tb.Fatalf("Next = %v, %v", del.Change.Path, ok)
	}
	if _, ok := d.Next(); ok {
		tb.Fatal("a listener was called that the patch does not touch")
	}
}

func TestRoutingAllocates(t *testing.T) {
	d, body, _ := fleet(t)
	routeOne(t, d, body)
	if got := testing.AllocsPerRun(100, func() { routeOne(t, d, body) }); got > 25 {
		t.Errorf("a patch of one key among 1,000 listeners takes %v allocations, want at most 25", got)
	}
}

// BenchmarkNotify is a patch of one key in a twin of 32 KB with 1,000 path
// listeners, from bytes to the listener's call; Scan is the floor: to validate
// and scan the same patch, and the branch that it touches.
func BenchmarkNotify(b *testing.B) {
	d, body, branch := fleet(b)
	b.Run("Route", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			routeOne(b, d, body)
		}
	})
	b.Run("Scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := twin.ParseNotification(tree.Key{}, body); err != nil {
				b.Fatal(err)
			}
			if _, err := tree.ParseFromHub(branch); err != nil {
				b.Fatal(err)
			}
		}
	})
}
