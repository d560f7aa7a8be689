package arch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocuments holds README.md to the code: a newcomer copies from it.
func TestDocuments(t *testing.T) {
	readme := read(t, "README.md")
	t.Run("the README's program is examples/sas, to the letter", func(t *testing.T) {
		want := read(t, "examples/sas/main.go")
		blocks := goBlocks(readme)
		if len(blocks) == 0 {
			t.Fatal("README.md has no go block; copy examples/sas/main.go into one")
		}
		if got := blocks[0]; got != want {
			t.Errorf("the first go block of README.md is not examples/sas/main.go; copy that file into it\n%s", firstDifference(got, want))
		}
	})
	t.Run("the README's test is readme/firmware_test.go, and so it runs", func(t *testing.T) {
		blocks := goBlocks(readme)
		if len(blocks) < 2 || !strings.Contains(read(t, "internal/arch/readme/firmware_test.go"), blocks[1]) {
			t.Error("the second go block of README.md does not stand in internal/arch/readme/firmware_test.go; copy it from there")
		}
	})
	t.Run("the README's telemetry is readme/telemetry_test.go, and so it runs", func(t *testing.T) {
		blocks := goBlocks(readme)
		i := slices.IndexFunc(blocks, func(b string) bool { return strings.Contains(b, ".Messages(") })
		if i < 0 || !strings.Contains(read(t, "internal/arch/readme/telemetry_test.go"), blocks[i]) {
			t.Error("README.md has no go block that reads Messages and stands in internal/arch/readme/telemetry_test.go; copy it from there")
		}
	})
	t.Run("the README's back end is an example of twin/registry, and so it runs", func(t *testing.T) {
		blocks := goBlocks(readme)
		i := slices.IndexFunc(blocks, func(b string) bool { return strings.Contains(b, "registry.Client") })
		if i < 0 || !strings.Contains(read(t, "twin/registry/example_test.go"), blocks[i]) {
			t.Error("README.md has no go block that takes a registry.Client and stands in twin/registry/example_test.go; copy setSpeed from there")
		}
	})
	t.Run("the README names every example, and no other", func(t *testing.T) {
		// What they share is not one of them.
		examples := slices.DeleteFunc(namesIn(t, filepath.Join(moduleRoot, "examples")), func(name string) bool { return name == "internal" })
		for _, problem := range wrongExamples(readme, examples) {
			t.Error(problem)
		}
	})
	documents, err := filepath.Glob(filepath.Join(moduleRoot, ".github/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"README.md"}, relative(t, documents)...) {
		t.Run(name+" links to what is there", func(t *testing.T) {
			for _, problem := range deadLinks(name, read(t, name), exists) {
				t.Error(problem)
			}
		})
	}
}

// goBlocks are the texts between ```go and ```.
func goBlocks(markdown string) (blocks []string) {
	inside := false
	for line := range strings.Lines(markdown) {
		switch {
		case !inside && strings.TrimSpace(line) == "```go":
			inside = true
			blocks = append(blocks, "")
		case inside && strings.TrimSpace(line) == "```":
			inside = false
		case inside:
			blocks[len(blocks)-1] += line
		}
	}
	return blocks
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

// wrongExamples compares the examples that a text names with those that exist.
func wrongExamples(markdown string, folders []string) (bad []string) {
	named := found(`examples/([a-z0-9_-]+)`, markdown)
	for _, n := range named {
		if !slices.Contains(folders, n) {
			bad = append(bad, fmt.Sprintf("README.md names examples/%s, and there is no such folder; write it, or take the name out", n))
		}
	}
	for _, f := range folders {
		if !slices.Contains(named, f) {
			bad = append(bad, fmt.Sprintf("README.md does not name examples/%s; say what it shows", f))
		}
	}
	return bad
}

// deadLinks finds links of a document to files that are not there. Links that
// leave the repository are not looked at: a test needs no network.
func deadLinks(document, markdown string, exists func(string) bool) (bad []string) {
	for _, link := range found(`\]\(([^)\s]+)\)`, markdown) {
		target, _, _ := strings.Cut(link, "#")
		if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		if !exists(path.Join(path.Dir(document), target)) {
			bad = append(bad, fmt.Sprintf("%s links to %s, and there is no such file", document, target))
		}
	}
	return bad
}

// found is what the first group of a pattern catches, each once, in order.
func found(pattern, text string) (all []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(all, m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(moduleRoot, name))
	return !errors.Is(err, fs.ErrNotExist)
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func relative(t *testing.T, files []string) (names []string) {
	t.Helper()
	for _, f := range files {
		name, err := filepath.Rel(moduleRoot, f)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.ToSlash(name))
	}
	return names
}

func TestDocumentRulesCatch(t *testing.T) {
	const markdown = "# A\n\n```sh\nls\n```\n\n```go\npackage p\n\n// a\n```\n```go\nx\n```\n"
	if got, want := goBlocks(markdown), []string{"package p\n\n// a\n", "x\n"}; !slices.Equal(got, want) {
		t.Errorf("go blocks: got %q, want %q", got, want)
	}
	if got, want := firstDifference("a\nb\n", "a\nc\n"), `line 2: got "b", want "c"`; got != want {
		t.Errorf("difference: got %s, want %s", got, want)
	}
	if got, want := firstDifference("a", "a\nc"), "got 1 lines, want 2"; got != want {
		t.Errorf("difference: got %s, want %s", got, want)
	}
	if got := wrongExamples("`examples/sas` and examples/quickstart.", []string{"quickstart", "sas"}); got != nil {
		t.Errorf("examples that are all there: got %q", got)
	}
	if got := wrongExamples("examples/sas, examples/gone", []string{"sas", "new"}); len(got) != 2 ||
		!strings.Contains(got[0], "examples/gone") || !strings.Contains(got[1], "examples/new") {
		t.Errorf("one example gone and one unnamed: got %q", got)
	}
	only := func(there string) func(string) bool { return func(name string) bool { return name == there } }
	const links = "[a](../README.md#top) [b](https://example.org/x) [c](#here) [d](gone.md)"
	if got := deadLinks(".github/X.md", links, only("README.md")); len(got) != 1 || !strings.Contains(got[0], "gone.md") {
		t.Errorf("links: got %q, want one about gone.md", got)
	}
}
