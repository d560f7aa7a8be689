package arch

import (
	"strings"
	"testing"
)

// TestContractsCatch shows the list of contracts small offences, at which its
// check must object once, and the innocent forms.
func TestContractsCatch(t *testing.T) {
	const (
		code = "// Package device holds.\npackage device\n\n// F returns 7 at most. It looks good.\nfunc F() {}\n"
		test = "package device\n\nfunc TestF(t *testing.T) { t.Run(\"a case\", f) }\n"
		line = "device.F | F returns 7 at most. | device.TestF\n"
	)
	with := func(doc string) string { return strings.Replace(code, "// F returns 7 at most.", doc, 1) }
	for _, tt := range []struct {
		name, list, code string
		want             string // a part of the one objection; empty for none
	}{
		{"all is well", line, code, ""},
		{"a case that is there", strings.Replace(line, "TestF", "TestF/a case", 1), code, ""},
		{"two tests", strings.Replace(line, "TestF", "TestF; device.TestF/a case", 1), code, ""},
		{"words that promise nothing", "device.F | F returns 7 at most. | promises nothing: a joke\n", code, ""},
		{"comments and empty lines", "# x\n\n" + line, code, ""},
		{"an unexported name", line, code + "\n// g never fails.\nfunc g() {}\n", ""},
		{"a promise without a line", "", code, `device.F promises "F returns 7 at most."`},
		{"a promise that was widened", line, with("// F returns 7 at most. F never blocks."), `"F never blocks."`},
		{"a promise of which a part is covered", "device.F | returns 7 | device.TestF\n", code, `promises "F returns 7 at most."`},
		{"words that changed", line, with("// F looks at 8."), "the doc comment of device.F does not say"},
		{"a figure without a verb", line, with("// F returns 7 at most. After 5 s all is over."), `"After 5 s all is over."`},
		{"what a zero means", line, with("// F returns 7 at most. 0 means a day."), `0 means a day."`},
		{"a promise over two lines", line, with("// F returns 7 at most. It waits\n// for nobody."), `"It waits for nobody."`},
		{"a field", line, code + "\n// T is one.\ntype T struct {\n\tA int // A is never 0.\n}\n", `device.T.A promises "A is never 0."`},
		{"a method of an interface", line, code + "\n// T is one.\ntype T interface {\n\t// M never blocks.\n\tM()\n}\n", `device.T.M promises "M never blocks."`},
		{"a method", line, code + "\n// M never blocks.\nfunc (*T) M() {}\n\n// T is one.\ntype T int\n", `device.T.M promises "M never blocks."`},
		{"an error value", line, code + "\n// Errors.\nvar (\n\t// ErrA says that F fails.\n\tErrA = 1\n)\n", `device.ErrA promises`},
		{"the package", line, strings.Replace(code, "device holds.", "device never blocks.", 1), `device promises "Package device never blocks."`},
		{"a row of a table", line, strings.Replace(code, "device holds.", "device holds.\n//\n//\tone    apple\n//\t       pie\n//\ttwo    pears", 1), `"one apple pie"`},
		{"code in a comment", line, strings.Replace(code, "device holds.", "device holds.\n//\n//\terr := F() // returns 7", 1), ""},
		{"a test that is gone", strings.Replace(line, "TestF", "TestG", 1), code, "there is no device.TestG"},
		{"a case that is gone", strings.Replace(line, "TestF", "TestF/another", 1), code, `has no case "another"`},
		{"a name without a folder", strings.Replace(line, "device.TestF", "TestF", 1), code, "not of the form"},
		{"a symbol that is gone", line + "device.G | G is. | device.TestF\n", code, "device.G has no doc comment"},
		{"the same words twice", line + line, code, "the same words as in line 1"},
		{"a line without tests", line + "device.F | It looks good.\n", code, "not of the form symbol | words | tests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var srcs []source
			for name, text := range map[string]string{"device/x.go": tt.code, "device/x_test.go": test} {
				s, err := parse(name, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				srcs = append(srcs, s)
			}
			got := wrongContracts(tt.list, srcs)
			var others []string
			for _, problem := range got {
				// Of two rows, both are missing; of words that are not there, the promise is bare as well.
				if tt.want != "" && !strings.Contains(problem, tt.want) {
					others = append(others, problem)
				}
			}
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("got %q, want no objection", got)
			case tt.want != "" && len(got) == len(others):
				t.Errorf("got %q, want one that says %q", got, tt.want)
			case len(others) > 1:
				t.Errorf("got %q, want one objection", got)
			}
		})
	}
}
