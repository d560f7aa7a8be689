package bench

import (
	"debug/elf"
	"path/filepath"
	"testing"
)

// sections are what a program's flash goes to: code, constants, the tables of
// lines and functions, and variables.
var sections = [...]string{".text", ".rodata", ".gopclntab", ".data", ".noptrdata"}

// TestSections shows what the sections of a device and of the floor hold. Files
// for ARM grow in steps of 64 KB, sections by the byte.
func TestSections(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles for other machines")
	}
	read := func(pkg string) map[string]uint64 {
		t.Helper()
		out := filepath.Join(t.TempDir(), "program")
		build(t, "GOARCH=arm GOARM=7", pkg, out)
		f, err := elf.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sizes := map[string]uint64{}
		for _, name := range sections {
			section := f.Section(name)
			if section == nil {
				t.Fatalf("%s has no section %s", pkg, name)
			}
			sizes[name] = section.Size
		}
		return sizes
	}
	ours, floor := read(firmware), read("./floor")
	var all, least uint64
	t.Logf("| section, ARMv7, bytes | examples/sas | internal/bench/floor | ratio |")
	t.Logf("|---|--:|--:|--:|")
	for _, name := range sections {
		t.Logf("| %s | %d | %d | %.3f |", name, ours[name], floor[name], float64(ours[name])/float64(floor[name]))
		all += ours[name]
		least += floor[name]
	}
	ratio := float64(all) / float64(least)
	t.Logf("| all | %d | %d | %.3f |", all, least, ratio)
	if ratio > most {
		t.Errorf("the sections of examples/sas are %.3f of bare paho's, at most %.2f", ratio, most)
	}
}
