package arch

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestContracts holds contracts.txt to the doc comments and the tests that it
// names, and the doc comments to contracts.txt.
func TestContracts(t *testing.T) {
	srcs, err := readSources(moduleRoot)
	if err != nil {
		t.Fatalf("read the module's sources: %v", err)
	}
	for _, problem := range wrongContracts(read(t, "internal/arch/contracts.txt"), srcs) {
		t.Error(problem)
	}
}

// contractRooms are the packages whose promises contracts.txt lists.
func contractRooms() []string { return []string{"device", "device/store", "transport", "twin"} }

// A contract is one line of contracts.txt.
type contract struct {
	line   int
	symbol string
	words  string
	tests  []string
	reason string // why the words promise nothing; empty for a promise
}

// wrongContracts compares the list with what is there.
func wrongContracts(list string, srcs []source) (bad []string) {
	const file = "internal/arch/contracts.txt"
	all, bad := parseContracts(file, list)
	docs := readDocs(srcs)
	tests := readTests(srcs)
	spans := map[string][][2]int{} // of a symbol's doc, what entries cover
	seen := map[string]int{}
	for _, c := range all {
		at := fmt.Sprintf("%s:%d", file, c.line)
		doc, ok := docs[c.symbol]
		i := strings.Index(doc.text, c.words)
		switch first, twice := seen[c.symbol+"|"+c.words]; {
		case !ok:
			bad = append(bad, fmt.Sprintf("%s: %s has no doc comment, or is no exported name; take the line out, or correct the name", at, c.symbol))
			continue
		case i < 0:
			bad = append(bad, fmt.Sprintf("%s: the doc comment of %s does not say %q; if the promise changed, change its test, too", at, c.symbol, c.words))
			continue
		case twice:
			bad = append(bad, fmt.Sprintf("%s: the same words as in line %d; name all tests in one line", at, first))
		}
		seen[c.symbol+"|"+c.words] = c.line
		for ; i >= 0; i = next(doc.text, c.words, i+1) {
			spans[c.symbol] = append(spans[c.symbol], [2]int{i, i + len(c.words)})
		}
		for _, name := range c.tests {
			if problem := tests.missing(name); problem != "" {
				bad = append(bad, fmt.Sprintf("%s: %s", at, problem))
			}
		}
	}
	for _, symbol := range slices.Sorted(maps.Keys(docs)) {
		for _, s := range docs[symbol].uncovered(spans[symbol]) {
			bad = append(bad, fmt.Sprintf("%s: %s promises %q, and %s has no line for it; write the test that fails without it, and add: %s | %s | folder.TestName", docs[symbol].at, symbol, s, file, symbol, s))
		}
	}
	return bad
}

// next is strings.Index from a place on.
func next(text, words string, from int) int {
	if i := strings.Index(text[from:], words); i >= 0 {
		return from + i
	}
	return -1
}

// nothing begins the third part of a line whose words promise nothing.
const nothing = "promises nothing: "

// parseContracts reads the list. Empty lines and lines with # are comments.
func parseContracts(file, list string) (all []contract, bad []string) {
	n := 0
	for line := range strings.Lines(list) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, " | ")
		if len(parts) != 3 || slices.Contains(parts, "") {
			bad = append(bad, fmt.Sprintf("%s:%d: not of the form symbol | words | tests", file, n))
			continue
		}
		c := contract{line: n, symbol: parts[0], words: parts[1]}
		if reason, ok := strings.CutPrefix(parts[2], nothing); ok {
			c.reason = reason
		} else {
			c.tests = strings.Split(parts[2], "; ")
		}
		all = append(all, c)
	}
	return all, bad
}

// A symbolDoc is the doc comment of one symbol, as one line.
type symbolDoc struct {
	at   string
	text string
	// sentences are the places in text where sentences and rows of tables begin
	// and end.
	sentences [][2]int
	rows      map[int]bool // the sentences that are rows of a table, by their beginning
}

// readDocs are the doc comments of the exported names: folder.Name,
// folder.Type.Method, folder.Type.Field, and of a package by its folder.
func readDocs(srcs []source) map[string]symbolDoc {
	docs := map[string]symbolDoc{}
	for _, s := range shipped(srcs) {
		if !slices.Contains(contractRooms(), s.folder()) {
			continue
		}
		add := func(n ast.Node, name string, groups ...*ast.CommentGroup) {
			for _, g := range groups {
				if hasText(g) {
					d := docs[name]
					if d.at == "" {
						d.at = s.at(n)
					}
					d.add(g.Text())
					docs[name] = d
				}
			}
		}
		if s.file.Doc != nil {
			add(s.file, s.folder(), s.file.Doc)
		}
		for _, d := range s.file.Decls {
			addDecl(s.folder(), d, add)
		}
	}
	return docs
}

func addDecl(folder string, d ast.Decl, add func(ast.Node, string, ...*ast.CommentGroup)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && isPublicReceiver(d.Recv) {
			add(d, folder+"."+receiver(d)+d.Name.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					name := folder + "." + spec.Name.Name
					add(spec, name, d.Doc, spec.Doc, spec.Comment)
					addMembers(name, spec.Type, add)
				}
			case *ast.ValueSpec:
				// Names of one line share its comment, which belongs to the first.
				if name := spec.Names[0]; name.IsExported() {
					if !d.Lparen.IsValid() {
						add(spec, folder+"."+name.Name, d.Doc)
					}
					add(spec, folder+"."+name.Name, spec.Doc, spec.Comment)
				}
			}
		}
	}
}

