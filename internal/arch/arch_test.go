package arch

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestArchitecture(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	g, err := readGraph(ctx, moduleRoot)
	if err != nil {
		t.Fatalf("list the module's packages: %v", err)
	}
	srcs, err := readSources(moduleRoot)
	if err != nil {
		t.Fatalf("read the module's sources: %v", err)
	}
	if len(g.own()) == 0 || len(srcs) == 0 {
		t.Fatalf("found %d packages and %d files below %s; is %s still the module's path?", len(g.own()), len(srcs), moduleRoot, modulePath)
	}

	rules := []struct {
		sentence string
		broken   func() []string
	}{
		{"imports run only along the arrows of the design", func() []string { return wrongArrows(rooms(), srcs) }},
		{"twin has no clock and no goroutine", func() []string { return clocksAndGoroutines(srcs) }},
		{"no file but a test imports testing", func() []string { return testingImports(srcs) }},
		{"no package reaches testing", func() []string { return reachesTesting(g) }},
		{"the smallest device programs link one protocol, no hub, no testing and no HTTP", func() []string { return heavyPrograms(g) }},
		{"nothing runs because it was linked", func() []string { return initFuncs(srcs) }},
		{"the library reads no environment", func() []string { return environmentReads(srcs) }},
		{"packages have no variables but error values", func() []string { return packageVars(srcs) }},
		{"a file is short enough to read at once", func() []string { return longFiles(srcs) }},
		{"every exported name says what it is", func() []string { return undocumented(srcs) }},
		{"the top level holds the rooms and nothing else", func() []string { return strangers(namesIn(t, moduleRoot), strings.Fields(read(t, ".gitignore"))) }},
	}
	for _, rule := range rules {
		t.Run(rule.sentence, func(t *testing.T) {
			for _, problem := range rule.broken() {
				t.Error(problem)
			}
		})
	}
}

func namesIn(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
