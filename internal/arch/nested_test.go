package arch

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A module is what a go.mod says, as the go command reads it.
type module struct {
	folder string // from the root, with slashes
	Module struct{ Path string }
	Go     string

	Require []requirement
	Replace []struct{ Old, New struct{ Path string } }
}

type requirement struct {
	Path, Version string
	Indirect      bool
}

// TestNestedModules holds the modules that stand in folders of this one to it:
// what is tested there is the code that stands here, with what it is built with
// here.
func TestNestedModules(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all, err := readModules(ctx, moduleRoot)
	if err != nil {
		t.Fatalf("read the modules: %v", err)
	}
	if len(all) < 2 || all[0].Module.Path != modulePath {
		t.Fatalf("got %d modules, want this one and nested ones", len(all))
	}
	for _, problem := range slices.Concat(wrongGo(all), wrongVersions(all), wrongReplacements(all)) {
		t.Error(problem)
	}
}

// readModules reads every go.mod where .ci/run finds one, the root's first.
func readModules(ctx context.Context, root string) (all []module, err error) {
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || d.Name() != "go.mod":
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		m := module{folder: filepath.ToSlash(folder)}
		text, err := exec.CommandContext(ctx, "go", "mod", "edit", "-json", file).Output()
		if err != nil {
			return fmt.Errorf("go mod edit -json %s: %w", file, err)
		}
		all = append(all, m)
		return json.Unmarshal(text, &all[len(all)-1])
	})
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.folder, b.folder) }) // "." is first
	return all, err
}

// wrongGo finds modules that ask for another Go than the root.
func wrongGo(all []module) (bad []string) {
	for _, m := range all[1:] {
		if m.Go != all[0].Go {
			bad = append(bad, fmt.Sprintf("%s/go.mod asks for go %s, and the library for %s; write that", m.folder, m.Go, all[0].Go))
		}
	}
	return bad
}

// wrongVersions finds what one of the modules uses itself, and another has in
// another version. A module that takes nothing of ours is a judge, and is built
// with what it wants.
func wrongVersions(all []module) (bad []string) {
	all = slices.DeleteFunc(slices.Clone(all), func(m module) bool {
		return m.folder != "." && !slices.ContainsFunc(m.Require, func(r requirement) bool { return isUnder(r.Path, modulePath) })
	})
	type use struct{ folder, version string }
	direct := map[string]use{}
	for _, m := range all {
		for _, r := range m.Require {
			if _, known := direct[r.Path]; !known && !r.Indirect {
				direct[r.Path] = use{m.folder, r.Version}
			}
		}
	}
	for _, m := range all {
		for _, r := range m.Require {
			first, ok := direct[r.Path]
			if ok && !isUnder(r.Path, modulePath) && r.Version != first.version {
				bad = append(bad, fmt.Sprintf("%s/go.mod has %s %s, and %s/go.mod %s; run go get %s@… in both",
					m.folder, r.Path, r.Version, first.folder, first.version, r.Path))
			}
		}
	}
	return bad
}

// wrongReplacements finds modules that would fetch one of ours, or take it from
// elsewhere than its folder here.
func wrongReplacements(all []module) (bad []string) {
	for _, m := range all {
		for _, r := range m.Require {
			if !isUnder(r.Path, modulePath) {
				continue
			}
			home := path.Clean("./" + strings.TrimPrefix(r.Path, modulePath))
			found := ""
			for _, rep := range m.Replace {
				if rep.Old.Path == r.Path {
					found = path.Join(m.folder, rep.New.Path)
				}
			}
			if found != home {
				bad = append(bad, fmt.Sprintf("%s/go.mod takes %s from %q; replace it by its folder here, %s", m.folder, r.Path, found, home))
			}
		}
	}
	return bad
}

func TestModuleRulesCatch(t *testing.T) {
	mod := func(folder, text string) module {
		m := module{folder: folder}
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	root := mod(".", `{"Go":"1.25.0","Require":[{"Path":"x.org/a","Version":"v1.0.0"},{"Path":"x.org/b","Version":"v1.0.0","Indirect":true}]}`)
	const lib = `{"Path":"` + modulePath + `","Version":"v0.0.0"}`
	replaced := func(by string) string {
		return `,"Replace":[{"Old":{"Path":"` + modulePath + `"},"New":{"Path":"` + by + `"}}]}`
	}
	for _, tt := range []struct {
		name, text string
		want       []string // the beginnings of the objections
	}{
		{"nothing wrong", `{"Go":"1.25.0","Require":[` + lib + `,{"Path":"x.org/a","Version":"v1.0.0","Indirect":true}]` + replaced("../.."), nil},
		{"another Go", `{"Go":"1.26.0"}`, []string{"examples/p/go.mod asks for go 1.26.0"}},
		{"another version", `{"Go":"1.25.0","Require":[` + lib + `,{"Path":"x.org/a","Version":"v1.1.0","Indirect":true}]` + replaced("../.."), []string{"examples/p/go.mod has x.org/a v1.1.0, and ./go.mod v1.0.0"}},
		{"another version of what nobody uses", `{"Go":"1.25.0","Require":[{"Path":"x.org/b","Version":"v1.1.0","Indirect":true}]}`, nil},
		{"another version of what it uses itself", `{"Go":"1.25.0","Require":[` + lib + `,{"Path":"x.org/b","Version":"v1.1.0"}]` + replaced("../.."), []string{"./go.mod has x.org/b v1.0.0, and examples/p/go.mod v1.1.0"}},
		{"a judge that takes nothing of ours", `{"Go":"1.25.0","Require":[{"Path":"x.org/a","Version":"v0.1.0"},{"Path":"x.org/b","Version":"v0.1.0"}]}`, nil},
		{"the library from the network", `{"Go":"1.25.0","Require":[` + lib + `]}`, []string{"examples/p/go.mod takes " + modulePath + ` from ""`}},
		{"the library from elsewhere", `{"Go":"1.25.0","Require":[` + lib + `]` + replaced("../../.."), []string{"examples/p/go.mod takes " + modulePath + ` from ".."`}},
	} {
		all := []module{root, mod("examples/p", tt.text)}
		got := slices.Concat(wrongGo(all), wrongVersions(all), wrongReplacements(all))
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
