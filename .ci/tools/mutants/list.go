package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A mutant is one change of the code, which a caller of the library can see
// unless it says why not.
type mutant struct {
	name   string
	file   string
	why    string
	unseen string    // why no caller can see it
	tests  []testRun // what is expected to see it, tried before whole packages
	old    string    // occurs once in the file
	new    string
}

// A testRun is a package, and a pattern of its tests, empty for all.
type testRun struct{ pkg, pattern string }

// packages are the packages whose tests could see a change of a folder, the
// cheapest first.
var packages = map[string][]string{
	"internal/tree":           {"internal/tree", "twin", "device/internal/catchup", "device"},
	"twin":                    {"twin", "device/internal/catchup", "device"},
	"device/internal/catchup": {"device/internal/catchup", "device"},
	"device/internal/courier": {"device/internal/courier", "device"},
	"device/store":            {"device/store", "device"},
	"device":                  {"device"},
	"internal/fate":           {"internal/fate", "transport/mqtt", "transport/amqp", "device"},
	"transport/mqtt":          {"transport/mqtt", "device"},
	"transport":               {"transport", "device"},
	"auth":                    {"auth", "device"},
}

// runs are all tests of the mutant, in their order.
func (m *mutant) runs() []testRun {
	runs := m.tests
	for _, pkg := range packages[path.Dir(m.file)] {
		runs = append(runs, testRun{pkg: pkg})
	}
	return runs
}

// read reads the lists of a folder. A list is made of paragraphs such as
//
//	mutant gap-gets-are-not-spaced
//	file   device/lane_twin.go
//	why    A hub that leaves versions out is asked for the twin without end.
//	test   device TestGapGetsAreSpaced
//	-	l.gapFrom = now + gapSpacing
//	+	l.gapFrom = now
//
// The lines with "-" are the old text, without the end of the last line, and may
// begin in the midst of a line. The lines with "+" replace it. A line with "|" is
// in both. A paragraph with a line "unseen" and a reason is of a change that no
// caller can see. Lines with "#" are comments.
func read(dir string) (mutants []*mutant, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.mutants"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no *.mutants in %s; run it from the root of the tree", dir))
	}
	names := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for i, paragraph := range strings.Split(string(b), "\n\n") {
			m, err := parse(paragraph)
			if err == nil && m != nil && names[m.name] {
				err = errors.New("the name is there twice")
			}
			if err != nil {
				return nil, fmt.Errorf("%s: paragraph %d: %w", file, i+1, err)
			}
			if m != nil {
				names[m.name] = true
				mutants = append(mutants, m)
			}
		}
	}
	return mutants, nil
}

func parse(paragraph string) (*mutant, error) {
	var m mutant
	var before, after []string
	for line := range strings.Lines(paragraph) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		text := line[1:]
		switch line[0] {
		case '-':
			before = append(before, text)
			continue
		case '+':
			after = append(after, text)
			continue
		case '|':
			before, after = append(before, text), append(after, text)
			continue
		}
		word, text, _ := strings.Cut(line, " ")
		text = strings.TrimSpace(text)
		switch word {
		case "mutant":
			m.name = text
		case "file":
			m.file = text
		case "why":
			m.why = text
		case "unseen":
			m.unseen = text
		case "test":
			pkg, pattern, _ := strings.Cut(text, " ")
			m.tests = append(m.tests, testRun{pkg, strings.TrimSpace(pattern)})
		default:
			return nil, fmt.Errorf("%q begins no line of a mutant", word)
		}
	}
	m.old, m.new = strings.Join(before, "\n"), strings.Join(after, "\n")
	switch {
	case m.name == "" && m.file == "" && m.old == "":
		return nil, nil
	case m.name == "" || m.file == "" || m.why == "" || m.old == "":
		return nil, fmt.Errorf("mutant %q lacks a name, a file, a reason or the old text", m.name)
	case m.old == m.new:
		return nil, fmt.Errorf("mutant %q changes nothing", m.name)
	case packages[path.Dir(m.file)] == nil:
		return nil, fmt.Errorf("mutant %q: it is not known which tests could see a change of %s", m.name, m.file)
	}
	return &m, nil
}

// mutate returns the file with the change in it.
func (m *mutant) mutate() ([]byte, error) {
	b, err := os.ReadFile(m.file)
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(b), m.old); n != 1 {
		return nil, fmt.Errorf("the old text occurs %d times in %s, not once", n, m.file)
	}
	return []byte(strings.Replace(string(b), m.old, m.new, 1)), nil
}
