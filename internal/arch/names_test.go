package arch

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNames holds the number of exported names of each package to .ci/names, so
// that the API grows in no commit by accident.
func TestNames(t *testing.T) {
	srcs, err := readSources(moduleRoot)
	if err != nil {
		t.Fatalf("read the module's sources: %v", err)
	}
	for _, problem := range wrongNames(read(t, ".ci/names"), publicNames(srcs)) {
		t.Error(problem)
	}
}

// wrongNames compares what .ci/names says with the names that there are.
func wrongNames(list string, names map[string]map[string]bool) (bad []string) {
	listed := map[string]bool{}
	for i, line := range strings.Split(strings.TrimSpace(list), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		folder, count, _ := strings.Cut(line, " ")
		want, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || listed[folder] {
			bad = append(bad, fmt.Sprintf(".ci/names:%d: %q is not one package and its count", i+1, line))
			continue
		}
		listed[folder] = true
		got := len(names[folder])
		if got != want {
			bad = append(bad, fmt.Sprintf("%s has %d exported names, and .ci/names says %d; if that is meant, write %d there and say why in the commit",
				folder, got, want, got))
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(names)) {
		if !listed[folder] {
			bad = append(bad, fmt.Sprintf("%s is not in .ci/names; add a line %q", folder, fmt.Sprint(folder, " ", len(names[folder]))))
		}
	}
	return bad
}

// publicNames collects the exported names that users of each package meet:
// constants, variables, functions, types, methods and fields of exported types,
// and methods of exported interfaces. A function or a method that takes a value of
// an internal type is not for users, and not among them.
func publicNames(srcs []source) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, s := range shipped(srcs) {
		if s.file.Name.Name == "main" || slices.Contains(strings.Split(s.folder(), "/"), "internal") {
			continue
		}
		names := all[s.folder()]
		if names == nil {
			names = map[string]bool{}
			all[s.folder()] = names
		}
		imports := s.imports()
		for _, d := range s.file.Decls {
			for _, name := range namesOf(d, imports) {
				names[name] = true
			}
		}
	}
	return all
}

// namesOf returns the exported names of one declaration, such as "T.Method".
func namesOf(d ast.Decl, imports map[string]string) (names []string) {
	add := func(prefix string, idents ...*ast.Ident) {
		for _, id := range idents {
			if id.IsExported() {
				names = append(names, prefix+id.Name)
			}
		}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		switch {
		case overInternal(d.Type, imports):
		case d.Recv == nil:
			add("", d.Name)
		default:
			if t := typeName(d.Recv.List[0].Type); t != nil && t.IsExported() {
				add(t.Name+".", d.Name)
			}
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				add("", spec.Names...)
			case *ast.TypeSpec:
				if !spec.Name.IsExported() {
					continue
				}
				add("", spec.Name)
				for _, f := range members(spec.Type) {
					if fn, ok := f.Type.(*ast.FuncType); ok && overInternal(fn, imports) {
						continue
					}
					if len(f.Names) == 0 { // embedded
						if t := typeName(f.Type); t != nil {
							add(spec.Name.Name+".", t)
						}
					}
					add(spec.Name.Name+".", f.Names...)
				}
			}
		}
	}
	return names
}

// members are the fields of a struct, or the methods of an interface.
func members(t ast.Expr) []*ast.Field {
	switch t := t.(type) {
	case *ast.StructType:
		return t.Fields.List
	case *ast.InterfaceType:
		return t.Methods.List
	}
	return nil
}

// typeName is the name of a type without its package, stars and arguments.
func typeName(t ast.Expr) *ast.Ident {
	switch t := t.(type) {
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.IndexExpr:
		return typeName(t.X)
	case *ast.IndexListExpr:
		return typeName(t.X)
	case *ast.SelectorExpr:
		return t.Sel
	case *ast.Ident:
		return t
	}
	return nil
}

// overInternal reports whether a parameter has the type of an internal package.
func overInternal(f *ast.FuncType, imports map[string]string) bool {
	found := false
	for _, p := range f.Params.List {
		ast.Inspect(p.Type, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				pkg, ok := sel.X.(*ast.Ident)
				found = found || ok && slices.Contains(strings.Split(imports[pkg.Name], "/"), "internal")
			}
			return !found
		})
	}
	return found
}

func TestNamesCount(t *testing.T) {
	const text = `package p

import "github.com/devicetwin/devicetwin-go/internal/tree"

const A, b = 1, 2

var C, D error

type E[T any] struct {
	F, g int
	h    int
	I
	*tree.J
}

func (*E[T]) K() {}

func (e E[T]) l() {}

func (e E[T]) M(tree.Key) {}

type N interface {
	O()
	P(tree.Key)
	q()
}

type r struct{ S int }

func (r) T() {}

func U(_ tree.Key, v int) {}

func V() tree.Key { return tree.Key{} }
`
	s, err := parse("x/y/z.go", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	test, main, inner := s, s, s
	test.path, inner.path = "x/y/z_test.go", "x/internal/z.go"
	if main, err = parse("x/cmd/z.go", []byte("package main\n\nfunc A() {}\n")); err != nil {
		t.Fatal(err)
	}
	all := publicNames([]source{s, test, main, inner})
	got := strings.Join(slices.Sorted(maps.Keys(all["x/y"])), " ")
	if want := "A C D E E.F E.I E.J E.K N N.O V"; got != want || len(all) != 1 {
		t.Errorf("got %s, and %d packages\nwant %s, and 1", got, len(all), want)
	}
	for _, tt := range []struct{ desc, list, want string }{
		{"right", "# comment\n\nx/y 11\n", ""},
		{"wrong", "x/y 10\n", "x/y has 11 exported names, and .ci/names says 10"},
		{"no number", "x/y\n", `.ci/names:1: "x/y" is not one package`},
		{"twice", "x/y 11\nx/y 11\n", `.ci/names:2: "x/y 11" is not one package`},
		{"missing", "# none\n", `x/y is not in .ci/names; add a line "x/y 11"`},
		{"no such package", "x/y 11\nx/z 1\n", "x/z has 0 exported names"},
	} {
		t.Run(tt.desc, func(t *testing.T) {
			got := strings.Join(wrongNames(tt.list, all), "\n")
			if !strings.HasPrefix(got, tt.want) || got != "" && tt.want == "" {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
