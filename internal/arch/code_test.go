package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// clocksAndGoroutines finds in twin what would make it more than a function of
// its arguments. What lies below it is another room.
func clocksAndGoroutines(srcs []source) (bad []string) {
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, s := range srcs {
		if s.isTest() || s.folder() != "twin" {
			continue
		}
		names := s.imports()
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				bad = append(bad, s.at(n)+": a goroutine in twin; return what is to be done, and let package device do it")
			case *ast.SelectorExpr:
				pkg, ok := n.X.(*ast.Ident)
				if ok && names[pkg.Name] == "time" && slices.Contains(clock, n.Sel.Name) {
					bad = append(bad, fmt.Sprintf("%s: time.%s in twin; take now as an argument", s.at(n), n.Sel.Name))
				}
			}
			return true
		})
	}
	return bad
}

// testingImports finds files that import testing outside of tests, also those
// that are built for another platform than this one.
func testingImports(srcs []source) (bad []string) {
	for _, s := range srcs {
		for _, spec := range s.file.Imports {
			if !s.isTest() && isUnder(importPath(spec), "testing") {
				bad = append(bad, s.at(spec)+": imports testing; take a small interface of your own (Helper, Fatalf, …)")
			}
		}
	}
	return bad
}

// initFuncs finds code that runs because it was linked.
func initFuncs(srcs []source) (bad []string) {
	for _, s := range shipped(srcs) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				bad = append(bad, s.at(f)+": an init function; do it where a caller asks for it")
			}
		}
	}
	return bad
}

// environmentReads finds settings that no caller made.
func environmentReads(srcs []source) (bad []string) {
	readers := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}
	for _, s := range shipped(srcs) {
		names := s.imports()
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(readers, sel.Sel.Name) {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && names[pkg.Name] == "os" {
				bad = append(bad, fmt.Sprintf("%s: os.%s; take it as an option: the program decides what it reads", s.at(n), sel.Sel.Name))
			}
			return true
		})
	}
	return bad
}

// packageVars finds state that belongs to nobody.
func packageVars(srcs []source) (bad []string) {
	for _, s := range shipped(srcs) {
		names := s.imports()
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for i, name := range spec.(*ast.ValueSpec).Names {
					if name.Name != "_" && !isErrorValue(names, spec.(*ast.ValueSpec), i) {
						bad = append(bad, fmt.Sprintf("%s: package variable %s; only error values are: make it a const, a field, or a function that returns it", s.at(name), name.Name))
					}
				}
			}
		}
	}
	return bad
}

// isErrorValue reports whether the variable is an error for errors.Is: made by
// errors.New or fmt.Errorf, or another package's Err value under a name here.
func isErrorValue(imports map[string]string, spec *ast.ValueSpec, i int) bool {
	if i >= len(spec.Values) {
		return false
	}
	value := spec.Values[i]
	call, isCall := value.(*ast.CallExpr)
	if isCall {
		value = call.Fun
	}
	sel, ok := value.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	if !isCall {
		return strings.HasPrefix(sel.Sel.Name, "Err")
	}
	made := imports[pkg.Name] + "." + sel.Sel.Name
	return made == "errors.New" || made == "fmt.Errorf"
}

// The longest file: code is read more often than tests are.
const (
	maxLines     = 400
	maxTestLines = 500
)

// longFiles finds files that hold more than one concern.
func longFiles(srcs []source) (bad []string) {
	for _, s := range srcs {
		limit := maxLines
		if s.isTest() {
			limit = maxTestLines
		}
		if n := bytes.Count(s.text, []byte("\n")); n > limit {
			bad = append(bad, fmt.Sprintf("%s: %d lines; at most %d: split it by concern", s.path, n, limit))
		}
	}
	return bad
}

// undocumented finds exported names without a comment, and packages without one.
func undocumented(srcs []source) (bad []string) {
	packages := map[string]bool{}
	for _, s := range shipped(srcs) {
		packages[s.folder()] = packages[s.folder()] || hasText(s.file.Doc)
		for _, d := range s.file.Decls {
			for _, name := range bareNames(d) {
				bad = append(bad, fmt.Sprintf("%s: %s has no doc comment; say what a caller must know", s.at(name), name.Name))
			}
		}
	}
	for folder, documented := range packages {
		if !documented {
			bad = append(bad, folder+": the package has no comment; say in doc.go what it holds, and what it knows nothing of")
		}
	}
	slices.Sort(bad)
	return bad
}

// bareNames are the exported names that a declaration leaves without comment.
func bareNames(d ast.Decl) (bare []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && isPublicReceiver(d.Recv) && !hasText(d.Doc) {
			bare = append(bare, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				// A group's comment speaks of no type in particular.
				if spec.Name.IsExported() && !hasText(spec.Doc) && (d.Lparen.IsValid() || !hasText(d.Doc)) {
					bare = append(bare, spec.Name)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() && !hasText(spec.Doc) && !hasText(spec.Comment) && !hasText(d.Doc) {
						bare = append(bare, name)
					}
				}
			}
		}
	}
	return bare
}

func hasText(c *ast.CommentGroup) bool { return strings.TrimSpace(c.Text()) != "" }

// isPublicReceiver reports whether users can call a method of this receiver:
// a plain function, or a method of an exported type.
func isPublicReceiver(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	t := recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// strangers finds names that have no place at the module's top level. What git
// ignores by its name there is somebody's own: a running hub's file, a program that
// was just built.
func strangers(names []string, ignored []string) (bad []string) {
	known := []string{
		"device", "transport", "auth", "twin", "examples", "internal",
		"go.mod", "go.sum", "README.md", "LICENSE",
	}
	for _, name := range names {
		if !strings.HasPrefix(name, ".") && !slices.Contains(known, name) && !slices.Contains(ignored, "/"+name) {
			bad = append(bad, name+" stands at the top level; scripts live in .ci, documents in .github, code in a room")
		}
	}
	return bad
}
