// Package bench compares the library with others, as ratios in one run:
//
//	go test -bench . ./...
package bench

import (
	"fmt"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/devicetwin/devicetwin-go/twin"
)

// document is a half of a twin of some 30 KB, in 100 groups of 10 properties.
func document(tb testing.TB) (p twin.Properties, text []byte) {
	tb.Helper()
	var patch twin.Patch
	for g := range 100 {
		for k := range 10 {
			patch = patch.Set(fmt.Sprintf("group%02d.key%d", g, k), strings.Repeat("v", 20))
		}
	}
	p = twin.Apply(twin.Properties{}, patch)
	return p, p.JSON()
}

const onePatch = `{"group42":{"key7":"changed"}}`

// TestSameResult makes sure that what is compared does the same.
func TestSameResult(t *testing.T) {
	p, text := document(t)
	patch, err := twin.ParsePatch([]byte(onePatch))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := jsonpatch.MergePatch(text, []byte(onePatch))
	if err != nil {
		t.Fatal(err)
	}
	ours := twin.Apply(p, patch)
	if !jsonpatch.Equal(ours.JSON(), theirs) {
		t.Error("Apply and MergePatch differ")
	}
	diff, err := jsonpatch.CreateMergePatch(text, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got := twin.Diff(p, ours).JSON(); !jsonpatch.Equal(got, diff) {
		t.Errorf("Diff is %s, CreateMergePatch %s", got, diff)
	}
}

// BenchmarkApply merges a patch of one key into 30 KB. Ours keeps the document
// as it needs it anyway; OursFromBytes parses it each time and writes it back,
// as the other one must.
func BenchmarkApply(b *testing.B) {
	p, text := document(b)
	b.Run("Ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			patch, err := twin.ParsePatch([]byte(onePatch))
			if err != nil {
				b.Fatal(err)
			}
			twin.Apply(p, patch)
		}
	})
	b.Run("OursFromBytes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			doc, err := twin.ParsePatch(text)
			if err != nil {
				b.Fatal(err)
			}
			patch, err := twin.ParsePatch([]byte(onePatch))
			if err != nil {
				b.Fatal(err)
			}
			twin.Apply(twin.Apply(twin.Properties{}, doc), patch).JSON()
		}
	})
	b.Run("JSONPatch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := jsonpatch.MergePatch(text, []byte(onePatch)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDiff finds one key that differs in 30 KB: in documents that share
// what is the same, and in documents that were read apart.
func BenchmarkDiff(b *testing.B) {
	p, text := document(b)
	patch, err := twin.ParsePatch([]byte(onePatch))
	if err != nil {
		b.Fatal(err)
	}
	next := twin.Apply(p, patch)
	apart, err := twin.ParsePatch(next.JSON())
	if err != nil {
		b.Fatal(err)
	}
	read := twin.Apply(twin.Properties{}, apart)
	nextText := next.JSON()
	b.Run("Ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			twin.Diff(p, next)
		}
	})
	b.Run("OursReadApart", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			twin.Diff(p, read)
		}
	})
	b.Run("JSONPatch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := jsonpatch.CreateMergePatch(text, nextText); err != nil {
				b.Fatal(err)
			}
		}
	})
}
