package twin

import (
	"fmt"
	"strings"
	"testing"
)

// sample is a document of about the given number of bytes: groups of ten
// properties, as devices have them.
func sample(bytes int) string {
	var groups []string
	for n := 2; n < bytes; {
		var members []string
		for i := range 5 {
			members = append(members, fmt.Sprintf(`"setting%d":%d.5,"name%d":"value %d"`, i, i*100, i, i))
		}
		g := fmt.Sprintf(`"group%03d":{%s}`, len(groups), strings.Join(members, ","))
		groups = append(groups, g)
		n += len(g) + 1
	}
	return "{" + strings.Join(groups, ",") + "}"
}

// flat is a document of about the given number of bytes in one level.
func flat(bytes int) string {
	var members []string
	for n := 2; n < bytes; n += 22 {
		members = append(members, fmt.Sprintf(`"setting%05d":%d.25`, len(members), 10+len(members)%90))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func BenchmarkParse(b *testing.B) {
	for _, kb := range []int{1, 30} {
		b.Run(fmt.Sprintf("%dKB", kb), func(b *testing.B) {
			text := []byte(strings.TrimSuffix(sample(kb<<10), "}") + `,"$version":3}`)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := ParseProperties(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkApplyOneKey(b *testing.B) {
	for _, kb := range []int{1, 30} {
		b.Run(fmt.Sprintf("%dKB", kb), func(b *testing.B) {
			doc := half(b, sample(kb<<10))
			patches := []Patch{Set("group001.setting3", 1), Set("group001.setting3", 2)}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				doc = Apply(doc, patches[i%2])
			}
		})
	}
	b.Run("30KBFlat", func(b *testing.B) {
		doc := half(b, flat(30<<10))
		patches := []Patch{Set("setting00700", 1), Set("setting00700", 2)}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			doc = Apply(doc, patches[i%2])
		}
	})
}

func BenchmarkDiffOneKey(b *testing.B) {
	a := half(b, sample(30<<10))
	c := Apply(a, Set("group001.setting3", 1))
	b.Run("30KBShared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = Diff(a, c)
		}
	})
	b.Run("30KBApart", func(b *testing.B) {
		d := half(b, c.At("").String())
		b.ReportAllocs()
		for b.Loop() {
			_ = Diff(a, d)
		}
	})
}

func BenchmarkValidateOneKey(b *testing.B) {
	doc, p := half(b, sample(30<<10)), Set("group001.setting3", 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(doc, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSet(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = Set("climate.temperature", 21.5)
	}
}

func BenchmarkPatchJSON(b *testing.B) {
	p := Set("climate.temperature", 21.5).Set("uptime", 86400)
	b.ReportAllocs()
	for b.Loop() {
		_ = p.JSON()
	}
}

func BenchmarkAt(b *testing.B) {
	doc := half(b, sample(30<<10))
	b.ReportAllocs()
	for b.Loop() {
		_ = doc.At("group020.setting3").Exists()
	}
}
