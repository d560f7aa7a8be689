package arch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	modulePath = "github.com/devicetwin/devicetwin-go"
	moduleRoot = "../.."
)

// A source is one Go file of the module, whatever it is built for.
type source struct {
	path string // from the module's root, with slashes
	text []byte
	file *ast.File
	fset *token.FileSet
}

func parse(name string, text []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: name, text: text, file: file, fset: fset}, err
}

// folder is the room that the file stands in.
func (s source) folder() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at is where the node stands, as an editor finds it.
func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// imports is what the file imports: the name it has here, and the path.
func (s source) imports() map[string]string {
	byName := map[string]string{}
	for _, spec := range s.file.Imports {
		p := importPath(spec)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		byName[name] = p
	}
	return byName
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// shipped are the sources that users link: no tests, no examples.
func shipped(all []source) []source {
	return slices.DeleteFunc(slices.Clone(all), func(s source) bool {
		return s.isTest() || isUnder(s.folder(), "examples")
	})
}

// isUnder reports whether a slash path is the folder or below it.
func isUnder(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

// readSources reads every Go file of the module below root.
func readSources(root string) ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(root, file, d.Name())
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(name), text)
		all = append(all, s)
		return err
	})
	return all, err
}

// enter says whether a folder is one that the go command would enter.
func enter(root, folder, name string) error {
	if folder == root {
		return nil
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// A graph is what each package imports, outside of its tests.
type graph map[string][]string

// readGraph asks the go command for the module's packages and all that they
// reach, on the platform that the test runs on.
func readGraph(ctx context.Context, root string) (graph, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, stderr.Bytes())
	}
	g := graph{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", cmd, err)
		}
		g[p.ImportPath] = p.Imports
	}
}

// own are the module's packages, in order.
func (g graph) own() []string {
	var all []string
	for p := range g {
		if isUnder(p, modulePath) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

// way is the shortest way from a package to one that bad objects to, both ends
// included; nil when there is none.
func (g graph) way(from string, bad func(string) bool) []string {
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		here := queue[0]
		for _, next := range g[here[len(here)-1]] {
			if seen[next] {
				continue
			}
			seen[next] = true
			way := append(slices.Clone(here), next)
			if bad(next) {
				return way
			}
			queue = append(queue, way)
		}
	}
	return nil
}