// addMembers adds fields and methods of a type.
func addMembers(name string, t ast.Expr, add func(ast.Node, string, ...*ast.CommentGroup)) {
	var members *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		members = t.Fields
	case *ast.InterfaceType:
		members = t.Methods
	default:
		return
	}
	for _, m := range members.List {
		if len(m.Names) > 0 && m.Names[0].IsExported() {
			add(m, name+"."+m.Names[0].Name, m.Doc, m.Comment)
		}
	}
}

// receiver is "Type." of a method, and empty for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	name := ""
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name + "."
		}
		return name == ""
	})
	return name
}

// add appends a comment: its paragraphs without line breaks, and each row of a
// table, with its continuation, as one sentence. Code is left out: a block
// without columns.
func (d *symbolDoc) add(text string) {
	for block := range strings.SplitSeq(text, "\n\n") {
		lines := strings.Split(strings.Trim(block, "\n"), "\n")
		switch {
		case strings.HasPrefix(block, "# "):
		case strings.HasPrefix(lines[0], "\t"):
			if isTable(lines) {
				for _, row := range rows(lines) {
					d.sentence(row, true)
				}
			}
		default:
			for _, s := range sentences(strings.Join(strings.Fields(block), " ")) {
				d.sentence(s, false)
			}
		}
	}
}

func (d *symbolDoc) sentence(s string, row bool) {
	if d.text != "" {
		d.text += " "
	}
	if row {
		if d.rows == nil {
			d.rows = map[int]bool{}
		}
		d.rows[len(d.text)] = true
	}
	d.sentences = append(d.sentences, [2]int{len(d.text), len(d.text) + len(s)})
	d.text += s
}

// isTable reports whether most lines of a block have columns: two blanks that do
// not begin a comment.
func isTable(lines []string) bool {
	n := 0
	for _, l := range lines {
		if regexp.MustCompile(`\S  +[^/ ]`).MatchString(l) {
			n++
		}
	}
	return 2*n > len(lines)
}

// rows joins the lines of each row; a line that is indented further goes on
// with the one before.
func rows(lines []string) (all []string) {
	for _, l := range lines {
		joined := strings.Join(strings.Fields(l), " ")
		if strings.HasPrefix(l, "\t ") && len(all) > 0 {
			all[len(all)-1] += " " + joined
			continue
		}
		all = append(all, joined)
	}
	return all
}

// sentences splits a paragraph.
func sentences(text string) (all []string) {
	end := regexp.MustCompile(`[.?!]["')]? ["A-Z\[]`)
	for {
		at := end.FindStringIndex(text)
		if at == nil {
			return append(all, text)
		}
		all = append(all, text[:at[1]-2])
		text = text[at[1]-1:]
	}
}

// promise is the rule of what needs a line: a figure with a unit, what a zero
// means, and the words that promises are made with. Each row of a table does.
const promise = `(?i)\b(\d[\d.,]* ?(s|ms|min|h|b|kb|mb|kib|mib|bytes?|deep|bits|levels?|names|times|a minute|connects|gets|mode|more)\b` +
	`|(0|zero|empty|nil|"") (means|for)|never|always|at most|at least|at once|up to|returns?|blocks?|waits?|bounds?|bounded|concurrently|any goroutine` +
	`|at any time|one at a time|in order|idempotent|by default|fails?|refuse[sd]?|match(es|ed)|is an error|lost|not|nothing|only|held|kept|until|may be|may call)\b`

// uncovered are the sentences with a promise that no span covers.
func (d symbolDoc) uncovered(spans [][2]int) (bare []string) {
	rule := regexp.MustCompile(promise)
	for _, s := range d.sentences {
		text := d.text[s[0]:s[1]]
		found := rule.FindAllStringIndex(text, -1)
		if d.rows[s[0]] {
			found = [][]int{{0, len(text)}}
		}
		for _, at := range found {
			if !slices.ContainsFunc(spans, func(span [2]int) bool { return span[0] <= s[0]+at[0] && s[0]+at[1] <= span[1] }) {
				bare = append(bare, text)
				break
			}
		}
	}
	return bare
}

// testNames are, by folder and function, the texts in the file of each test.
type testNames map[string]map[string]bool

// readTests are the tests, examples and fuzz targets of the module. The cases of
// each TestConformance stand in one package for all transports.
func readTests(srcs []source) testNames {
	names := testNames{}
	shared := map[string]bool{}
	for _, s := range srcs {
		texts := map[string]bool{}
		if s.folder() == "internal/transporttest" {
			texts = shared
		} else if !s.isTest() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					texts[text] = true
				}
			}
			return true
		})
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !regexp.MustCompile(`^(Test|Example|Fuzz)`).MatchString(f.Name.Name) {
				continue
			}
			if f.Name.Name == "TestConformance" {
				texts = shared
			}
			names[s.folder()+"."+f.Name.Name] = texts
		}
	}
	return names
}

// missing says what is wrong with folder.TestName or folder.TestName/case. A case
// is a text in the file of its test.
func (n testNames) missing(name string) string {
	m := regexp.MustCompile(`^([a-z/]+\.\w+)(?:/(.+))?$`).FindStringSubmatch(name)
	if m == nil {
		return fmt.Sprintf("%q is not of the form folder.TestName or folder.TestName/case", name)
	}
	switch texts, ok := n[m[1]]; {
	case !ok:
		return fmt.Sprintf("there is no %s; name the test that holds the promise", m[1])
	case m[2] != "" && !texts[m[2]]:
		return fmt.Sprintf("the file of %s has no case %q; name the one that holds the promise", m[1], m[2])
	}
	return ""
}
