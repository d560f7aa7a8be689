package tree_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/devicetwin/devicetwin-go/internal/tree"
)

// groups is an object of about the given number of bytes: groups of ten
// properties, as devices have them.
func groups(bytes int) []byte {
	var all []string
	for n := 2; n < bytes; {
		var members []string
		for i := range 5 {
			members = append(members, fmt.Sprintf(`"setting%d":%d.5,"name%d":"value %d"`, i, i*100, i, i))
		}
		g := fmt.Sprintf(`"group%03d":{%s}`, len(all), strings.Join(members, ","))
		all = append(all, g)
		n += len(g) + 1
	}
	return []byte("{" + strings.Join(all, ",") + "}")
}

// heap returns the bytes in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // the first may have been under way already
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// limit is a number of bytes by the size of a word.
func limit(bits64, bits32 uint64) uint64 {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		return bits32
	}
	return bits64
}

func TestNodeSize(t *testing.T) {
	if got, want := uint64(unsafe.Sizeof(tree.Node{})), limit(32, 16); got != want {
		t.Errorf("a node takes %d bytes, want %d: most of a twin is leaves", got, want)
	}
}

// TestRetainedHeap measures what a device keeps of a twin of 30 KB. Its second
// bound is for 32-bit machines.
func TestRetainedHeap(t *testing.T) {
	if racing {
		t.Skip("the race detector takes memory of its own")
	}
	text := groups(30 << 10)
	const copies = 100
	kept := make([]*tree.Node, copies)
	before := heap()
	for i := range kept {
		n, err := tree.ParseDocument(text)
		if err != nil {
			t.Fatal(err)
		}
		kept[i] = n
	}
	got, most := (heap()-before)/copies, limit(150_000, 90_000)
	runtime.KeepAlive(kept)
	t.Logf("a twin of %d bytes retains %d", len(text), got)
	if got > most {
		t.Errorf("a twin of %d bytes retains %d, want at most %d", len(text), got, most)
	}
}

// TestParseAllocates measures what parsing a twin of 30 KB takes for a moment.
func TestParseAllocates(t *testing.T) {
	if racing {
		t.Skip("the race detector takes memory of its own")
	}
	text := groups(30 << 10)
	const runs = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := tree.ParseDocument(text); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	got, most := (after.TotalAlloc-before.TotalAlloc)/runs, limit(200_000, 130_000)
	t.Logf("parsing %d bytes allocates %d", len(text), got)
	if got > most {
		t.Errorf("parsing %d bytes allocates %d, want at most %d", len(text), got, most)
	}
}

// TestNothingPinsItsText: what is left of a text keeps no more in memory
// than itself. A device that runs for years keeps parts of many notifications.
func TestNothingPinsItsText(t *testing.T) {
	const notifications = 300
	kept := make([]*tree.Node, notifications)
	before := heap()
	for i := range kept {
		// A leaf of each kind that has a text: plain, with an escape, a number.
		text := []byte(fmt.Sprintf(`{"plain":"value %d","escaped":"value\t%d","number":%d.5,"rest":%s}`, i, i, i, groups(30<<10)))
		n, err := tree.ParseFromHub(text)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := tree.Seek(n.Members(), []string{"plain", "escaped", "number"}[i%3])
		kept[i] = tree.NewObject(n.Members()[at])
	}
	got := heap() - before
	runtime.KeepAlive(kept)
	t.Logf("what is left of %d notifications retains %d bytes", notifications, got)
	if got > 400_000 {
		t.Errorf("what is left of %d notifications of 30 KB retains %d bytes, want at most 400000", notifications, got)
	}
}
